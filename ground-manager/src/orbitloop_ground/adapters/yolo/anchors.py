"""Anchors fitted to the data: k-means on box shapes with the distance 1 - IoU (Redmon and Farhadi 2017)."""

from __future__ import annotations

import numpy as np

from orbitloop.domain.detection import Floats, Head
from orbitloop.domain.errors import BadInput


def shape_overlap(shapes: Floats, centres: Floats) -> Floats:
    """IoU of boxes that share a corner; ``(n, 2)`` and ``(k, 2)`` widths and heights to ``(n, k)``."""
    shared = np.minimum(shapes[:, None], centres[None]).prod(axis=2)
    union = shapes.prod(axis=1)[:, None] + centres.prod(axis=1)[None] - shared
    return np.asarray(shared / union, np.float32)


def fit_anchors(shapes: Floats, *, count: int, seed: int, rounds: int = 100) -> Floats:
    """``(count, 2)`` anchor widths and heights, smallest area first, for ``(n, 2)`` box shapes in pixels.

    Raises:
        BadInput: there are fewer shapes than anchors.
    """
    if len(shapes) < count:
        raise BadInput(f"{count} anchors need at least {count} labelled objects, not {len(shapes)}; label more images")
    rng = np.random.default_rng(seed)
    centres = shapes[rng.choice(len(shapes), count, replace=False)]
    for _ in range(rounds):
        nearest = shape_overlap(shapes, centres).argmax(axis=1)
        moved = np.stack(
            [
                np.median(shapes[nearest == index], axis=0) if (nearest == index).any() else centres[index]
                for index in range(count)
            ]
        )
        if np.allclose(moved, centres):
            break
        centres = moved
    return np.asarray(centres[np.argsort(centres.prod(axis=1))], np.float32)


def heads_for(anchors: Floats) -> tuple[Head, Head]:
    """Six anchors dealt to the two heads: the large three to stride 32, the small three to stride 16."""
    pairs = [(round(float(width), 1), round(float(height), 1)) for width, height in anchors]
    return Head(stride=32, anchors=tuple(pairs[3:])), Head(stride=16, anchors=tuple(pairs[:3]))
