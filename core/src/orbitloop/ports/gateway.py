"""The ground, as the satellite sees it during a contact. Every method raises ``LinkClosed`` when the signal is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orbitloop.domain.units import Bytes, Digest
from orbitloop.wire.messages import Hello, Receipt, Telemetry, UpdateReport, Welcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A bundle that the ground has room for; ``offset`` of its ``size`` bytes are there already."""

    bundle: Digest
    size: Bytes
    offset: Bytes


class Conversation(Protocol):
    """Messages, each acknowledged when the method returns."""

    def hello(self, hello: Hello) -> Welcome:
        """Open the session."""
        ...

    def report(self, report: UpdateReport) -> None:
        """Say what became of an update."""
        ...

    def telemetry(self, telemetry: Telemetry) -> None:
        """Say what happened since launch."""
        ...


class Downlink(Protocol):
    """Bundles to the ground, resumable."""

    def begin(self, bundle: Digest, size: Bytes) -> Transfer:
        """Announce a bundle, or find how far it came before."""
        ...

    def send(self, transfer: Transfer, parts: Iterable[bytes], size: Bytes) -> Transfer:
        """Send the next ``size`` bytes, given in ``parts``, behind ``transfer.offset``; returns where it stands now.

        Raises ``Untrusted`` or ``BadInput`` if the bundle was refused once it was complete.
        """
        ...

    def receipt(self, bundle: Digest) -> Receipt | None:
        """The ground's word that it holds the bundle durably."""
        ...


class Uplink(Protocol):
    """Updates from the ground, resumable."""

    def fetch(self, artifact: Digest, start: Bytes) -> AbstractContextManager[tuple[Bytes, Iterator[bytes]]]:
        """The bytes of an artifact, and where they begin: at ``start``, or at 0 where the ground cannot resume.

        Raises ``BadInput`` if the ground has no such artifact, or none of that length.
        """
        ...


class Gateway(Conversation, Downlink, Uplink, Protocol):
    """All that a contact session needs of the ground."""


class Outbox(Protocol):
    """Reports that wait on board until the ground has acknowledged them."""

    def put(self, report: UpdateReport) -> None:
        """Keep a report durably."""
        ...

    def waiting(self) -> list[UpdateReport]:
        """What the ground has not acknowledged, oldest first."""
        ...

    def acknowledged(self, report: UpdateReport) -> None:
        """The ground has it. Idempotent."""
        ...


class Inbox(Protocol):
    """Updates on their way up: bytes that arrived, kept across cuts."""

    def held(self, update: Digest) -> Bytes:
        """How many bytes of an update are here; what is here of any other is forgotten: one is offered at a time."""
        ...

    def keep(self, update: Digest, start: Bytes, parts: Iterable[bytes]) -> None:
        """Write ``parts`` from ``start`` on; where ``parts`` raises, what came before is kept. Raises ``NoSpace``."""
        ...

    def take(self, update: Digest) -> Path:
        """The whole update. Raises ``Untrusted``, and forgets it, if its bytes do not match its digest."""
        ...

    def discard(self, update: Digest) -> None:
        """Forget an update; idempotent."""
        ...
