"""Whether a satellite sees other things than it used to, told by a sketch of some hundred bytes and no picture.

A sketch counts what the detector said (a histogram of its scores, detections by class) and sums up what the frames
look like (means and spreads of seven measures of their tiles). Two sketches are compared by the population stability
index, the symmetrised Kullback-Leibler divergence (Jeffreys 1946): ``sum (p - q) ln(p / q)`` for counts, the closed
form between normal distributions for measures. Its usual reading: below 0.1 nothing has changed, above 0.25 much has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import BadInput
from orbitloop.domain.tiling import cut, windows

SCORE_BINS = 16
"""Of equal width, over [0, 1]."""
MEASURES = 7
"""Mean of red, green and blue, their standard deviations, mean step between neighbouring pixels; all of 255."""
MOST_CLASSES = 32
"""Classes counted one by one; those beyond are counted with the last."""
_LEAST_SCORE = 0.05
_TILE = 320
_SMOOTHED = 0.5
"""Added to every count, so that an empty bin is rare and not impossible (Jeffreys' prior)."""
_LEAST_SPREAD = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What some frames were like; sketches of different frames add up.

    Args:
        frames: how many.
        tiles: tiles whose measures were taken.
        scores: detections by score, ``SCORE_BINS`` counts.
        classes: detections by class.
        sums: of each measure over the tiles, ``MEASURES`` numbers.
        squares: of each measure squared.
    """

    frames: int
    tiles: int
    scores: tuple[int, ...]
    classes: tuple[int, ...]
    sums: tuple[float, ...]
    squares: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.scores) != SCORE_BINS or len(self.sums) != MEASURES or len(self.squares) != MEASURES:
            raise BadInput(
                f"a sketch has {SCORE_BINS} bins of scores and {MEASURES} measures, not {len(self.scores)} and "
                f"{len(self.sums)} and {len(self.squares)}"
            )
        if len(self.classes) > MOST_CLASSES:
            raise BadInput(f"a sketch counts {MOST_CLASSES} classes at most, not {len(self.classes)}")

    def __add__(self, other: Sketch) -> Sketch:
        count = max(len(self.classes), len(other.classes))
        return Sketch(
            frames=self.frames + other.frames,
            tiles=self.tiles + other.tiles,
            scores=_added(self.scores, other.scores),
            classes=_added(_wide(self.classes, count), _wide(other.classes, count)),
            sums=tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            squares=tuple(a + b for a, b in zip(self.squares, other.squares, strict=True)),
        )


NOTHING = Sketch(
    frames=0, tiles=0, scores=(0,) * SCORE_BINS, classes=(), sums=(0.0,) * MEASURES, squares=(0.0,) * MEASURES
)
"""The sketch of no frame at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far two sketches lie apart, by what they count; each a population stability index, 0 for the same.

    Args:
        scores: how sure the detector is.
        density: how much it finds in a frame, and of which class.
        appearance: what the frames look like; the mean over the measures.
    """

    scores: float
    density: float
    appearance: float

    @property
    def largest(self) -> float:
        """The one number that a trigger asks for."""
        return max(self.scores, self.density, self.appearance)


def sketch_of(pixels: NDArray[np.uint8], found: Detections) -> Sketch:
    """The sketch of one frame, ``(h, w, 3)`` uint8 RGB, and of what was found in it."""
    height, width = pixels.shape[:2]
    taken = np.array([_measures(cut(pixels, window)) for window in windows(width, height, tile=_TILE, overlap=0)])
    kept = found.scores >= _LEAST_SCORE
    bins = np.minimum((found.scores[kept] * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
    labels = np.minimum(found.labels[kept], MOST_CLASSES - 1)
    return Sketch(
        frames=1,
        tiles=len(taken),
        scores=tuple(np.bincount(bins, minlength=SCORE_BINS).tolist()),
        classes=tuple(np.bincount(labels).tolist()) if len(labels) else (),
        sums=tuple(taken.sum(axis=0).tolist()),
        squares=tuple((taken**2).sum(axis=0).tolist()),
    )


def drift(reference: Sketch, recent: Sketch) -> Drift:
    """How far ``recent`` has moved from ``reference``.

    Raises:
        BadInput: one of them is of no frame at all.
    """
    if not reference.tiles or not recent.tiles or not reference.frames or not recent.frames:
        raise BadInput("a sketch of no frame tells nothing of drift; wait for the next pass")
    return Drift(
        scores=_of_counts(reference.scores, recent.scores),
        density=_of_densities(reference, recent),
        appearance=_of_measures(reference, recent),
    )


def _measures(tile: NDArray[np.uint8]) -> NDArray[np.float64]:
    small = tile[::2, ::2].astype(np.float32) / np.float32(255)
    steps = np.abs(np.diff(small, axis=0)).mean() + np.abs(np.diff(small, axis=1)).mean()
    return np.concatenate([small.mean(axis=(0, 1)), small.std(axis=(0, 1)), [steps]]).astype(np.float64)


def _of_counts(reference: Sequence[int], recent: Sequence[int]) -> float:
    """Between two histograms; 0 while either holds too little to tell: fewer counts than bins."""
    if sum(reference) < len(reference) or sum(recent) < len(recent):
        return 0.0
    p, q = (np.array(counts, np.float64) + _SMOOTHED for counts in (reference, recent))
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def _of_densities(reference: Sketch, recent: Sketch) -> float:
    """Between two rates of Poisson processes, detections a tile, summed over the classes."""
    count = max(len(reference.classes), len(recent.classes))
    before = (np.array(_wide(reference.classes, count)) + _SMOOTHED) / reference.tiles
    now = (np.array(_wide(recent.classes, count)) + _SMOOTHED) / recent.tiles
    return float(((before - now) * np.log(before / now)).sum())


def _of_measures(reference: Sketch, recent: Sketch) -> float:
    (mean, spread), (other, wide) = _moments(reference), _moments(recent)
    apart = (mean - other) ** 2
    return float(((spread + apart) / (2 * wide) + (wide + apart) / (2 * spread) - 1).mean())


def _moments(sketch: Sketch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each measure, the variance at least that of a spread that means nothing."""
    mean = np.array(sketch.sums) / sketch.tiles
    variance = np.array(sketch.squares) / sketch.tiles - mean**2
    return mean, np.maximum(variance, _LEAST_SPREAD**2)


def _added(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))


def _wide(counts: Sequence[int], length: int) -> tuple[int, ...]:
    return (*counts, *(0,) * (length - len(counts)))
