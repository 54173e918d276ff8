"""What the camera sees: the sample frames of arid ground, and their mirror images, with annotations for all of them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

SAMPLES = Path(__file__).parents[2] / "examples" / "data" / "airbus-aircraft"

_ACROSS, _DOWN, _SWAPPED = 1, 2, 4
_TURNS = 8
"""Ways to see a square: mirrored or not, in both directions, with the directions swapped or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A frame as it is, or mirrored.

    Args:
        name: file name, by which its annotations are found.
        source: the sample frame.
        turn: how, as bits; 0: as it is.
    """

    name: str
    source: Path
    turn: int

    def jpeg(self) -> bytes:
        """The frame as a file."""
        if not self.turn:
            return self.source.read_bytes()
        made = io.BytesIO()
        with Image.open(self.source) as picture:
            seen: Image.Image = picture
            for bit, how in (
                (_SWAPPED, Image.Transpose.TRANSPOSE),
                (_ACROSS, Image.Transpose.FLIP_LEFT_RIGHT),
                (_DOWN, Image.Transpose.FLIP_TOP_BOTTOM),
            ):
                seen = seen.transpose(how) if self.turn & bit else seen
            seen.save(made, "JPEG", quality=92)
        return made.getvalue()


def views(samples: Path = SAMPLES) -> list[View]:
    """Every view of the training frames of arid ground, those as they are first."""
    images = _frames(_annotations(samples))
    return [
        View(name=_name(image, turn), source=samples / image["file_name"], turn=turn)
        for turn in range(_TURNS)
        for image in images
    ]


def all_annotations(samples: Path = SAMPLES) -> str:
    """COCO annotations of all views, by their names."""
    given = _annotations(samples)
    images, notes = list[dict[str, Any]](), list[dict[str, Any]]()
    for turn in range(_TURNS):
        for image in _frames(given):
            number = len(images) + 1
            images.append(image | {"id": number, "file_name": _name(image, turn)})
            for note in _turned(given, image, turn):
                notes.append(note | {"id": len(notes) + 1, "image_id": number})
    return json.dumps(given | {"images": images, "annotations": notes})


def _turned(given: dict[str, Any], image: dict[str, Any], turn: int) -> Iterator[dict[str, Any]]:
    across, down = image["width"], image["height"]
    for note in given["annotations"]:
        if note["image_id"] != image["id"]:
            continue
        x, y, width, height = note["bbox"]
        if turn & _SWAPPED:
            x, y, width, height = y, x, height, width
        x = across - x - width if turn & _ACROSS else x
        y = down - y - height if turn & _DOWN else y
        yield note | {"bbox": [x, y, width, height]}


def _frames(given: dict[str, Any]) -> list[dict[str, Any]]:
    return [image for image in given["images"] if (image["domain"], image["split"]) == ("warm", "train")]


def _name(image: dict[str, Any], turn: int) -> str:
    path = Path(image["file_name"])
    return path.name if turn == 0 else f"{path.stem}-{turn}{path.suffix}"


def _annotations(samples: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((samples / "annotations.json").read_text(encoding="utf-8"))
    return read
