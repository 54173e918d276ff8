"""The space link in virtual time: weeks of passes in seconds, the same answer under the same seed."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from itertools import pairwise

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import BadInput
from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import Bytes, capacity
from orbitloop_mission.space_link.profile import LinkProfile
from orbitloop_mission.space_link.radio import Radio

_LARGEST_CHUNK = Bytes(64 * 1024)
_LARGEST_DATAGRAM = 65_507
# A piece of a stream fills at most this share of the rest of a pass, so that its end is cut as finely as the live
# link's, in a hundred steps instead of hundred thousands.
_SHARE_OF_THE_REST = 8
_MICROSECOND = timedelta(microseconds=1)


class Manner(Enum):
    """How a message crosses.

    DATAGRAM crosses once or not at all. STREAM arrives whole: what is cut at a loss of signal goes on in the next pass
    from the byte that arrived last, as the contact session's transfers do.
    """

    DATAGRAM = "datagram"
    STREAM = "stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is offered to the link.

    Args:
        at: when, aware.
        direction: which way.
        size: payload, bytes.
        manner: as a datagram, or over a stream.

    Raises:
        BadInput: no time zone, a negative size, or a datagram larger than UDP's.
    """

    at: datetime
    direction: Direction
    size: Bytes
    manner: Manner = Manner.STREAM

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise BadInput(f"a message at {self.at.isoformat()}, without a time zone; use UTC")
        if self.size < 0 or (self.manner is Manner.DATAGRAM and self.size > _LARGEST_DATAGRAM):
            raise BadInput(f"a {self.manner.value} of {self.size} bytes cannot be sent; see Message")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a message.

    Args:
        arrived: when its last byte did; ``None``: it was lost, or the plan ended first.
        delivered: bytes that arrived.
        passes: passes that carried some of it.
    """

    arrived: datetime | None
    delivered: Bytes
    passes: int


@dataclass(slots=True)
class _Stream:
    number: int
    offered: int
    size: int
    delivered: int = 0
    passes: int = 0
    last_pass: int = -1
    arrived: int | None = None


class VirtualLink:
    """Contact windows, rates, delays and faults as the live link has them, without sockets and without waiting.

    Streams of one direction cross one after another; datagrams go between their chunks. What the live link has and
    this one has not: connections that share a direction, timers that are late, and a receiver that does not read.

    Args:
        plan: contact windows; they may not overlap, since a link is one station's.
        profile: what the link is like.
        seed: of everything random.

    Raises:
        BadInput: windows that overlap.
    """

    def __init__(self, *, plan: tuple[ContactWindow, ...], profile: LinkProfile, seed: int = 0) -> None:
        self._plan = tuple(sorted(plan))
        for earlier, later in pairwise(self._plan):
            if later.aos < earlier.los:
                raise BadInput(f"the windows at {earlier.station} and {later.station} overlap; a link is one station's")
        self._profile = profile
        self._seed = seed

    def carry(self, messages: Iterable[Message]) -> tuple[Outcome, ...]:
        """What becomes of ``messages``, in their order.

        Asked again, it answers the same: a link carries nothing over from one call to the next.

        Raises:
            BadInput: a message was offered before the one that precedes it.
        """
        offered = tuple(messages)
        for earlier, later in pairwise(offered):
            if later.at < earlier.at:
                raise BadInput(f"a message of {later.at.isoformat()} after one of {earlier.at.isoformat()}; sort them")
        if not offered:
            return ()
        outcomes: dict[int, Outcome] = {}
        for direction in Direction:
            chosen = [(number, each) for number, each in enumerate(offered) if each.direction is direction]
            outcomes.update(_Lane(direction, self._plan, self._profile, self._seed, offered[0].at).run(chosen))
        return tuple(outcomes[number] for number in range(len(offered)))


class _Lane:
    """One direction of a virtual link; nanoseconds from ``origin``."""

    def __init__(
        self,
        direction: Direction,
        plan: tuple[ContactWindow, ...],
        profile: LinkProfile,
        seed: int,
        origin: datetime,
    ) -> None:
        self._origin = origin
        self._profile = profile
        self._windows = [(self._since(window.aos), self._since(window.los)) for window in plan]
        self._ends = [los for _, los in self._windows]
        self._rate = profile.rate(direction)
        # Only a constant rate says beforehand how much fits.
        self._may_take_long_steps = profile.trace is None or direction is Direction.UP
        self._radio = Radio(direction, profile, seed=seed, now=0)
        chunk = min(_LARGEST_CHUNK, profile.depth(direction) // 2)
        self._chunk = chunk - chunk % self._radio.gate.packet or chunk  # as the live link's
        self._streams: deque[_Stream] = deque()
        self._free = 0
        self._pass = -1

    def run(self, messages: list[tuple[int, Message]]) -> dict[int, Outcome]:
        """The outcome of each message, by its number."""
        outcomes: dict[int, Outcome] = {}
        streams: list[_Stream] = []
        for number, message in messages:
            now = self._since(message.at)
            self._advance(now)
            if message.manner is Manner.STREAM:
                stream = _Stream(number=number, offered=now, size=message.size)
                streams.append(stream)
                self._streams.append(stream)
            else:
                outcomes[number] = self._datagram(message.size, now)
        self._advance(None)
        for stream in streams:
            arrived = None if stream.arrived is None else self._moment(stream.arrived)
            outcomes[stream.number] = Outcome(arrived=arrived, delivered=Bytes(stream.delivered), passes=stream.passes)
        return outcomes

    def _datagram(self, size: int, now: int) -> Outcome:
        place = self._window_from(now)
        if place is None or self._windows[place][0] > now:
            return Outcome(arrived=None, delivered=Bytes(0), passes=0)
        self._enter(place, now)
        arrivals = self._radio.datagram(size, now, self._delay(now)).arrivals
        arrival = min(arrivals, default=None)
        if arrival is None or arrival >= self._windows[place][1]:
            return Outcome(arrived=None, delivered=Bytes(0), passes=0)
        return Outcome(arrived=self._moment(arrival), delivered=Bytes(size), passes=1)

    def _advance(self, until: int | None) -> None:
        """Let the streams go on, as far as what they send begins before ``until``."""
        while self._streams:
            stream = self._streams[0]
            now = max(self._free, stream.offered)
            place = self._window_from(now)
            if place is None:
                self._streams.clear()
                return
            now = max(now, self._windows[place][0])
            if until is not None and now >= until:
                return
            self._enter(place, now)
            if self._send(stream, place, now, until):
                self._streams.popleft()

    def _send(self, stream: _Stream, place: int, now: int, until: int | None) -> bool:
        """Send a piece; whether the stream is complete."""
        los = self._windows[place][1]
        size = self._piece(stream.size - stream.delivered, los - now if until is None else min(los, until) - now)
        flight = self._radio.stream(Bytes(size), now, self._delay(now))
        if flight is None or flight.arrives >= los:
            # The pass ends with this piece on its way; whatever is left goes on in the next.
            self._free = los
            return False
        self._free = flight.leaves
        stream.delivered += size
        if stream.last_pass != place and size:
            stream.last_pass = place
            stream.passes += 1
        if stream.delivered < stream.size:
            return False
        stream.arrived = flight.arrives
        return True

    def _piece(self, left: int, span: int) -> int:
        if not self._may_take_long_steps:
            return min(left, self._chunk)
        fits = capacity(timedelta(microseconds=span / 1_000), self._rate) // _SHARE_OF_THE_REST
        return min(left, max(self._chunk, fits))

    def _enter(self, place: int, now: int) -> None:
        if place != self._pass:
            self._pass = place
            self._radio.clear(now)
            self._radio.gate.restart(now)

    def _window_from(self, now: int) -> int | None:
        """The place in the plan of the window that is open at ``now``, or else comes next."""
        place = bisect_right(self._ends, now)
        return place if place < len(self._ends) else None

    def _delay(self, now: int) -> int:
        return self._profile.delay_at(self._moment(now)) // _MICROSECOND * 1_000

    def _since(self, moment: datetime) -> int:
        return (moment - self._origin) // _MICROSECOND * 1_000

    def _moment(self, now: int) -> datetime:
        return self._origin + timedelta(microseconds=now / 1_000)
