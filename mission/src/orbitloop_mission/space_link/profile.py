"""What a space link is like, and what has crossed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import BadInput
from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import MEGABIT, BitsPerSecond, Bytes, capacity
from orbitloop_mission.space_link.impairments import Impairments
from orbitloop_mission.space_link.trace import Trace

NOMINAL_DOWNLINK = BitsPerSecond(100 * MEGABIT)
NOMINAL_UPLINK = MEGABIT
ALWAYS = (
    ContactWindow(
        aos=datetime.min.replace(tzinfo=UTC), los=datetime.max.replace(tzinfo=UTC), station="always", peak=90.0
    ),
)
"""The contact plan of a link that never ends."""

_ONE_PACKET = Bytes(1_500)
_SMALLEST_QUEUE = Bytes(32 * 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkProfile:
    """Rates, delay and faults of a space link.

    Streams are charged their payload: what TCP and IP add is not. Datagrams are charged 28 bytes of IP and UDP each.

    Args:
        downlink: satellite to ground, shared by all connections.
        uplink: ground to satellite, shared by all connections.
        delay: one way, fixed or a function of the moment (the slant range over the speed of light). It is asked
            about every 100 ms of mission time.
        burst: how long the link may run at any speed after a pause. Short enough that the rate is honest over
            100 ms, long enough to hide the machine's own timer.
        queue: how long a datagram may wait for those before it; one that would have to wait longer is dropped.
        impairments: what goes wrong.
        trace: a recorded pass, which takes the place of ``downlink``.

    Raises:
        BadInput: a rate, burst or queue that is not positive, or a negative delay.
    """

    downlink: BitsPerSecond = NOMINAL_DOWNLINK
    uplink: BitsPerSecond = NOMINAL_UPLINK
    delay: timedelta | Callable[[datetime], timedelta] = timedelta(milliseconds=4)
    burst: timedelta = timedelta(milliseconds=20)
    queue: timedelta = timedelta(milliseconds=100)
    impairments: Impairments = Impairments()
    trace: Trace | None = None

    def __post_init__(self) -> None:
        if self.downlink <= 0 or self.uplink <= 0:
            raise BadInput(f"a link of {self.downlink} bit/s down, {self.uplink} up carries nothing; give rates over 0")
        if self.burst <= timedelta(0):
            raise BadInput(f"a burst of {self.burst} lets nothing through; give some milliseconds")
        if self.queue <= timedelta(0):
            raise BadInput(f"a queue of {self.queue} drops every datagram; give some milliseconds")
        if isinstance(self.delay, timedelta) and self.delay < timedelta(0):
            raise BadInput(f"a delay of {self.delay} is negative; give a duration from 0")

    def rate(self, direction: Direction) -> BitsPerSecond:
        """Bits per second in ``direction``; of a recorded pass, the fullest second's."""
        if direction is Direction.UP:
            return self.uplink
        return self.downlink if self.trace is None else self.trace.peak

    def depth(self, direction: Direction) -> Bytes:
        """The most bytes that may pass at once in ``direction``; never less than one packet."""
        return max(_ONE_PACKET, capacity(self.burst, self.rate(direction)))

    def room(self, direction: Direction) -> Bytes:
        """The most bytes of datagrams, headers included, that wait in ``direction``; never less than 32 KiB."""
        return max(_SMALLEST_QUEUE, capacity(self.queue, self.rate(direction)))

    def delay_at(self, moment: datetime) -> timedelta:
        """The one-way propagation delay at ``moment``."""
        return self.delay if isinstance(self.delay, timedelta) else self.delay(moment)
