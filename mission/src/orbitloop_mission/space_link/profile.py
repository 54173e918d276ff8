"""What a space link is like, and what has crossed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import MEGABIT, BitsPerSecond, Bytes, capacity

NOMINAL_DOWNLINK = BitsPerSecond(100 * MEGABIT)
NOMINAL_UPLINK = MEGABIT
_ONE_PACKET = Bytes(1_500)


class Direction(Enum):
    """Seen from the ground, as radio engineers do."""

    DOWN = "down"
    UP = "up"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkProfile:
    """Rates and delay of a space link. The rates count payload: what TCP and IP add is not charged.

    Args:
        downlink: satellite to ground, shared by all connections.
        uplink: ground to satellite, shared by all connections.
        delay: one way, fixed or a function of the moment (the slant range over the speed of light). It is asked
            about every 100 ms of mission time.
        burst: how long the link may run at any speed after a pause. Short enough that the rate is honest over
            100 ms, long enough to hide the machine's own timer.

    Raises:
        BadInput: a rate or burst that is not positive.
    """

    downlink: BitsPerSecond = NOMINAL_DOWNLINK
    uplink: BitsPerSecond = NOMINAL_UPLINK
    delay: timedelta | Callable[[datetime], timedelta] = timedelta(milliseconds=4)
    burst: timedelta = timedelta(milliseconds=20)

    def __post_init__(self) -> None:
        if self.downlink <= 0 or self.uplink <= 0:
            raise BadInput(f"a link of {self.downlink} bit/s down, {self.uplink} up carries nothing; give rates over 0")
        if self.burst <= timedelta(0):
            raise BadInput(f"a burst of {self.burst} lets nothing through; give some milliseconds")

    def rate(self, direction: Direction) -> BitsPerSecond:
        """Bits per second in ``direction``."""
        return self.downlink if direction is Direction.DOWN else self.uplink

    def depth(self, direction: Direction) -> Bytes:
        """The most bytes that may pass at once in ``direction``; never less than one packet."""
        return max(_ONE_PACKET, capacity(self.burst, self.rate(direction)))

    def delay_at(self, moment: datetime) -> timedelta:
        """The one-way propagation delay at ``moment``."""
        return self.delay if isinstance(self.delay, timedelta) else self.delay(moment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a link has carried since it was opened.

    Args:
        down: bytes handed to the ground.
        up: bytes handed to the satellite.
        connections: accepted, so far; a connection outside of a contact window does not count.
        cuts: connections that were torn down by a loss of signal or an injected fault.
    """

    down: Bytes
    up: Bytes
    connections: int
    cuts: int
