"""From a detector's scores to confidence that can be believed: of boxes called 0.8, eight in ten are right.

Fitted by isotonic regression (Zadrozny and Elkan 2002), which assumes only that a higher score is no worse; how far
stated confidence is from what holds is the expected calibration error (Guo et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections, Floats, Truth, iou
from orbitloop.domain.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A rising line through points; flat before the first and after the last.

    Args:
        scores: where the points are, rising, from 0 to 1.
        confidence: what a score there is worth, never falling, from 0 to 1.

    Raises:
        BadInput: they are none of this.
    """

    scores: tuple[float, ...]
    confidence: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.scores or len(self.scores) != len(self.confidence):
            raise BadInput(f"a calibration of {len(self.scores)} scores and {len(self.confidence)} confidences")
        both = np.array([self.scores, self.confidence])
        if not np.isfinite(both).all() or both.min() < 0 or both.max() > 1:
            raise BadInput("a calibration's scores and confidences must be from 0 to 1")
        if np.any(np.diff(both[0]) <= 0) or np.any(np.diff(both[1]) < 0):
            raise BadInput("a calibration's scores must rise, and its confidences never fall")

    @classmethod
    def none(cls) -> Self:
        """Scores are taken at their word."""
        return cls(scores=(0.0, 1.0), confidence=(0.0, 1.0))

    @classmethod
    def fit(cls, scores: Floats, hits: NDArray[np.bool_]) -> Self:
        """The isotonic regression of ``hits`` on ``scores``, both ``(n,)``, by pool-adjacent-violators.

        Every pool counts one right and one wrong box more than it has (Laplace's rule): nothing is ever certain.

        Raises:
            BadInput: there is nothing to fit.
        """
        if not len(scores) or len(scores) != len(hits):
            raise BadInput(f"a calibration needs boxes that are known to be right or wrong, not {len(scores)}")
        pools: list[_Pool] = []
        for index in np.lexsort(
            (~hits, scores)
        ):  # of boxes that score alike the right ones first, so that they are pooled
            score = float(scores[index])
            pools.append(_Pool(score=score, right=float(hits[index]), count=1.0))
            while len(pools) > 1 and pools[-2].rate >= pools[-1].rate:
                last = pools.pop()
                pools[-1] = pools[-1].joined(last)
        points = {float(np.clip(pool.score, 0, 1)): pool.cautious for pool in pools}
        confidence = np.maximum.accumulate(list(points.values()))
        return cls(scores=tuple(points), confidence=tuple(float(value) for value in confidence))

    def __call__(self, scores: Floats) -> Floats:
        """Confidence of ``scores``, ``(n,)`` float32 from 0 to 1."""
        return np.interp(scores, self.scores, self.confidence).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """Neighbouring boxes: their mean score, how many are right, how many there are."""

    score: float
    right: float
    count: float

    @property
    def rate(self) -> float:
        return self.right / self.count

    @property
    def cautious(self) -> float:
        return (self.right + 1) / (self.count + 2)

    def joined(self, other: _Pool) -> _Pool:
        count = self.count + other.count
        score = (self.score * self.count + other.score * other.count) / count
        return _Pool(score=score, right=self.right + other.right, count=count)


def calibration_error(confidence: Floats, hits: NDArray[np.bool_], *, bins: int = 10) -> float:
    """Expected calibration error: how far confidence is from the share of hits, over ``bins`` equal bins, weighted.

    Args:
        confidence: ``(n,)``, from 0 to 1.
        hits: ``(n,)`` bool.

    Returns:
        Value in [0, 1]; 0 for no box.
    """
    if not len(confidence):
        return 0.0
    which = np.minimum((np.asarray(confidence, np.float64) * bins).astype(int), bins - 1)
    gaps = [
        (which == index).sum() * abs(float(hits[which == index].mean()) - float(confidence[which == index].mean()))
        for index in np.unique(which)
    ]
    return float(sum(gaps) / len(confidence))


def right_boxes(found: Detections, truth: Truth, *, overlap: float = 0.5) -> NDArray[np.bool_]:
    """``(n,)``: which detections hit an object that no better one has taken; the match of :func:`average_precision`."""
    hits = np.zeros(len(found), bool)
    overlaps = iou(found.boxes, truth.boxes) * (found.labels[:, None] == truth.labels[None])
    taken = np.zeros(len(truth.labels), bool)
    for index in np.argsort(-found.scores, kind="stable"):
        free = np.where(taken, 0.0, overlaps[index])
        if free.max(initial=0.0) >= overlap:
            taken[int(free.argmax())] = hits[index] = True
    return hits
