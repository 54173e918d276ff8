"""Cutting a frame into overlapping tiles and putting what was found in them together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections, DetectorSpec, Floats, concatenate, decode, suppress
from orbitloop.domain.errors import BadInput

Tiles: TypeAlias = NDArray[np.uint8]
"""Parts of a frame, ``(b, height, width, 3)`` RGB."""

PAD = 114
"""Grey level beyond the edge of a frame that is smaller than a tile."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Window:
    """A rectangle of a frame, in pixels: ``x0 <= x < x0 + width``, ``y0 <= y < y0 + height``."""

    y0: int
    x0: int
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """``x0, y0, x1, y1``, as Pillow wants it."""
        return self.x0, self.y0, self.x0 + self.width, self.y0 + self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """How detections are thinned out.

    Args:
        floor: lowest score that is kept at all.
        overlap: IoU above which the lower-scored of two boxes is dropped.
        contained: share of the smaller box inside the other above which it is dropped.
        at_edge: factor on the score of a box that touches an inner edge of its tile: the neighbour sees it whole.
    """

    floor: float = 0.01
    overlap: float = 0.45
    contained: float = 0.8
    at_edge: float = 0.6


Seeing: TypeAlias = "Callable[[list[Window]], list[Detections]]"
"""What is done with a few tiles."""


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Evenly spread starts of the fewest tiles that cover ``length`` and overlap by at least ``overlap`` pixels."""
    if not 0 <= overlap < tile:
        raise BadInput(f"tiles of {tile} pixels cannot overlap by {overlap}")
    if length <= tile:
        return [0]
    count = int(np.ceil((length - overlap) / (tile - overlap)))
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def windows(width: int, height: int, *, tile: int, overlap: int) -> list[Window]:
    """Tiles that cover a frame, row by row; a frame smaller than a tile gets one that reaches beyond it."""
    if width <= 0 or height <= 0:
        raise BadInput(f"an image of {width}x{height} pixels is empty")
    return [
        Window(x0=x, y0=y, width=tile, height=tile)
        for y in starts(height, tile, overlap)
        for x in starts(width, tile, overlap)
    ]


def cut(pixels: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """The window's ``(height, width, 3)`` pixels; what lies beyond the frame is grey."""
    part = pixels[window.y0 : window.y0 + window.height, window.x0 : window.x0 + window.width]
    if part.shape[:2] == (window.height, window.width):
        return part
    whole = np.full((window.height, window.width, 3), PAD, np.uint8)
    whole[: part.shape[0], : part.shape[1]] = part
    return whole


def in_floats(tiles: Tiles) -> Floats:
    """Tiles ``(b, h, w, 3)`` as networks want them: ``(b, 3, h, w)`` float32 in [0, 1]."""
    count, height, width, channels = tiles.shape
    images = np.empty((count, channels, height, width), np.float32)
    return np.divide(tiles.transpose(0, 3, 1, 2), np.float32(255), out=images, dtype=np.float32)


def detect(
    pixels: NDArray[np.uint8],
    forward: Callable[[Floats], list[Floats]],
    spec: DetectorSpec,
    *,
    overlap: int = 160,
    batch: int = 4,
    suppression: Suppression | None = None,
) -> Detections:
    """Run a detector over one frame.

    Args:
        pixels: ``(h, w, 3)`` uint8 RGB.
        forward: from ``(b, 3, tile, tile)`` float32 in [0, 1] to the raw outputs, one array per head.
        overlap: least overlap of neighbouring tiles in pixels, about the size of a large object; half a tile at most.
        batch: tiles per call of ``forward``.

    Returns:
        Detections in pixels of the frame, highest score first.
    """
    looking = Looking(overlap=overlap, batch=batch, suppression=suppression or Suppression())
    return look(pixels, lambda tiles: forward(in_floats(tiles)), spec, looking)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """How a frame is gone through.

    Args:
        overlap: least overlap of neighbouring tiles in pixels; half a tile at most.
        batch: tiles at a time.
        spread: what ``map`` does, perhaps in several threads; results come in the order of what they are made of.
    """

    overlap: int = 160
    batch: int = 1
    suppression: Suppression = Suppression()
    spread: Callable[[Seeing, Iterable[list[Window]]], Iterable[list[Detections]]] = map


def look(
    pixels: NDArray[np.uint8], see: Callable[[Tiles], list[Floats]], spec: DetectorSpec, looking: Looking
) -> Detections:
    """As :func:`detect`, with ``see`` from ``(b, tile, tile, 3)`` uint8 to the raw outputs."""
    rule = looking.suppression
    height, width = pixels.shape[:2]
    cover = windows(width, height, tile=spec.tile, overlap=min(looking.overlap, spec.tile // 2))

    def seen(group: list[Window]) -> list[Detections]:
        raw = see(np.stack([cut(pixels, window) for window in group]))
        parts: list[Detections] = []
        for window, part in zip(group, decode(raw, spec, floor=rule.floor), strict=True):
            whole = _mistrust_edges(suppress(part, overlap=rule.overlap), window, width, height, rule.at_edge)
            parts.append(whole.shifted(x=window.x0, y=window.y0))
        return parts

    groups = [cover[start : start + looking.batch] for start in range(0, len(cover), looking.batch)]
    found = [part for parts in looking.spread(seen, groups) for part in parts]
    return _clip(suppress(concatenate(found), overlap=rule.overlap, contained=rule.contained), width, height)


def _mistrust_edges(found: Detections, window: Window, width: int, height: int, factor: float) -> Detections:
    boxes, margin = found.boxes, 2
    cut_off = np.zeros(len(found), bool)
    if window.x0 > 0:
        cut_off |= boxes[:, 0] < margin
    if window.y0 > 0:
        cut_off |= boxes[:, 1] < margin
    if window.x0 + window.width < width:
        cut_off |= boxes[:, 2] > window.width - margin
    if window.y0 + window.height < height:
        cut_off |= boxes[:, 3] > window.height - margin
    scores = np.where(cut_off, found.scores * np.float32(factor), found.scores).astype(np.float32)
    return Detections(boxes=boxes, scores=scores, labels=found.labels)


def _clip(found: Detections, width: int, height: int) -> Detections:
    limits = np.array([width, height, width, height], np.float32)
    boxes = np.clip(found.boxes, 0, limits)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Detections(boxes=boxes, scores=found.scores, labels=found.labels).take(inside)
