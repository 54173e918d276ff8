"""The ground, as the satellite sees it during a contact. Every method raises ``LinkClosed`` when the signal is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import Bytes, Digest
from orbitloop.wire.messages import Goodbye, Hello, Receipt, Telemetry, UpdateReport, Welcome
from orbitloop.wire.node_messages import NodeEvents

Crossed = Callable[[Bytes], None]
"""Told of bytes that have just crossed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A bundle that the ground has room for; the bytes ``held`` of its ``size`` are there already.

    One convergence layer leaves a gap where datagrams were lost, another fills it: both go by the same spans.
    """

    bundle: Digest
    size: Bytes
    held: Spans = Spans()

    @property
    def missing(self) -> Spans:
        """What is still to be sent."""
        return self.held.missing(self.size)

    @property
    def complete(self) -> bool:
        """Whether the ground has every byte."""
        return not self.missing


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

    def events(self, events: NodeEvents) -> None:
        """Say what happened at the node. Only to a ground whose welcome takes them."""
        ...

    def goodbye(self, goodbye: Goodbye) -> None:
        """End the session."""
        ...


class Downlink(Protocol):
    """Bundles to the ground, resumable."""

    def begin(self, bundle: Digest, size: Bytes) -> Transfer:
        """Announce a bundle, or find how far it came before."""
        ...

    def send(self, transfer: Transfer, data: memoryview, most: Bytes, crossed: Crossed) -> Transfer:
        """Send up to ``most`` of the missing bytes of the bundle ``data``, from the first on; returns where it stands.

        May send less than asked for; it always gets further, or raises. What the ground acknowledged before a
        ``LinkClosed`` is not sent again.

        Raises ``Untrusted`` or ``BadInput`` if the bundle was refused once it was complete.
        """
        ...

    def receipt(self, bundle: Digest) -> Receipt | None:
        """The ground's word that it holds the bundle durably."""
        ...


class Uplink(Protocol):
    """Updates and desired states from the ground, resumable."""

    def fetch(
        self, artifact: Digest, size: Bytes, missing: Spans
    ) -> AbstractContextManager[Iterator[tuple[int, bytes]]]:
        """Bytes of an artifact, each piece with the offset at which it begins, in any order, until nothing of
        ``missing`` is missing or the ground ends the answer early.

        A ground that cannot resume sends from 0.

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

    def held(self, update: Digest) -> Spans:
        """Which bytes of an update are here; what is here of any other is forgotten: one is offered at a time."""
        ...

    def keep(self, update: Digest, pieces: Iterable[tuple[int, bytes]]) -> None:
        """Write ``pieces``, each at its offset; what came before an error is kept. Raises ``NoSpace``."""
        ...

    def beginning(self, update: Digest) -> tuple[Path, Bytes]:
        """The file of an update, and how many of its first bytes are here without a gap."""
        ...

    def take(self, update: Digest) -> Path:
        """The whole update. Raises ``Untrusted``, and forgets it, if its bytes do not match its digest."""
        ...

    def discard(self, update: Digest) -> None:
        """Forget an update; idempotent."""
        ...
