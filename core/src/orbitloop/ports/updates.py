"""Updates that the ground has published, and what satellites said about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from orbitloop.domain.units import Bytes, Digest
from orbitloop.wire.messages import Goodbye, Hello, Telemetry, UpdateReport


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedUpdate:
    """An update for one satellite.

    Args:
        digest: of the file at ``path``, whose length is ``size`` bytes.
        base: digest of the weights that must fly for it to apply; or those that a beginning of it makes of them.
        result: digest of the weights that fly afterwards.
        path: the signed delta container on the ground's disk.
    """

    satellite: str
    digest: Digest
    size: Bytes
    base: Digest
    result: Digest
    path: Path


class UpdateLedger(Protocol):
    """What is offered to whom, and what became of it."""

    def publish_update(self, update: PublishedUpdate) -> None:
        """Offer an update from the next contact on; idempotent.

        Raises ``BadInput`` when its file is missing or differs from what is said about it.
        """
        ...

    def offer_for(self, satellite: str, flying: Digest) -> PublishedUpdate | None:
        """The newest update on ``flying``, or of which a beginning makes it, that the satellite has not refused or
        rolled back.
        """
        ...

    def update(self, satellite: str, digest: Digest) -> PublishedUpdate | None:
        """A published update."""
        ...


class ContactLedger(Protocol):
    """What satellites say about themselves."""

    def record_hello(self, hello: Hello, at: datetime) -> bool:
        """A contact began at ``at``; ``False``, and nothing is recorded, if a later session has begun already.

        A session is later if its sequence is; the same hello again is taken. One that counts no sessions always is.
        """
        ...

    def record_report(self, report: UpdateReport, at: datetime) -> None:
        """What became of an update; the same report again changes nothing."""
        ...

    def record_goodbye(self, goodbye: Goodbye, at: datetime) -> None:
        """A contact ended at ``at``, before the signal did; the same goodbye again changes nothing."""
        ...

    def record_telemetry(self, telemetry: Telemetry, at: datetime) -> None:
        """Counters since launch, heard at ``at``."""
        ...
