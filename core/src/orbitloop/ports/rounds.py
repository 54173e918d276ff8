"""Where the ground keeps what it knows of its learning rounds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from orbitloop.domain.learning import Evaluation, Stage
from orbitloop.domain.units import Bytes, Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An update that a round built: its file's digest and size, from which weights to which."""

    digest: Digest
    size: Bytes
    base: Digest
    result: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One learning round of one satellite.

    Args:
        number: from 1.
        stage: Train, Eval or Deploy.
        failures: trainings that failed, the last at ``failed_at`` because of ``failure``.
        samples: labelled samples that it used, held-out ones included.
        held_out: of those, the ones that were not trained on.
        closed: why the round is over, or ``None`` while it is not.
    """

    number: int
    stage: Stage = Stage.TRAIN
    failures: int = 0
    failed_at: datetime | None = None
    failure: str = ""
    samples: int = 0
    held_out: int = 0
    candidate: Candidate | None = None
    evaluation: Evaluation | None = None
    published: bool = False
    closed: str | None = None


class RoundBook(Protocol):
    """The rounds of one satellite, durable."""

    def current(self) -> Round:
        """The round that is open; the first one if there was none."""
        ...

    def save(self, state: Round) -> None:
        """Replace the open round's state; a closed one is filed, and the next begins."""
        ...

    def closed(self) -> list[Round]:
        """The rounds that are over, oldest first."""
        ...
