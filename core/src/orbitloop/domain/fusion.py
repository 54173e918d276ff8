"""Several views of one scene become one opinion: weighted box fusion (Solovyev, Wang and Gabruseva 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orbitloop.domain.detection import Detections, Floats, concatenate, iou


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fused:
    """What the views see together.

    Args:
        found: fused boxes; a score is the mean over all views, nothing counted for those that saw nothing.
        agreement: ``(n,)`` float32, the share of the views that saw the box.
    """

    found: Detections
    agreement: Floats


def fuse(views: list[Detections], *, overlap: float = 0.55) -> Fused:
    """Fuse what was found in views of one scene, in pixels of the scene.

    Boxes of a label that overlap are one object; its corners are the mean of theirs by score.

    Args:
        views: one entry per view, at least one.
        overlap: IoU with the fused box from which a box belongs to it.

    Returns:
        Highest score first.
    """
    every = concatenate(views)
    view = np.repeat(np.arange(len(views)), [len(part) for part in views])
    order = np.argsort(-every.scores, kind="stable")
    fused = _Clusters(len(every), len(views))
    for index in order:
        fused.add(every.boxes[index], float(every.scores[index]), int(every.labels[index]), int(view[index]), overlap)
    return fused.result()


def agreement(views: list[Detections], found: Detections, *, overlap: float = 0.55) -> Floats:
    """``(n,)`` float32: the share of ``views`` in which a box of its label overlaps each box that was ``found``."""
    seen = [
        (iou(found.boxes, view.boxes) * (found.labels[:, None] == view.labels[None])).max(axis=1, initial=0.0) > overlap
        for view in views
    ]
    return np.asarray(np.mean(seen, axis=0), np.float32)


class _Clusters:
    """Boxes that are taken for one object each."""

    def __init__(self, most: int, views: int) -> None:
        self._count = 0
        self._boxes = np.zeros((most, 4), np.float32)
        self._sums = np.zeros((most, 4), np.float64)
        self._weights = np.zeros(most)
        self._labels = np.zeros(most, np.int64)
        self._best = np.zeros((most, views), np.float32)

    def add(self, box: Floats, score: float, label: int, view: int, overlap: float) -> None:
        place = self._place(box, label, overlap)
        self._sums[place] += score * box
        self._weights[place] += score
        self._boxes[place] = self._sums[place] / max(self._weights[place], 1e-9)
        self._best[place, view] = max(self._best[place, view], score)

    def _place(self, box: Floats, label: int, overlap: float) -> int:
        here = slice(0, self._count)
        shared = np.where(self._labels[here] == label, iou(box[None], self._boxes[here])[0], 0.0)
        if shared.max(initial=0.0) > overlap:
            return int(shared.argmax())
        self._labels[self._count] = label
        self._count += 1
        return self._count - 1

    def result(self) -> Fused:
        best = self._best[: self._count]
        scores = best.mean(axis=1)
        order = np.argsort(-scores, kind="stable")
        found = Detections(boxes=self._boxes[order], scores=scores[order], labels=self._labels[order])
        return Fused(found=found, agreement=(best > 0).mean(axis=1)[order].astype(np.float32))
