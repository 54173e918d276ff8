"""Cut tiles out of the sample frames: what the first model knows, what comes in later, and what is looked at."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from interface import Estimator, picture
from PIL import Image

ANNOTATIONS = Path(__file__).parents[1] / "data" / "airbus-aircraft" / "annotations.json"
TILE = 96
"""Pixels of a side; an aircraft is about as long."""


def main() -> None:
    """Fill a folder with tiles, an index of them, frames to look at, and the model that is there at first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for all of it")
    parser.add_argument("--each", type=int, default=12, help="tiles with and without aircraft of each frame")
    given = parser.parse_args()
    known = write_tiles(given.out / "known", "cool", given.each)
    write_tiles(given.out / "new", "warm", given.each)
    frames = given.out / "frames"
    frames.mkdir(parents=True, exist_ok=True)
    for line in (given.out / "new" / "index.txt").read_text().splitlines()[:8]:
        name = line.split()[0]
        (frames / Path(name).name).write_bytes((given.out / "new" / name).read_bytes())
    estimator = Estimator()
    estimator.fit(np.array([picture(str(given.out / "known" / name)) for name, _ in known]), [y for _, y in known])
    models = given.out / "models"
    models.mkdir(parents=True, exist_ok=True)
    for name in ("base.npz", "deployed.npz"):
        estimator.save(str(models / name))


def write_tiles(folder: Path, domain: str, each: int) -> list[tuple[str, int]]:
    """Tiles of the training frames of one kind of ground, and their index."""
    (folder / "tiles").mkdir(parents=True, exist_ok=True)
    written = []
    for number, (tile, label) in enumerate(tiles(domain, each)):
        name = f"tiles/{number:04}.png"
        tile.save(folder / name)
        written.append((name, label))
    order = np.random.default_rng(0).permutation(len(written))
    shuffled = [written[index] for index in order]
    (folder / "index.txt").write_text("".join(f"{name} {label}\n" for name, label in shuffled))
    return shuffled


def tiles(domain: str, each: int) -> Iterator[tuple[Image.Image, int]]:
    """As many tiles with an aircraft in the middle (1) as tiles far from all of them (0)."""
    chance = np.random.default_rng(0)
    coco = json.loads(ANNOTATIONS.read_text())
    for entry in coco["images"]:
        if (entry["domain"], entry["split"]) != (domain, "train"):
            continue
        image = Image.open(ANNOTATIONS.parent / entry["file_name"]).convert("L")
        middles = [middle(note) for note in coco["annotations"] if note["image_id"] == entry["id"]]
        inside = [place for place in middles if all(TILE <= part < image.width - TILE for part in place)]
        for place in [inside[index] for index in chance.permutation(len(inside))[:each]]:
            yield cut(image, place), 1
        found = 0
        while found < each:
            place = chance.integers(TILE, image.width - TILE, 2)
            if all(np.abs(place - other).max() > TILE for other in middles):
                yield cut(image, place), 0
                found += 1


def middle(note: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Of a box."""
    x, y, width, height = note["bbox"]
    return np.array([x + width / 2, y + height / 2])


def cut(image: Image.Image, place: np.ndarray[Any, Any]) -> Image.Image:
    """The tile around a place."""
    x, y = (int(part) - TILE // 2 for part in place)
    return image.crop((x, y, x + TILE, y + TILE))


if __name__ == "__main__":
    main()
