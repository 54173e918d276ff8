"""Label Studio's tasks (https://labelstud.io/guide/task_format): JSON, boxes in hundredths of the picture's sides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput
from orbitloop_ground.adapters.review_formats.files import as_json, json_of
from orbitloop_ground.usecases.review_files import Marked, Tile, sample_in

_SERVED = "/data/local-files/?d="
"""How Label Studio reaches files of its own machine, relative to LOCAL_FILES_DOCUMENT_ROOT."""
_NO_SHAPES = ("choices", "number", "pairwise", "rating", "relation", "taxonomy", "textarea")
"""Results that say something of the whole picture, or of what is there already."""
_SIDES = ("x", "y", "width", "height")


class LabelStudioFormat:
    """A task is decided by its newest annotation when it comes back; one that was skipped is rejected."""

    suffix = ".json"

    def write(self, tiles: Sequence[Tile], classes: Sequence[str]) -> Mapping[str, bytes]:
        """``tasks.json`` with what was proposed as predictions, and ``label-config.xml`` for the project."""
        view = Element("View")
        SubElement(view, "Image", {"name": "image", "value": "$image", "zoom": "true"})
        labels = SubElement(view, "RectangleLabels", {"name": "label", "toName": "image", "canRotate": "false"})
        for name in classes:
            SubElement(labels, "Label", {"value": name})
        indent(view)
        return {"tasks.json": as_json([_task(tile) for tile in tiles]), "label-config.xml": tostring(view)}

    def read(self, path: Path) -> list[Marked]:
        """See :class:`~orbitloop_ground.usecases.review_files.ReviewFormat`."""
        tasks = json_of(path)
        if not isinstance(tasks, list) or not all(
            isinstance(task, dict)
            and isinstance(task.get("data"), dict)
            and _is_list_of_tables(task.get("annotations"))
            for task in tasks
        ):
            raise BadInput(f"{path}: no tasks of Label Studio; export the project as JSON, not as JSON-MIN")
        return [
            _marked(task, f"{path}: task {task.get('id', place)}")
            for place, task in enumerate(tasks)
            if task["annotations"]
        ]


def _task(tile: Tile) -> dict[str, Any]:
    proposal = tile.review.proposal
    proposed = _results(tile, Truth(boxes=proposal.boxes, labels=proposal.labels))
    for result, score, doubtful in zip(proposed, proposal.confidence.tolist(), proposal.doubtful.tolist(), strict=True):
        result["score"] = score
        if doubtful:
            result["meta"] = {"text": ["doubtful"]}
    task: dict[str, Any] = {
        "data": {"image": f"{_SERVED}{tile.path}", "sample": tile.review.sample, "frame": tile.review.frame},
        "predictions": [{"model_version": "orbitloop", "result": proposed}],
        "annotations": [],
    }
    if tile.review.verdict is not None:
        results = [] if tile.rejected else _results(tile, tile.truth)
        task["annotations"] = [{"result": results, "was_cancelled": tile.rejected}]
    return task


def _results(tile: Tile, truth: Truth) -> list[dict[str, Any]]:
    width, height = tile.review.window.width, tile.review.window.height
    size = {"original_width": width, "original_height": height, "image_rotation": 0}
    results = []
    for number, (box, label) in enumerate(zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True)):
        x0, y0, x1, y1 = (100 * side / (height if place % 2 else width) for place, side in enumerate(box))
        value = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0}
        kind = {"id": f"box-{number}", "type": "rectanglelabels", "from_name": "label", "to_name": "image"}
        results.append({**kind, **size, "value": value | {"rectanglelabels": [tile.names[label]]}})
    return results


def _marked(task: dict[str, Any], where: str) -> Marked:
    newest = max(task["annotations"], key=lambda said: (str(said.get("updated_at", "")), str(said.get("id", ""))))
    data = task["data"]
    sample = sample_in(data.get("sample", data.get("image")), where)
    if newest.get("was_cancelled") is True:
        return Marked(sample=sample, where=where, size=None, objects=None)
    results = newest.get("result")
    if not _is_list_of_tables(results):
        raise BadInput(f"{where}: an annotation has no list of results; export the project as JSON")
    shapes = [result for result in results if result.get("type") not in _NO_SHAPES]
    sizes = {(result.get("original_width"), result.get("original_height")) for result in shapes}
    if len(sizes) > 1 or not all(isinstance(side, int) and side > 0 for size in sizes for side in size):
        raise BadInput(f"{where}: original_width and original_height must be the picture's sides in pixels")
    size = next(iter(sizes), None)
    return Marked(
        sample=sample,
        where=where,
        size=size,
        objects=tuple(_object(result, size or (1, 1), where) for result in shapes),
    )


def _object(result: dict[str, Any], size: tuple[int, int], where: str) -> tuple[tuple[float, float, float, float], str]:
    value, kind = result.get("value"), result.get("type")
    if kind != "rectanglelabels" or not isinstance(value, dict):
        raise BadInput(f"{where}: holds a result of type {kind!r}; only boxes with a class can be learned from")
    names = value.get("rectanglelabels")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise BadInput(f"{where}: a box needs exactly one class, not {names!r}")
    sides = [side for name in _SIDES if isinstance(side := value.get(name), int | float) and math.isfinite(side)]
    if len(sides) != len(_SIDES):
        raise BadInput(f"{where}: {', '.join(_SIDES)} of a box must be numbers")
    if value.get("rotation") or result.get("image_rotation"):
        raise BadInput(f"{where}: a box or its picture is turned; only upright ones can be learned from")
    x, y, across, down = (float(side) / 100 for side in sides)
    width, height = size
    return (x * width, y * height, (x + across) * width, (y + down) * height), names[0]


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)
