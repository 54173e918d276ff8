"""The models on board, as those see them who look after them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections
from orbitloop.domain.units import Digest
from orbitloop.wire.messages import DamagedChunk, Trust, UpdateReport
from orbitloop.wire.model_folder import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A place on the disk that is not what it was: chunk ``index`` of ``part`` in ``slot``, which is empty for what
    the slots share.
    """

    slot: str
    part: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mending:
    """What became of an attempt to make everything on the disk good.

    Args:
        found: what was damaged before.
        open: what is damaged still.
        missing: chunks that only the ground may have.
        whole: digests of the models that are whole now.
    """

    found: frozenset[Damage]
    open: frozenset[Damage]
    missing: tuple[DamagedChunk, ...]
    whole: frozenset[Digest]


class Loaded(Protocol):
    """A detector, and the model in memory that it was made of."""

    @property
    def version(self) -> Digest:
        """Digest of the weights."""
        ...

    @property
    def model(self) -> Model:
        """What is in memory now."""
        ...

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """What it sees in a picture, ``(h, w, 3)`` uint8 RGB."""
        ...

    def answer(self) -> Digest:
        """Digest of the raw outputs for a fixed picture."""
        ...

    def rest(self) -> None:
        """Let go of what is made of the model in memory; it is made anew when it is needed."""
        ...


class ScrubbedSlots(Protocol):
    """Where models live on board."""

    def standing(self) -> tuple[Digest, Digest | None]:
        """What ought to fly, and the last good model if that is another."""
        ...

    def last(self) -> UpdateReport | None:
        """What became of the last update."""
        ...

    def active(self) -> Model:
        """What ought to fly, checked."""
        ...

    def kept(self) -> Model:
        """The last good model, checked."""
        ...

    def fall_back(self, report: UpdateReport | None) -> None:
        """Let the last good model fly for good."""
        ...

    def looks_at(self, model: Model, of: Digest) -> Iterator[tuple[int, bool]]:
        """A model in memory, a chunk at a time: how many bytes, and whether they are what they were."""
        ...

    def looks(self) -> Iterator[tuple[int, bool]]:
        """The same of all that counts on the disk."""
        ...

    def mend(self, memory: Sequence[Model]) -> Mending:
        """Make good what is damaged on the disk, also out of models in memory, which may be damaged themselves."""
        ...

    @property
    def repairs(self) -> Collection[Digest]:
        """Chunks that the ground has sent."""
        ...

    def record(self, model: Digest, engine: str, outputs: Digest) -> None:
        """Note what a model answers to the known question."""
        ...

    def answer(self, model: Digest, engine: str) -> Digest | None:
        """What was noted, if it was by the same engine."""
        ...


class Starts(Protocol):
    """How often the worker died, durably."""

    def deaths(self, model: Digest) -> int:
        """Starts with a model that no proof of life has followed."""
        ...

    def begin(self, model: Digest) -> None:
        """A model is about to be loaded."""
        ...

    def end(self, model: Digest) -> None:
        """The worker ends in good order: this start does not count."""
        ...

    def lives(self, model: Digest) -> None:
        """A model has proved that it lives."""
        ...

    def blame(self, model: Digest) -> None:
        """At a start: a death in the midst of a proof is none of the model that flew."""
        ...


class Record(Protocol):
    """What scrubbing has found, durably."""

    @property
    def trust(self) -> Trust:
        """What was noted last."""
        ...

    @property
    def since(self) -> datetime | None:
        """Since when something else looks at frames than ought to."""
        ...

    def note(self, trust: Trust, since: datetime | None) -> None:
        """Note both."""
        ...
