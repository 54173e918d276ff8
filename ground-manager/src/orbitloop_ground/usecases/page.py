"""One frame as far as it came down: its pixels, who says what about it, and what is to be learned from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections, Floats, Truth, areas, suppress
from orbitloop.domain.tiling import PAD, Window
from orbitloop.ports.reviews import Proposal
from orbitloop.ports.trainer import Lesson

MOSTLY = 0.5
"""Share of a box inside a tile from which it is the tile's."""
MARGIN = 3
"""Pixels around a doubtful box that are hidden with it: what sticks out would still show what it is."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Page:
    """A frame as far as it came down.

    Args:
        pixels: ``(h, w, 3)`` uint8, grey where nothing came down.
        known: ``(h, w)`` bool.
        opinion: what is to be seen, in its pixels.
    """

    pixels: NDArray[np.uint8]
    known: NDArray[np.bool_]
    opinion: Proposal

    @property
    def is_certain(self) -> bool:
        """Whether no box is doubtful and something is known."""
        return not self.opinion.doubtful.any() and bool(self.known.any())

    def labelled(self, opinion: Proposal) -> Page:
        """The same with another opinion."""
        return replace(self, opinion=opinion)

    def only(self, windows: Sequence[Window]) -> Page:
        """The same with only ``windows`` of it known."""
        kept = np.zeros_like(self.known)
        for window in windows:
            kept[_slices(window)] = True
        return replace(self, pixels=_greyed(self.pixels, ~kept), known=self.known & kept)

    def part(self, window: Window) -> Proposal:
        """The opinion on a tile: boxes that are mostly inside, cut at its edges, in its own pixels."""
        inside, mine = _cut(self.opinion.boxes, window)
        return Proposal(
            boxes=inside[mine] - _corner(window),
            labels=self.opinion.labels[mine],
            confidence=self.opinion.confidence[mine],
            doubtful=self.opinion.doubtful[mine],
            agreement=None if self.opinion.agreement is None else self.opinion.agreement[mine],
        )

    def overruled(self, verdicts: Mapping[Window, Truth | None]) -> Page:
        """People's word on some tiles, in the tiles' own pixels, in place of the opinion there; ``None``: hidden."""
        if not verdicts:
            return self
        mine = np.zeros(len(self.opinion.boxes), bool)
        hidden = np.zeros_like(self.known)
        for window, truth in verdicts.items():
            mine |= _cut(self.opinion.boxes, window)[1]
            hidden[_slices(window)] |= truth is None
        said = [(truth, window) for window, truth in verdicts.items() if truth is not None]
        for _, window in said:
            hidden[_slices(window)] = False
        told = _once([Truth(boxes=truth.boxes + _corner(window), labels=truth.labels) for truth, window in said])
        opinion = Proposal(
            boxes=np.concatenate([self.opinion.boxes[~mine], told.boxes]),
            labels=np.concatenate([self.opinion.labels[~mine], told.labels]),
            confidence=np.concatenate([self.opinion.confidence[~mine], told.scores]),
            doubtful=np.concatenate([self.opinion.doubtful[~mine], np.zeros(len(told), bool)]),
        )
        return Page(pixels=_greyed(self.pixels, hidden), known=self.known & ~hidden, opinion=opinion)

    def lesson(self) -> Lesson:
        """What can be learned: certain boxes are objects, doubtful ones are hidden, the rest is background."""
        doubtful = self.opinion.doubtful
        hidden = np.zeros_like(self.known)
        for box in self.opinion.boxes[doubtful]:
            hidden[_inside(box, MARGIN)] = True
        for box in self.opinion.boxes[~doubtful]:
            hidden[_inside(box, 0)] = False
        truth = Truth(boxes=self.opinion.boxes[~doubtful], labels=self.opinion.labels[~doubtful])
        return Lesson(pixels=_greyed(self.pixels, hidden), truth=truth)


def put_together(tiles: Sequence[tuple[Window, NDArray[np.uint8]]]) -> Page | None:
    """Tiles of one frame, of which nothing is said yet; ``None`` if there are none."""
    if not tiles:
        return None
    width = max(window.box[2] for window, _ in tiles)
    height = max(window.box[3] for window, _ in tiles)
    pixels = np.full((height, width, 3), PAD, np.uint8)
    known = np.zeros((height, width), bool)
    for window, tile in tiles:
        pixels[_slices(window)] = tile
        known[_slices(window)] = True
    return Page(pixels=pixels, known=known, opinion=_silence())


def _silence() -> Proposal:
    nothing = Detections.none()
    return Proposal(boxes=nothing.boxes, labels=nothing.labels, confidence=nothing.scores, doubtful=np.zeros(0, bool))


def _once(truths: Sequence[Truth]) -> Detections:
    """Objects that people marked, each once: neighbouring tiles may both show it."""
    parts = [Truth(boxes=np.zeros((0, 4), np.float32), labels=np.zeros(0, np.int64)), *truths]
    boxes = np.concatenate([part.boxes for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    # The larger of two is the whole of which a tile's edge cut the other: it goes first.
    order = np.argsort(-areas(boxes), kind="stable")
    every = Detections(boxes=boxes[order], scores=np.ones(len(boxes), np.float32), labels=labels[order])
    return suppress(every, contained=0.8)


def _greyed(pixels: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> NDArray[np.uint8]:
    if not hidden.any():
        return pixels
    return np.where(hidden[..., None], np.uint8(PAD), pixels)


def _slices(window: Window) -> tuple[slice, slice]:
    x0, y0, x1, y1 = window.box
    return slice(y0, y1), slice(x0, x1)


def _inside(box: Floats, margin: int) -> tuple[slice, slice]:
    """The pixels that a box touches, and ``margin`` around them."""
    x0, y0 = (max(0, int(np.floor(value)) - margin) for value in box[:2])
    x1, y1 = (max(0, int(np.ceil(value)) + margin) for value in box[2:])
    return slice(y0, y1), slice(x0, x1)


def _corner(window: Window) -> Floats:
    return np.array([window.x0, window.y0] * 2, np.float32)


def _cut(boxes: Floats, window: Window) -> tuple[Floats, NDArray[np.bool_]]:
    """Boxes cut at a window's edges, and which of them are mostly inside."""
    x0, y0, x1, y1 = window.box
    inside = np.clip(boxes, np.array([x0, y0] * 2, np.float32), np.array([x1, y1] * 2, np.float32))
    return inside, areas(inside) >= MOSTLY * np.maximum(areas(boxes), 1)
