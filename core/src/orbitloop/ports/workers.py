"""Workers, as whoever gives them work sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pydantic import Field

from orbitloop.domain.units import Bytes, Digest
from orbitloop.wire.messages import (
    MOST_DAMAGED,
    DamagedChunk,
    DigestText,
    LogicOnBoard,
    Message,
    Offer,
    Telemetry,
    UpdateReport,
)


class WorkerStatus(Message):
    """What an inference worker says of itself.

    Args:
        flying: digest of the weights that look at the frames.
        telemetry: counts since launch.
        last: what became of the last update, if there was one.
        damaged: chunks of models on board that only the ground may have.
        logic: what became of selection logics; ``None`` from workers that go by none.
    """

    flying: DigestText
    telemetry: Telemetry
    last: UpdateReport | None = None
    damaged: tuple[DamagedChunk, ...] = Field(default=(), max_length=MOST_DAMAGED)
    logic: LogicOnBoard | None = None


class InferenceWorker(Protocol):
    """The worker on board. All methods raise ``NotYet`` while it is not there."""

    def status(self) -> WorkerStatus:
        """What flies, and what was seen so far."""
        ...

    def prove(self, path: Path, offer: Offer) -> UpdateReport:
        """Prove a fetched update and swap it in; repeating it is harmless.

        Raises ``Refused``, which is reported, or ``NotYet``, after which it may be tried again.
        """
        ...

    def prove_beginning(self, path: Path, offer: Offer, here: Bytes) -> Digest | None:
        """Prove what the whole steps make of which the first ``here`` bytes in ``path`` are, and swap it in.

        Returns the digest of what flies now; ``None`` if nothing else flies than before.
        """
        ...
