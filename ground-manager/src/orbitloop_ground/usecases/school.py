"""From received samples to lessons: tiles of one frame are put together again, then labelled.

What people decided about a tile goes before what a labeller thinks; what nobody knows is grey, so that nothing is
learned from it: neither that something is there nor that nothing is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from orbitloop.domain.detection import Truth
from orbitloop.domain.rollout import is_canary
from orbitloop.domain.tiling import Window
from orbitloop.ports.sample_store import Blobs, ReceivedSample
from orbitloop.ports.trainer import Labeler, Lesson
from orbitloop.wire.update import CanaryTruth
from orbitloop_ground.usecases.labelling import Decode, Desk, Tiles
from orbitloop_ground.usecases.page import Page, put_together

MOST_CANARIES = 24
"""Tiles whose labels go up with an update: about 60 bytes each."""
_LABELLER = "lessons"
"""Whose opinions a round keeps: its labeller looks again in each."""


class School:
    """Prepares lessons.

    Args:
        blobs: where the samples' pixels are.
        labeler: who labels.
        decode: reads encoded pixels; raises ``BadInput`` for what is no picture.
        reviews: where people are asked about tiles with doubtful boxes, and answer; without it nobody is asked.
            What a labeller thinks is kept there too.
    """

    def __init__(self, blobs: Blobs, labeler: Labeler, decode: Decode, reviews: Desk | None = None) -> None:
        self._labeler = labeler
        self._tiles_of = Tiles(blobs=blobs, decode=decode)
        self._reviews = reviews

    def lessons(self, samples: Sequence[ReceivedSample]) -> list[Lesson]:
        """One lesson per frame, of all its samples that are not held out; what nobody knows is grey."""
        frames: dict[str, list[ReceivedSample]] = defaultdict(list)
        for entry in samples:
            if not is_canary(entry.sample.id):
                frames[entry.sample.frame].append(entry)
        read = [self._read(frame, entries) for frame, entries in sorted(frames.items())]
        return [page.lesson() for page in read if page is not None]

    def held_out(self, samples: Sequence[ReceivedSample]) -> list[Lesson]:
        """One lesson per held-out tile without a doubtful box."""
        return [lesson for _, lesson in self._tiles(samples)]

    def canaries(self, samples: Sequence[ReceivedSample]) -> list[CanaryTruth]:
        """What to tell the satellite of the held-out tiles that it kept: those with objects first."""
        return self.tests(samples)[1]

    def tests(self, samples: Sequence[ReceivedSample]) -> tuple[list[Lesson], list[CanaryTruth]]:
        """What :meth:`held_out` and :meth:`canaries` give, with each tile labelled once."""
        tiles = self._tiles(samples)
        first = sorted(tiles, key=lambda tile: -len(tile[1].truth.labels))[:MOST_CANARIES]
        told = [CanaryTruth(sample=entry.sample.id, truth=lesson.truth) for entry, lesson in first]
        return [lesson for _, lesson in tiles], told

    def _tiles(self, samples: Sequence[ReceivedSample]) -> list[tuple[ReceivedSample, Lesson]]:
        tiles = []
        for entry in samples:
            if not is_canary(entry.sample.id):
                continue
            page = self._read(entry.sample.frame, [entry])
            if page is not None and page.is_certain:
                tiles.append((entry, _inside(page.lesson(), entry.sample.window)))
        return tiles

    def _read(self, frame: str, entries: list[ReceivedSample]) -> Page | None:
        """What is known of a frame by these samples; ``None`` if nothing is."""
        tiles = [(entry.sample, tile) for entry in entries if (tile := self._tiles_of.read(entry)) is not None]
        words = {} if self._reviews is None else self._reviews.decided()
        decided = {sample.window: words[sample.id] for sample, _ in tiles if sample.id in words}
        page = put_together([(sample.window, tile) for sample, tile in tiles])
        if page is None:
            return None
        opinion = self._labeler.label(frame, page.pixels, page.known)
        if opinion is None and not decided:
            return None
        if opinion is None:
            return page.only(list(decided)).overruled(decided)
        page = page.labelled(opinion)
        if self._reviews is not None:
            parts = {sample.id: page.part(sample.window) for sample, _ in tiles}
            for sample, _ in tiles:
                if sample.id not in words and parts[sample.id].doubtful.any():
                    self._reviews.propose(sample.id, frame, sample.window, parts[sample.id])
            if opinion.agreement is not None:  # what annotations say is no opinion
                self._reviews.record_opinions(_LABELLER, parts)
        return page.overruled(decided)


def _inside(lesson: Lesson, window: Window) -> Lesson:
    """The part of a lesson that lies in ``window``, boxes cut at its edges."""
    x0, y0, x1, y1 = window.box
    limits = np.array([window.width, window.height] * 2, np.float32)
    boxes = np.clip(lesson.truth.boxes - np.array([x0, y0, x0, y0], np.float32), 0, limits)
    return Lesson(pixels=lesson.pixels[y0:y1, x0:x1], truth=Truth(boxes=boxes, labels=lesson.truth.labels))
