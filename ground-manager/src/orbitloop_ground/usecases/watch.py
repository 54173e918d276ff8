"""What those who run the ground see of its convergence layers: who was turned away and why, and what crossed."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from orbitloop.domain.units import Bytes


class Refusal(StrEnum):
    """Why somebody was turned away."""

    STRANGER = "stranger"
    EXPIRED = "expired"
    REVOKED = "revoked"
    IMPERSONATION = "impersonation"
    REPLAYED = "replayed"
    UNTRUSTED = "untrusted"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    TOO_MANY = "too_many"
    NO_ROOM = "no_room"


class Way(StrEnum):
    """Seen from the ground."""

    IN = "in"
    OUT = "out"


class Watch(Protocol):
    """Told as it happens, from any thread."""

    def refused(self, why: Refusal) -> None:
        """Somebody was turned away."""
        ...

    def crossed(self, satellite: str, way: Way, count: Bytes) -> None:
        """Payload crossed the link; its satellite is in contact."""
        ...

    def left(self, satellite: str) -> None:
        """A satellite said goodbye."""
        ...


class NobodyWatches:
    """A :class:`Watch` that forgets."""

    def refused(self, why: Refusal) -> None:
        """Nothing."""

    def crossed(self, satellite: str, way: Way, count: Bytes) -> None:
        """Nothing."""

    def left(self, satellite: str) -> None:
        """Nothing."""
