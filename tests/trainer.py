"""What the trainer's tests train on: tiles of a real frame, listed as exports list them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from orbitloop.domain.tiling import Window
from orbitloop_ground.adapters.coco import read_coco
from orbitloop_ground.adapters.labels import TileLabels

ROOT = Path(__file__).parents[1]
ANNOTATIONS = ROOT / "examples" / "data" / "airbus-aircraft" / "annotations.json"
BASE = ROOT / "examples" / "models" / "airplane-1m" / "weights.safetensors"
SIDE = 320


def write_list(path: Path, tiles: int, *, skip: int = 0) -> Path:
    """A list of tiles with aircraft, cut out of the first frame of warm ground; their pictures are beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    archive = read_coco(ANNOTATIONS)
    frame = archive.where(domain="warm", split="train").images[0]
    pixels, label = np.asarray(frame.load()), TileLabels(archive)
    lines: list[str] = []
    for place in np.ndindex(frame.height // SIDE, frame.width // SIDE):
        y, x = (SIDE * index for index in place)
        truth = label(frame.path.name, Window(x0=x, y0=y, width=SIDE, height=SIDE))
        if truth is None or not len(truth.labels):
            continue
        picture = path.parent / f"{y}-{x}.png"
        boxes = [",".join(str(round(float(side))) for side in (*box, 0)) for box in truth.boxes]
        lines.append(" ".join([str(picture), *boxes]))
        if skip < len(lines) <= skip + tiles:
            Image.fromarray(pixels[y : y + SIDE, x : x + SIDE]).save(picture)
    assert len(lines) >= skip + tiles
    path.write_text("".join(f"{line}\n" for line in lines[skip : skip + tiles]))
    return path
