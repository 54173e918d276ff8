"""One direction of the link as a model: what becomes of bytes and datagrams that are offered at given times.

Pure and seeded: time is an argument, in nanoseconds. The live link and the virtual one are both driven by it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import Bytes
from orbitloop_mission.space_link.gates import RateGate, TraceGate
from orbitloop_mission.space_link.impairments import burst_fates, uniform_fates
from orbitloop_mission.space_link.profile import LinkProfile

DATAGRAM_HEADER = Bytes(28)
"""IPv4 and UDP: 20 and 8 bytes, charged on top of every datagram's payload."""

_STREAMS = 6


class Flight(NamedTuple):
    """Stream bytes on their way, in nanoseconds: when the last of them leaves, and when it is there."""

    leaves: int
    arrives: int


class Fate(NamedTuple):
    """What becomes of a datagram.

    Args:
        arrivals: when it arrives, in nanoseconds: not at all, once or twice.
        flip: the bit of the payload that is flipped, counted from the first byte's highest.
    """

    arrivals: tuple[int, ...]
    flip: int | None


@dataclass(slots=True, kw_only=True)
class Fortunes:
    """What befell packets in one direction; counts since the link was opened.

    Args:
        datagrams: offered while the signal was there.
        lost: of those, lost on the way.
        dropped: of those, turned away because the modem's queue was full or the recorded pass over.
        corrupted: of those, arriving with a bit flipped.
        duplicated: of those, arriving twice.
        repeated: bytes of streams that were lost and crossed again.
    """

    datagrams: int = 0
    lost: int = 0
    dropped: int = 0
    corrupted: int = 0
    duplicated: int = 0
    repeated: Bytes = Bytes(0)


_NEVER = Fate((), None)


class Radio:
    """One direction: its gate, its queue, and what goes wrong.

    Args:
        direction: which way the bytes go; a recorded pass governs the downlink only.
        profile: what the link is like.
        seed: of everything random here; the two directions differ under the same seed.
        now: nanoseconds.
    """

    def __init__(self, direction: Direction, profile: LinkProfile, *, seed: int, now: int) -> None:
        key = 0 if direction is Direction.DOWN else 1
        frames, loss, burst, corruption, duplication, rest = (
            np.random.default_rng(each) for each in np.random.SeedSequence([seed, key]).spawn(_STREAMS)
        )
        wrong = profile.impairments
        slack = profile.burst // timedelta(microseconds=1) * 1_000
        self.gate: RateGate | TraceGate
        if profile.trace is not None and direction is Direction.DOWN:
            self.gate = TraceGate(profile.trace, slack, frames)
        else:
            self.gate = RateGate(profile.rate(direction), profile.depth(direction), now)
        self.fortunes = Fortunes()
        self._loss = uniform_fates(wrong.loss, loss)
        self._burst = burst_fates(wrong.burst_loss, burst)
        self._corruption = uniform_fates(wrong.corruption, corruption)
        self._duplication = uniform_fates(wrong.duplication, duplication)
        self._jitter = wrong.jitter // timedelta(microseconds=1) * 1_000
        self._chance = rest
        self._room = profile.room(direction)
        self._queue: deque[tuple[int, int]] = deque()
        self._queued = 0

    def stream(self, size: Bytes, now: int, delay: int) -> Flight | None:
        """Send ``size`` bytes of a reliable stream; ``delay`` is one way, in nanoseconds.

        Packets that are lost or corrupt cross again, and again, behind what is reserved; each round holds the stream
        for a round trip. ``None``: the recorded pass is over, they never leave.
        """
        left, rounds, size_now = now, 0, size
        while size_now > 0:
            leave = self.gate.reserve(size_now, now)
            if leave is None:
                return None
            left = leave.at
            packets = -(-size_now // self.gate.packet)
            bad = leave.bad + self._loss.take(packets) + self._burst.take(packets) + self._corruption.take(packets)
            size_now = Bytes(min(size_now, bad * self.gate.packet))
            if size_now:
                rounds += 1
                self.fortunes.repeated = Bytes(self.fortunes.repeated + size_now)
        return Flight(left, left + delay + rounds * 2 * delay + self._late())

    def datagram(self, size: int, now: int, delay: int) -> Fate:
        """Send a datagram of ``size`` bytes of payload; ``delay`` is one way, in nanoseconds."""
        fortunes = self.fortunes
        fortunes.datagrams += 1
        charged = size + DATAGRAM_HEADER
        if self.queued(now) + charged > self._room or (leave := self.gate.reserve(Bytes(charged), now)) is None:
            fortunes.dropped += 1
            return _NEVER
        self._queue.append((leave.at, charged))
        self._queued += charged
        # Every model is asked about every datagram, so that each keeps in step with the count of datagrams.
        lost = leave.bad + self._loss.take(1) + self._burst.take(1)
        corrupt, twice = self._corruption.take(1), self._duplication.take(1)
        first, second = self._late(), self._late()
        if lost:
            fortunes.lost += 1
            return _NEVER
        flip = int(self._chance.integers(size * 8)) if corrupt and size else None
        fortunes.corrupted += flip is not None
        fortunes.duplicated += twice
        arrives = leave.at + delay
        return Fate((arrives + first, arrives + second) if twice else (arrives + first,), flip)

    def queued(self, now: int) -> int:
        """Bytes of datagrams, headers included, that have not left yet."""
        queue = self._queue
        while queue and queue[0][0] <= now:
            self._queued -= queue.popleft()[1]
        return self._queued

    def clear(self, now: int) -> None:
        """The signal is lost: what has not left never will."""
        self.gate.clear(now)
        self._queue.clear()
        self._queued = 0

    def _late(self) -> int:
        return int(self._chance.integers(self._jitter + 1)) if self._jitter else 0


def flipped(payload: bytes, bit: int) -> bytes:
    """``payload`` with one bit flipped, counted from the first byte's highest."""
    damaged = bytearray(payload)
    damaged[bit // 8] ^= 0x80 >> bit % 8
    return bytes(damaged)
