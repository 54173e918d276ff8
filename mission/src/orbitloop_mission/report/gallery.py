"""The sample gallery: a tile twice, with what the launched and the final model find in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orbitloop.domain.detection import Floats, iou
from orbitloop.domain.errors import BadInput
from orbitloop_mission.report.schema import Box, GalleryTile, MissionReport

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
OVERLAP = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How boxes meet the labels: ``hits`` of ``wanted``, and ``false`` boxes that meet none."""

    hits: int
    wanted: int
    false: int

    @property
    def words(self) -> str:
        """``4 of 5 found, 1 false``."""
        return f"{self.hits} of {self.wanted} found, {self.false} false"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """A box in the picture; ``tip`` is its score, or empty."""

    x: float
    y: float
    width: float
    height: float
    tip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One of the two views of a tile."""

    name: str
    kind: str
    boxes: tuple[Rectangle, ...]
    found: Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A tile as the page shows it; ``number`` names its picture in the page."""

    number: int
    frame: str
    place: str
    width: int
    height: int
    truth: tuple[Rectangle, ...]
    panels: tuple[Panel, Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that the page carries once, however often it is shown."""

    number: int
    width: int
    height: int
    address: str


def data_uri(picture: bytes) -> str:
    """The picture as an address that needs no request; the format is told by its first bytes.

    Raises:
        BadInput: neither PNG, JPEG, GIF nor WebP. SVG is left out on purpose: it can hold references.
    """
    kind = next((kind for magic, kind in _MAGIC if picture.startswith(magic)), None)
    if kind is None and picture[:4] == b"RIFF" and picture[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        raise BadInput(f"a picture begins with {picture[:12]!r}; give PNG, JPEG, GIF or WebP")
    return f"data:{kind};base64,{base64.b64encode(picture).decode()}"


def found_in(boxes: tuple[Box, ...], truth: tuple[Box, ...], *, overlap: float = OVERLAP) -> Found:
    """Count boxes that meet a label at IoU ``overlap`` or more: best score first, each label once, as mAP@0.5 does."""
    if not boxes or not truth:
        return Found(hits=0, wanted=len(truth), false=len(boxes))
    ranked = sorted(boxes, key=lambda box: -box[4] if len(box) == 5 else 0.0)
    shared = iou(_corners(tuple(ranked)), _corners(truth))
    hits = 0
    for row in shared:
        best = int(row.argmax())
        if row[best] >= overlap:
            hits += 1
            shared[:, best] = -1.0  # taken
    return Found(hits=hits, wanted=len(truth), false=len(boxes) - hits)


def _corners(boxes: tuple[Box, ...]) -> Floats:
    return np.array([box[:4] for box in boxes], np.float32)


def tiles_of(report: MissionReport) -> tuple[Tile, ...]:
    """The gallery, ready to be drawn."""
    numbers = _numbers(report)
    return tuple(_tile(entry, numbers[entry.image]) for entry in report.gallery)


def pictures_of(report: MissionReport, pictures: Mapping[str, bytes]) -> tuple[Picture, ...]:
    """Every picture that the gallery shows, once.

    Raises:
        BadInput: a picture is missing or of an unknown format.
    """
    missing = sorted({entry.image for entry in report.gallery} - pictures.keys())
    if missing:
        raise BadInput(f"the gallery shows {missing[0]!r}, but no such picture was given")
    windows = {entry.image: entry.window for entry in report.gallery}
    return tuple(
        Picture(number=number, width=windows[key].width, height=windows[key].height, address=data_uri(pictures[key]))
        for key, number in _numbers(report).items()
    )


def _numbers(report: MissionReport) -> dict[str, int]:
    return {key: number for number, key in enumerate(dict.fromkeys(entry.image for entry in report.gallery), start=1)}


def _tile(entry: GalleryTile, number: int) -> Tile:
    window = entry.window
    return Tile(
        number=number,
        frame=entry.frame,
        place=f"x {window.x0}, y {window.y0}, {window.width} × {window.height} px",
        width=window.width,
        height=window.height,
        truth=_rectangles(entry.truth),
        panels=(
            Panel(
                name="before",
                kind="found-before",
                boxes=_rectangles(entry.before),
                found=found_in(entry.before, entry.truth),
            ),
            Panel(
                name="after",
                kind="found-after",
                boxes=_rectangles(entry.after),
                found=found_in(entry.after, entry.truth),
            ),
        ),
    )


def _rectangles(boxes: tuple[Box, ...]) -> tuple[Rectangle, ...]:
    return tuple(
        Rectangle(
            x=box[0],
            y=box[1],
            width=box[2] - box[0],
            height=box[3] - box[1],
            tip=f"score {box[4]:.2f}" if len(box) == 5 else "",
        )
        for box in boxes
    )
