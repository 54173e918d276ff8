"""COCO annotations (https://cocodataset.org/#format-data), with an image's ``rejected`` as the one field of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orbitloop_ground.adapters.coco import read_coco
from orbitloop_ground.adapters.review_formats.files import as_json
from orbitloop_ground.usecases.review_files import Marked, Tile, sample_in


class CocoFormat:
    """Every image that is in the file when it comes back is decided by its annotations; one that is not waits on."""

    suffix = ".json"

    def write(self, tiles: Sequence[Tile], classes: Sequence[str]) -> Mapping[str, bytes]:
        """``annotations.json``; what was only proposed carries ``score`` and ``doubtful`` besides."""
        images, annotations = [], list[dict[str, Any]]()
        for number, tile in enumerate(tiles, start=1):
            window = tile.review.window
            image = {"id": number, "file_name": tile.path, "width": window.width, "height": window.height}
            images.append(image | {"frame": tile.review.frame, "rejected": tile.rejected})
            for found in _objects(tile):
                annotations.append({"id": len(annotations) + 1, "image_id": number, **found})
        categories = [{"id": label + 1, "name": name} for label, name in enumerate(classes)]
        document = {"images": images, "annotations": annotations, "categories": categories}
        return {"annotations.json": as_json(document)}

    def read(self, path: Path) -> list[Marked]:
        """See :class:`~orbitloop_ground.usecases.review_files.ReviewFormat`; categories are known by their names."""
        coco = read_coco(path)
        marked = []
        for image in coco.images:
            where = f"{path}: image {image.id}"
            rows = zip(image.truth.boxes.tolist(), image.truth.labels.tolist(), strict=True)
            objects = tuple(((x0, y0, x1, y1), coco.classes[label]) for (x0, y0, x1, y1), label in rows)
            marked.append(
                Marked(
                    sample=sample_in(image.path.name, where),
                    where=where,
                    size=(image.width, image.height),
                    objects=None if image.extra.get("rejected") is True else objects,
                )
            )
        return marked


def _objects(tile: Tile) -> list[dict[str, Any]]:
    proposal, truth = tile.review.proposal, tile.truth
    found: list[dict[str, Any]] = []
    for (x0, y0, x1, y1), label in zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True):
        box = [x0, y0, x1 - x0, y1 - y0]
        found.append({"category_id": label + 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
    if truth.boxes is proposal.boxes:
        for each, score, doubtful in zip(found, proposal.confidence.tolist(), proposal.doubtful.tolist(), strict=True):
            each |= {"score": score, "doubtful": doubtful}
    return found
