"""A node in memory: what happens there, and what is wanted of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import JsonValue

from orbitloop.domain.errors import OrbitloopError
from orbitloop.wire.node_messages import NodeEvent


class MemoryEvents:
    """An :class:`~orbitloop.ports.node_channel.EventsOutbox` that forgets nothing but what was acknowledged."""

    def __init__(self, origin: str = "0" * 32) -> None:
        self._origin = origin
        self._waiting: list[NodeEvent] = []
        self._last = 0

    @property
    def origin(self) -> str:
        """Name of this outbox."""
        return self._origin

    def add(self, subject: str, at: datetime, value: dict[str, JsonValue]) -> NodeEvent:
        """Something happened."""
        self._last += 1
        event = NodeEvent(sequence=self._last, subject=subject, at=at, value=value)
        self._waiting.append(event)
        return event

    def pending(self, after: int) -> Sequence[NodeEvent]:
        """What the ground does not hold, of those with a sequence above ``after``."""
        return [event for event in self._waiting if event.sequence > after]

    def acknowledge(self, sequence: int) -> None:
        """The ground holds every event up to this one."""
        self._waiting = [event for event in self._waiting if event.sequence > sequence]


class RememberedState:
    """A :class:`~orbitloop.ports.node_channel.DesiredState` that keeps what it was told, and fails when it is to.

    Args:
        errors: what to raise, one a call, before anything is taken.
    """

    def __init__(self, errors: Sequence[OrbitloopError] = ()) -> None:
        self.documents: list[bytes] = []
        self._errors = list(errors)

    def apply(self, document: bytes) -> None:
        """Remember it."""
        if self._errors:
            raise self._errors.pop(0)
        self.documents.append(document)
