"""Labels of single tiles: by people, else by annotations, else by a teacher that does not doubt them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Digest
from orbitloop.ports.reviews import Proposal, ReviewQueue
from orbitloop.ports.sample_store import Blobs, ReceivedSample
from orbitloop.ports.trainer import Labeler
from orbitloop_ground.usecases.page import put_together

_log = logging.getLogger(__name__)

FARTHEST = 16_384
"""Farthest right or lower edge of a sample in its frame, in pixels: a frame of 16,384 pixels square takes 800 MB."""

Decode = Callable[[bytes, str], NDArray[np.uint8]]
"""From encoded pixels and a name for errors to ``(h, w, 3)`` uint8 RGB."""

LabelTile = Callable[[str, Window], Truth | None]
"""Objects of a tile, by the frame that it was cut from and where; ``None`` if nobody knows."""


class Opinions(Protocol):
    """What a labeller thinks of tiles, kept so that it looks at each once."""

    def record_opinions(self, labeller: str, thought: Mapping[Digest, Proposal]) -> None:
        """What it thinks, in place of what was thought before."""
        ...

    def opinions(self, names: Sequence[Digest], labeller: str | None = None) -> dict[Digest, Proposal]:
        """What is thought of these tiles, by ``labeller`` if one is named."""
        ...


class Desk(ReviewQueue, Opinions, Protocol):
    """The ledger, as those see it who label."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tiles:
    """Reads the pixels of samples.

    Args:
        decode: reads encoded pixels; raises ``BadInput`` for what is no picture.
    """

    blobs: Blobs
    decode: Decode

    def read(self, entry: ReceivedSample) -> NDArray[np.uint8] | None:
        """The sample's pixels, or ``None`` (and a line in the log) if they are not what its header says.

        One bad sample must not keep a satellite from learning: nothing that came down is trusted.
        """
        sample = entry.sample
        try:
            if max(sample.window.box) > FARTHEST:
                raise BadInput(f"sample {sample.id}: its window reaches to {max(sample.window.box)} pixels")
            tile = self.decode(self.blobs.get(entry.blob), f"sample {sample.id}")
            if tile.shape[:2] != (sample.window.height, sample.window.width):
                raise BadInput(f"sample {sample.id}: {tile.shape[1]}x{tile.shape[0]} pixels do not fill its window")
        except Refused as error:
            _log.warning("sample_unusable", extra={"satellite": entry.satellite, "why": str(error)})
            return None
        return tile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Teaching:
    """A teacher at work.

    Args:
        name: of the teacher; another one looks anew.
        labeler: looks at what came down of a frame.
    """

    name: str
    labeler: Labeler
    tiles: Tiles


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileLabeller:
    """Labels tiles.

    Args:
        desk: people's words, and where they are asked.
        archive: annotations, if there are any.
        teacher: who looks at tiles that neither people nor annotations know.
        believed: whether what a teacher thought before counts, of whatever name where none is at work.
    """

    desk: Desk
    archive: LabelTile | None = None
    teacher: Teaching | None = None
    believed: bool = False

    def label(self, wanted: Sequence[ReceivedSample], among: Sequence[ReceivedSample]) -> dict[Digest, Truth]:
        """What is known of the tiles that are ``wanted``, each in its own pixels; the others wait.

        Args:
            among: all tiles of the satellite: those of the same frames show more of it.
        """
        told, unknown = self._told(wanted)
        if self.teacher is not None:
            self._look(self.teacher, unknown, among)
        if self.teacher is not None or self.believed:
            names = [entry.sample.id for entry in unknown]
            thought = self.desk.opinions(names, None if self.teacher is None else self.teacher.name)
            told |= {name: _truth(opinion) for name, opinion in thought.items() if not opinion.doubtful.any()}
        return told

    def _told(self, wanted: Sequence[ReceivedSample]) -> tuple[dict[Digest, Truth], list[ReceivedSample]]:
        """What people and annotations say, and those tiles of which they say nothing."""
        words = self.desk.decided()
        told: dict[Digest, Truth] = {}
        unknown = []
        for entry in wanted:
            sample = entry.sample
            truth = words.get(sample.id)
            if truth is None and sample.id not in words and self.archive is not None:
                truth = self.archive(sample.frame, sample.window)
            if truth is not None:
                told[sample.id] = truth
            elif sample.id not in words:
                unknown.append(entry)
        return told, unknown

    def _look(self, teacher: Teaching, unknown: Sequence[ReceivedSample], among: Sequence[ReceivedSample]) -> None:
        """Let the teacher look at the frames of which it has not seen all tiles that are unknown."""
        seen = self.desk.opinions([entry.sample.id for entry in unknown], teacher.name)
        new: dict[str, set[Digest]] = defaultdict(set)
        for entry in unknown:
            if entry.sample.id not in seen:
                new[entry.sample.frame].add(entry.sample.id)
        frames: dict[str, list[ReceivedSample]] = defaultdict(list)
        for entry in among:
            if entry.sample.frame in new:
                frames[entry.sample.frame].append(entry)
        for frame, entries in frames.items():
            self._look_at(teacher, frame, entries, new[frame])

    def _look_at(self, teacher: Teaching, frame: str, entries: Sequence[ReceivedSample], new: set[Digest]) -> None:
        read = [(entry.sample, tile) for entry in entries if (tile := teacher.tiles.read(entry)) is not None]
        page = put_together([(sample.window, tile) for sample, tile in read])
        opinion = None if page is None else teacher.labeler.label(frame, page.pixels, page.known)
        if page is None or opinion is None:
            return
        page = page.labelled(opinion)
        thought = {sample.id: (sample, page.part(sample.window)) for sample, _ in read if sample.id in new}
        for name, (sample, part) in thought.items():
            if part.doubtful.any():
                self.desk.propose(name, frame, sample.window, part)
        # Last: a teacher that was stopped before this looks again.
        self.desk.record_opinions(teacher.name, {name: part for name, (_, part) in thought.items()})


def _truth(opinion: Proposal) -> Truth:
    return Truth(boxes=opinion.boxes, labels=opinion.labels)
