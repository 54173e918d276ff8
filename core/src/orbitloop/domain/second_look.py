"""A second look at a frame, at half its resolution: what the detector sees in it alone, it has yet to learn.

Scales are where a detector that was trained on other ground is wrong without knowing it: of an aircraft that is twice
the size of those it knows it finds nothing, or its parts, and says so with confidence. Disagreement between views of
the same picture needs no labels (Yu et al., Consistency-based Active Learning for Object Detection, 2022), and this
view costs a quarter of the first. Its contrast is stretched, so that haze and weak light cannot hide an object from
both looks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections, Floats, iou

SAME = 0.5
"""IoU from which two detections are of one object."""

_DARK, _BRIGHT = 0.5, 99.5
"""Percentiles that the second look shows as black and white."""


def halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(h // 2, w // 2, 3)`` uint8 means of 2 by 2 pixels of ``(h, w, 3)``; sides of a single pixel stay."""
    height, width = (max(1, length // 2) for length in pixels.shape[:2])
    down, across = (min(2, length) for length in pixels.shape[:2])
    blocks = pixels[: height * down, : width * across].reshape(height, down, width, across, 3)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32) + 0.5, np.uint8)


def stretched(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same picture with nearly all of its range of brightness spread over 0 to 255; a plain one stays as it is."""
    dark, bright = np.percentile(pixels, [_DARK, _BRIGHT])
    if bright - dark < 1:
        return pixels
    table = np.clip((np.arange(256) - dark) * (255 / (bright - dark)), 0, 255).astype(np.uint8)
    return np.asarray(table[pixels])


def surprises(
    pixels: NDArray[np.uint8], first: Detections, detect: Callable[[NDArray[np.uint8]], Detections]
) -> Detections:
    """What a second look finds that the first did not.

    Args:
        pixels: the frame, ``(h, w, 3)`` uint8 RGB.
        first: what was found in it.
        detect: the detector, once more.

    Returns:
        Detections in pixels of the frame; the score is by how much it exceeds the first look's for the same object,
        in (0, 1], highest first.
    """
    again = detect(stretched(halved(pixels)))
    boxes = np.asarray(again.boxes * np.float32(2), np.float32)
    beyond = again.scores - _believed(boxes, first)
    order = np.argsort(-beyond, kind="stable")
    found = Detections(boxes=boxes, scores=beyond, labels=again.labels).take(order)
    return found.take(found.scores > 0)


def _believed(boxes: Floats, first: Detections) -> Floats:
    """The first look's best score for what lies in each box; 0 for nothing."""
    if not len(first) or not len(boxes):
        return np.zeros(len(boxes), np.float32)
    scores = np.where(iou(boxes, first.boxes) >= SAME, first.scores[None], np.float32(0))
    return np.asarray(scores.max(axis=1), np.float32)
