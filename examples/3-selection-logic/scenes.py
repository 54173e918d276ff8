"""The camera's frames, what of them is of value, and what that makes of the bytes that came down."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orbitloop.domain.tiling import PAD
from orbitloop.domain.value_map import Truths, map_of_boxes

ANNOTATIONS = Path(__file__).parents[1] / "data" / "sen2ships" / "annotations.json"
SIDE, CELLS = 256, 8
"""Pixels and cells of a side of a frame: 2.56 km, in chips of 320 m."""
CELL = SIDE // CELLS
MARGIN = 2.0
"""Pixels around a ship that are of value too."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One picture as the camera hands it over.

    Args:
        name: of its file.
        png: its bytes, lossless.
        truth: which of its cells are of value, ``(cells, cells)`` booleans.
    """

    name: str
    png: bytes
    truth: Truths

    @property
    def valuable(self) -> float:
        """Bytes of it that are of value."""
        return len(self.png) * share_of_value(picture(self.png), self.truth)


def frames() -> list[Frame]:
    """The frames of the scenes that no network has learned from, port after port, row by row."""
    coco = json.loads(ANNOTATIONS.read_text())
    found: list[Frame] = []
    for scene in coco["images"]:
        if scene["split"] != "test":
            continue
        pixels = np.asarray(Image.open(ANNOTATIONS.parent / scene["file_name"]).convert("RGB"))
        sides = [note["bbox"] for note in coco["annotations"] if note["image_id"] == scene["id"]]
        boxes = np.array([[x, y, x + width, y + height] for x, y, width, height in sides], np.float32).reshape(-1, 4)
        for y in range(0, scene["height"] - SIDE + 1, SIDE):
            for x in range(0, scene["width"] - SIDE + 1, SIDE):
                cut = pixels[y : y + SIDE, x : x + SIDE]
                here = boxes - np.array([x, y, x, y], np.float32)
                truth = map_of_boxes(here, (SIDE, SIDE), CELLS, margin=MARGIN)
                found.append(Frame(name=f"{len(found):02}-{scene['port']}.png", png=as_png(cut), truth=truth))
    return found


def picture(data: bytes) -> Pixels:
    """Pixels of a PNG file."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def as_png(pixels: Pixels) -> bytes:
    """A PNG file of pixels."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def share_of_value(pixels: Pixels, truth: Truths) -> float:
    """The share of a picture's bytes that are of value: each cell counts as much as it takes as a file of its own; one
    that is all grey was not sent.
    """
    rows, columns = truth.shape
    sizes = np.zeros(truth.shape)
    for row in range(rows):
        for column in range(columns):
            cell = pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            sizes[row, column] = 0 if (cell == PAD).all() else len(as_png(cell))
    return float(sizes[truth].sum() / max(1.0, sizes.sum()))


def value_of_products(folder: Path, captured: Iterable[Frame]) -> float:
    """Bytes of value in what ``orbitloop-ground export-products`` wrote to ``folder``."""
    truths = {frame.name: frame.truth for frame in captured}
    return sum(_value_of(folder / name, told, truths) for name, told in products(folder))


def products(folder: Path) -> list[tuple[str, Mapping[str, object]]]:
    """The lines of the index in ``folder``: a picture's path, and what is told of it."""
    lines = (folder / "index.txt").read_text().splitlines() if (folder / "index.txt").exists() else []
    return [(name, json.loads(told)) for name, _, told in (line.partition(" ") for line in lines)]


def _value_of(path: Path, told: Mapping[str, object], truths: Mapping[str, Truths]) -> float:
    x0, y0, x1, y1 = (int(side) // CELL for side in told["window"])  # type: ignore[attr-defined]
    data = path.read_bytes()
    return len(data) * share_of_value(picture(data), truths[str(told["frame"])][y0:y1, x0:x1])


def value_of_stream(captured: Iterable[Frame], crossed: int) -> float:
    """Bytes of value in the first ``crossed`` bytes of all frames one after the other."""
    value = 0.0
    for frame in captured:
        if crossed <= 0:
            break
        value += frame.valuable * min(1.0, crossed / len(frame.png))
        crossed -= len(frame.png)
    return value
