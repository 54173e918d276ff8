"""Total misses: frames so dark that the launched model finds nothing in them, planted among the others."""

from __future__ import annotations

import numpy as np
from bench.cells import Figures
from bench.selection.scene import WORTH, Contestant, Satellite, detector_of, frames, launched, pixels_of, shuffled
from numpy.typing import NDArray

EVERY, GAIN, LIFT = 3, 0.15, 5.0
"""One frame in so many is planted, with so much of its contrast left, lifted by so many grey levels."""


def darkened(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame in weak light."""
    return np.asarray(np.clip(pixels.astype(np.float32) * GAIN + LIFT, 0, 255), np.uint8)


def plant(contestant: Contestant) -> Figures:
    """How many planted frames, and tiles with objects in them, are sent within the budget."""
    satellite, detector = Satellite(contestant, 0), detector_of(launched())
    planted = found = tiles = found_tiles = 0
    for number, image in enumerate(shuffled(frames("train"), 0)):
        pixels = pixels_of(image.path)
        dark = number % EVERY == 0
        seen = darkened(pixels) if dark else pixels
        sent = satellite.observe(image.path.name, seen, detector.detect)
        if not dark or (detector.detect(seen).scores >= WORTH.nothing).any():
            continue
        centres = (image.truth.boxes[:, :2] + image.truth.boxes[:, 2:]) / 2
        with_objects = {(int(y) // 320, int(x) // 320) for x, y in centres}
        hit = {(s.candidate.window.y0 // 320, s.candidate.window.x0 // 320) for s in sent} & with_objects
        planted, found = planted + 1, found + bool(hit)
        tiles, found_tiles = tiles + len(with_objects), found_tiles + len(hit)
    return {"planted": planted, "found": found, "planted_tiles": tiles, "found_tiles": found_tiles}
