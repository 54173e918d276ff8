"""What a Local Controller gives to a contact session, and takes from it, beside samples and updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orbitloop.domain.units import Digest
from orbitloop.wire.node_messages import NodeEvent


class EventsOutbox(Protocol):
    """Node events that wait on board until the ground holds them; the last one of each subject is enough."""

    @property
    def origin(self) -> str:
        """Random name of this outbox, 32 hexadecimal digits: an outbox made anew has another."""
        ...

    def pending(self, after: int) -> Sequence[NodeEvent]:
        """What the ground does not hold, of those with a sequence above ``after``, oldest first."""
        ...

    def acknowledge(self, sequence: int) -> None:
        """The ground holds every event up to this one. Idempotent."""
        ...


class DesiredState(Protocol):
    """Takes what the ground wants the node to be like."""

    def apply(self, document: bytes) -> None:
        """Bring the node towards ``document``, JSON; the same again changes nothing.

        Raises:
            Refused: it cannot be used; another one has to come.
            NotYet: later.
        """
        ...


class DesiredShelf(Protocol):
    """The desired state that came last."""

    def digest(self) -> Digest | None:
        """Of the document that is here; ``None`` before the first."""
        ...

    def put(self, document: bytes) -> None:
        """Keep it in place of the one before, durably, then have it applied."""
        ...
