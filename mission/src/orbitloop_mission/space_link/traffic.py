"""What has crossed a link."""

from __future__ import annotations

from dataclasses import dataclass, field

from orbitloop.domain.units import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossings:
    """What became of packets in one direction.

    Args:
        datagrams: offered, whether or not the signal was there.
        bytes: their payload.
        delivered: datagrams handed over; one that was duplicated counts twice.
        delivered_bytes: their payload.
        lost: lost on the way.
        dropped: turned away because the modem's queue was full or the recorded pass over.
        unheard: offered without a signal, or in flight when it was lost.
        refused: arrived, but nobody was there to take it.
        corrupted: arrived with a bit flipped.
        duplicated: arrived twice.
        repeated: bytes of TCP streams that were lost and crossed again.
    """

    datagrams: int = 0
    bytes: Bytes = Bytes(0)
    delivered: int = 0
    delivered_bytes: Bytes = Bytes(0)
    lost: int = 0
    dropped: int = 0
    unheard: int = 0
    refused: int = 0
    corrupted: int = 0
    duplicated: int = 0
    repeated: Bytes = Bytes(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a link has carried since it was opened.

    Args:
        down: bytes of TCP streams handed to the ground.
        up: bytes of TCP streams handed to the satellite.
        connections: accepted, so far; a connection outside of a contact window does not count.
        cuts: connections that were torn down by a loss of signal or an injected fault.
        downward: packets from the satellite.
        upward: packets to the satellite.
        offered: payload of the good frames that a recorded pass has had so far, used or not; ``None`` without one.
    """

    down: Bytes
    up: Bytes
    connections: int
    cuts: int
    downward: Crossings = field(default_factory=Crossings)
    upward: Crossings = field(default_factory=Crossings)
    offered: Bytes | None = None
