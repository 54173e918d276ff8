"""Tiles of test frames in which the launched and the final model differ most."""

from __future__ import annotations

import numpy as np

from orbitloop.domain.detection import Detections, Floats, Truth, iou
from orbitloop.domain.tiling import Window, windows
from orbitloop.ports.trainer import Lesson
from orbitloop_edge.adapters.imagery import encode_picture
from orbitloop_mission.report.schema import GalleryTile, TileWindow

SIDE = 480
SHOWN = 0.4
"""Score from which a detection is drawn."""
MOST = 8


def gallery(
    names: list[str], frames: list[Lesson], before: list[Detections], after: list[Detections]
) -> tuple[list[GalleryTile], dict[str, bytes]]:
    """One tile per frame, the one with the largest change; pictures are WebP by key."""
    tiles: list[GalleryTile] = []
    pictures: dict[str, bytes] = {}
    for number, (name, frame) in enumerate(list(zip(names, frames, strict=True))[:MOST]):
        first, last = _shown(before[number]), _shown(after[number])
        window = _most_changed(frame, first, last)
        key = f"tile-{number + 1}"
        x0, y0, x1, y1 = window.box
        pictures[key] = encode_picture(np.ascontiguousarray(frame.pixels[y0:y1, x0:x1]), "webp", 80)
        tiles.append(
            GalleryTile(
                frame=name,
                window=TileWindow(x0=x0, y0=y0, width=window.width, height=window.height),
                truth=tuple(_inside(frame.truth.boxes, None, window)),
                before=tuple(_inside(first.boxes, first.scores, window)),
                after=tuple(_inside(last.boxes, last.scores, window)),
                image=key,
            )
        )
    return tiles, pictures


def _shown(found: Detections) -> Detections:
    return found.take(found.scores >= SHOWN)


def _most_changed(frame: Lesson, before: Detections, after: Detections) -> Window:
    height, width = frame.pixels.shape[:2]
    side = min(SIDE, height, width)

    def change(window: Window) -> tuple[int, int]:
        truth = _within(frame.truth.boxes, window)
        right = _right(frame.truth, after, window) - _right(frame.truth, before, window)
        return right, int(truth.sum())

    return max(windows(width, height, tile=side, overlap=side // 3), key=change)


def _within(boxes: Floats, window: Window) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    x0, y0, x1, y1 = window.box
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.asarray((centre[:, 0] >= x0) & (centre[:, 0] < x1) & (centre[:, 1] >= y0) & (centre[:, 1] < y1), np.bool_)


def _right(truth: Truth, found: Detections, window: Window) -> int:
    """Objects found minus false alarms, inside a window."""
    objects = truth.boxes[_within(truth.boxes, window)]
    seen = found.boxes[_within(found.boxes, window)]
    if not len(objects) or not len(seen):
        return -len(seen)
    overlaps = iou(objects, seen) >= 0.5
    return int(overlaps.any(axis=1).sum()) - int((~overlaps.any(axis=0)).sum())


def _inside(boxes: Floats, scores: Floats | None, window: Window) -> list[tuple[float, ...]]:
    """Boxes that reach into the window, in its own pixels, with their score if there is one."""
    x0, y0, _, _ = window.box
    moved = np.clip(boxes - np.array([x0, y0, x0, y0]), 0, [window.width, window.height] * 2)
    rows = []
    for index in np.flatnonzero((moved[:, 2] - moved[:, 0] > 4) & (moved[:, 3] - moved[:, 1] > 4)):
        row = [round(float(value), 1) for value in moved[index]]
        rows.append(tuple(row if scores is None else [*row, round(float(scores[index]), 3)]))
    return rows
