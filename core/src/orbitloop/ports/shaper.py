"""Egress towards each peer held to a rate: by the kernel's queues or by waiting in the process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from ipaddress import AddressValueError, IPv4Address
from types import TracebackType
from typing import Protocol, Self

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import BitsPerSecond, Bytes

_LAST_PORT = 65_535


class ShaperKind(Enum):
    """Who holds the rate."""

    KERNEL = "kernel"
    USER = "user"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Peer:
    """Whoever bytes are sent to.

    Args:
        address: IPv4, as four numbers.
        port: TCP or UDP port; ``None`` is all of them.

    Raises:
        BadInput: an address or port that does not exist.
    """

    address: str
    port: int | None = None

    def __post_init__(self) -> None:
        try:
            IPv4Address(self.address)
        except AddressValueError as error:
            raise BadInput(f"{self.address!r} is no IPv4 address ({error}); give four numbers, as 10.0.0.2") from error
        if self.port is not None and not 1 <= self.port <= _LAST_PORT:
            raise BadInput(f"{self.address} has no port {self.port}; give one from 1 to {_LAST_PORT}")


class Shaper(Protocol):
    """Holds what is sent to each limited peer to its rate, until the ``with`` block ends.

    A sender asks :meth:`pace` before everything it sends, and waits as long as it says; so it need not know who holds
    the rate. A limit for one port of a peer counts before one for all of its ports. May be called from any thread.
    """

    @property
    def kind(self) -> ShaperKind:
        """Who holds the rate."""
        ...

    def limit(self, peer: Peer, rate: BitsPerSecond) -> None:
        """Hold what is sent to ``peer`` to ``rate``, or change its rate. Raises ``BadInput`` if it is not positive."""
        ...

    def lift(self, peer: Peer) -> None:
        """Hold ``peer`` no longer. Nothing happens if it was not held."""
        ...

    def pace(self, peer: Peer, size: Bytes) -> timedelta:
        """How long to wait before ``size`` bytes are sent to ``peer``; the kernel's queues wait by themselves: zero.

        What is asked for counts as sent.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take back every limit."""
        ...
