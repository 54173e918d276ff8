"""From received samples to lessons: tiles of one frame are put together again, then labelled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Truth
from orbitloop.domain.rollout import is_canary
from orbitloop.domain.tiling import PAD, Window
from orbitloop.ports.sample_store import Blobs, ReceivedSample
from orbitloop.ports.trainer import Labeler, Lesson
from orbitloop.wire.update import CanaryTruth

Decode = Callable[[bytes, str], NDArray[np.uint8]]
"""From encoded pixels and a name for errors to ``(h, w, 3)`` uint8 RGB."""

MOST_CANARIES = 24
"""Tiles whose labels go up with an update: about 60 bytes each."""


class School:
    """Prepares lessons.

    Args:
        blobs: where the samples' pixels are.
        labeler: who labels.
        decode: reads encoded pixels; raises ``BadInput`` for what is no picture.
    """

    def __init__(self, blobs: Blobs, labeler: Labeler, decode: Decode) -> None:
        self._blobs = blobs
        self._labeler = labeler
        self._decode = decode

    def lessons(self, samples: Sequence[ReceivedSample]) -> list[Lesson]:
        """One lesson per frame, of all its samples that are not held out; what did not come down is grey."""
        frames: dict[str, list[ReceivedSample]] = defaultdict(list)
        for entry in samples:
            if not is_canary(entry.sample.id):
                frames[entry.sample.frame].append(entry)
        made = [self._lesson(frame, entries) for frame, entries in sorted(frames.items())]
        return [lesson for lesson in made if lesson is not None]

    def held_out(self, samples: Sequence[ReceivedSample]) -> list[Lesson]:
        """One lesson per held-out tile."""
        return [lesson for _, lesson in self._tiles(samples)]

    def canaries(self, samples: Sequence[ReceivedSample]) -> list[CanaryTruth]:
        """What to tell the satellite of the held-out tiles that it kept: those with objects first."""
        tiles = sorted(self._tiles(samples), key=lambda tile: -len(tile[1].truth.labels))[:MOST_CANARIES]
        return [CanaryTruth(sample=entry.sample.id, truth=lesson.truth) for entry, lesson in tiles]

    def _tiles(self, samples: Sequence[ReceivedSample]) -> list[tuple[ReceivedSample, Lesson]]:
        tiles = []
        for entry in samples:
            if not is_canary(entry.sample.id):
                continue
            lesson = self._lesson(entry.sample.frame, [entry])
            if lesson is not None:
                tiles.append((entry, _inside(lesson, entry.sample.window)))
        return tiles

    def _lesson(self, frame: str, entries: list[ReceivedSample]) -> Lesson | None:
        width = max(entry.sample.window.box[2] for entry in entries)
        height = max(entry.sample.window.box[3] for entry in entries)
        pixels = np.full((height, width, 3), PAD, np.uint8)
        known = np.zeros((height, width), bool)
        for entry in entries:
            x0, y0, x1, y1 = entry.sample.window.box
            tile = self._decode(self._blobs.get(entry.blob), f"sample {entry.sample.id}")
            pixels[y0:y1, x0:x1] = tile[: y1 - y0, : x1 - x0]
            known[y0:y1, x0:x1] = True
        truth = self._labeler.label(frame, pixels, known)
        return None if truth is None else Lesson(pixels=pixels, truth=truth)


def _inside(lesson: Lesson, window: Window) -> Lesson:
    """The part of a lesson that lies in ``window``, boxes cut at its edges."""
    x0, y0, x1, y1 = window.box
    limits = np.array([window.width, window.height] * 2, np.float32)
    boxes = np.clip(lesson.truth.boxes - np.array([x0, y0, x0, y0], np.float32), 0, limits)
    return Lesson(pixels=lesson.pixels[y0:y1, x0:x1], truth=Truth(boxes=boxes, labels=lesson.truth.labels))
