"""Frames of the applications that come along: cut from annotated scenes, or put together from labelled chips."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from orbitloop.domain.detection import Floats
from orbitloop.domain.errors import BadInput
from orbitloop.domain.paths import contained_path
from orbitloop.domain.resampling import Pixels
from orbitloop.domain.value_map import map_of_boxes
from orbitloop_ground.adapters.coco import CocoImage, CocoSet, read_coco
from orbitloop_ground.adapters.transformation.applications import Frame, Frames, Geometry

_CHIPS = 4
"""Chips a side of a frame that is put together."""
_BLOCK = 2
"""Chips a side of a block that is cloudy, or is not: clouds are larger than a chip."""
_TAGS = ("haze", "partly_cloudy", "cloudy", "primary", "agriculture", "water", "habitation", "road", "bare_ground")


def coco_frames(annotations: Path, geometry: Geometry, *, margin: float) -> Frames:
    """Square frames out of the scenes of a COCO set with split train, val and test, without overlap.

    Args:
        margin: pixels around a box that are of high value too.

    Raises:
        BadInput: the set is missing or malformed, a scene is no picture of the stated size, or a split has no scene of
            at least a frame.
    """
    annotated = read_coco(annotations)
    by_split = {split: list(_cut_all(annotated, split, geometry, margin)) for split in ("train", "val", "test")}
    for split in ("train", "val"):
        if not by_split[split]:
            raise BadInput(
                f"{annotations}: no scene of split {split!r} is as large as a frame of {geometry.side}x{geometry.side}"
            )
    return Frames(train=by_split["train"], val=by_split["val"], test=by_split["test"])


def _cut_all(annotated: CocoSet, split: str, geometry: Geometry, margin: float) -> Iterator[Frame]:
    for scene in annotated.where(split=split).images:
        yield from _cut_scene(scene, geometry, margin)


def _cut_scene(scene: CocoImage, geometry: Geometry, margin: float) -> Iterator[Frame]:
    side = geometry.side
    pixels = np.asarray(scene.load())
    infrared = _infrared(scene)
    for y in range(0, scene.height - side + 1, side):
        for x in range(0, scene.width - side + 1, side):
            boxes = scene.truth.boxes - np.array([x, y, x, y], np.float32)
            yield Frame(
                name=f"{scene.path.name}@{x},{y}",
                pixels=np.ascontiguousarray(pixels[y : y + side, x : x + side]),
                truth=map_of_boxes(boxes, (side, side), geometry.grain, margin=margin),
                infrared=None if infrared is None else infrared[y : y + side, x : x + side],
            )


def _infrared(scene: CocoImage) -> NDArray[np.uint8] | None:
    """The near-infrared band at the scene's size, if it has one."""
    name = scene.extra.get("nir_file")
    if not name:
        return None
    path = contained_path(scene.path.parent.parent, str(name))
    with _opened(path) as picture:
        return np.asarray(picture.convert("L").resize((scene.width, scene.height), Image.Resampling.BILINEAR))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Chip:
    pixels: Pixels
    usable: bool
    tags: Floats


def chip_frames(labels: Path, geometry: Geometry, *, usable: float, seed: int, counts: tuple[int, int, int]) -> Frames:
    """Frames put together from labelled chips: in blocks of 2 × 2, usable or not, drawn by chance.

    The chips of each split are its own. What is made up is their neighbourhood, and the share of usable ones.

    Args:
        labels: CSV with ``file_name``, ``split``, ``usable`` (0 or 1) and ``tags``.
        usable: share of blocks whose chips are usable.
        seed: of the draw.
        counts: frames of train, val and test.

    Raises:
        BadInput: the table or a chip is missing or malformed, or a split lacks usable chips or others.
    """
    made = []
    for index, (split, count) in enumerate(zip(("train", "val", "test"), counts, strict=True)):
        chips = _chips(labels, split, geometry.side // _CHIPS)
        chance = np.random.default_rng([seed, index])
        made.append([_put_together(chips, f"{split}-{number}", geometry, usable, chance) for number in range(count)])
    return Frames(train=made[0], val=made[1], test=made[2])


def _chips(labels: Path, split: str, side: int) -> tuple[list[_Chip], list[_Chip]]:
    """The chips of a split that are not usable, and those that are."""
    found: tuple[list[_Chip], list[_Chip]] = ([], [])
    for row in _rows(labels):
        if row["split"] != split:
            continue
        with _opened(contained_path(labels.parent, row["file_name"])) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        if pixels.shape != (side, side, 3):
            raise BadInput(f"{row['file_name']}: has {pixels.shape[1]}x{pixels.shape[0]} pixels, not {side}x{side}")
        words = row["tags"].split()
        tags = np.array([tag in words for tag in _TAGS], np.float32)
        usable = row["usable"] == "1"
        found[usable].append(_Chip(pixels=pixels, usable=usable, tags=tags))
    if not found[0] or not found[1]:
        raise BadInput(f"{labels}: split {split!r} needs chips that are usable and others; it has one kind only")
    return found


def _rows(labels: Path) -> list[dict[str, str]]:
    try:
        with labels.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise BadInput(f"{labels}: cannot be read ({error.strerror}); give a table of labelled chips") from error
    wanted = {"file_name", "split", "usable", "tags"}
    if not rows or not wanted <= rows[0].keys():
        raise BadInput(f"{labels}: needs the columns {', '.join(sorted(wanted))}")
    return rows


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read as a picture ({error}); is the data folder complete?") from error


def _put_together(
    chips: Sequence[Sequence[_Chip]], name: str, geometry: Geometry, usable: float, chance: np.random.Generator
) -> Frame:
    blocks = chance.random((_CHIPS // _BLOCK, _CHIPS // _BLOCK)) < usable
    kinds = blocks.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)
    drawn = [[chips[int(kind)][int(chance.integers(len(chips[int(kind)])))] for kind in row] for row in kinds]
    cells = geometry.grain // _CHIPS
    tags = np.stack([np.stack([chip.tags for chip in row]) for row in drawn])
    return Frame(
        name=name,
        pixels=np.concatenate([np.concatenate([chip.pixels for chip in row], axis=1) for row in drawn]),
        truth=kinds.repeat(cells, axis=0).repeat(cells, axis=1),
        tags=tags.repeat(cells, axis=0).repeat(cells, axis=1),
    )
