"""When bytes may leave the antenna: at a rate, or in the frames of a recorded pass. Pure; nanoseconds of one clock."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from orbitloop.domain.token_bucket import TokenBucket
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop_mission.space_link.trace import FRAME_PAYLOAD, FrameClock, Trace

SEGMENT = Bytes(1_460)
"""Payload of a TCP segment in an Ethernet frame."""


class Leave(NamedTuple):
    """When the last of some bytes has left, in nanoseconds, and how many frames of them are bad."""

    at: int
    bad: int


class Gate(Protocol):
    """What one direction may carry, and when. First come, first served."""

    packet: Bytes
    """Payload that is lost together when a stream's packet is lost."""

    def reserve(self, size: Bytes, now: int) -> Leave | None:
        """Let ``size`` bytes leave, after all that were reserved before; ``None``: they never will."""
        ...

    def clear(self, now: int) -> None:
        """Forget what was reserved and has not left by ``now``."""
        ...

    def restart(self, now: int) -> None:
        """A new pass begins."""
        ...

    def offered(self, now: int) -> Bytes | None:
        """What the pass could have carried without loss until ``now``, in all passes so far; ``None``: not counted."""
        ...


class RateGate:
    """A constant rate, with bursts of ``depth`` bytes after a pause."""

    def __init__(self, rate: BitsPerSecond, depth: Bytes, now: int) -> None:
        self.packet = SEGMENT
        self._bucket = TokenBucket(rate=rate, depth=depth, now=now)

    def reserve(self, size: Bytes, now: int) -> Leave:
        """See :class:`Gate`."""
        return Leave(now + self._bucket.reserve(size, now), 0)

    def clear(self, now: int) -> None:
        """See :class:`Gate`."""
        self._bucket.forgive(now)

    def restart(self, now: int) -> None:
        """A rate has no beginning."""

    def offered(self, now: int) -> None:
        """A rate is what it is: nothing is counted."""


class TraceGate:
    """The frames of a recorded pass, which begins with the first bytes that are offered after :meth:`restart`.

    Bytes occupy whole frames. A frame that nothing was offered for goes by empty; up to ``slack`` nanoseconds later it
    can still be had, which hides late timers as a bucket's depth does.

    Args:
        trace: the recorded pass.
        slack: nanoseconds.
        rng: where in each second the bad frames lie.
    """

    def __init__(self, trace: Trace, slack: int, rng: np.random.Generator) -> None:
        self.packet = FRAME_PAYLOAD
        self._clock = FrameClock(trace, rng)
        self._slack = slack
        self._begin: int | None = None
        self._next = 0
        self._earlier = Bytes(0)

    def reserve(self, size: Bytes, now: int) -> Leave | None:
        """See :class:`Gate`. The frames' order is the bytes' order."""
        if self._begin is None:
            self._begin = now
        first = max(self._next, self._clock.first_after(now - self._slack - self._begin))
        end = first + -(-size // FRAME_PAYLOAD)
        if end > self._clock.total:
            return None
        self._next = end
        if end == first:
            return Leave(now, 0)
        return Leave(max(now, self._begin + self._clock.end(end - 1)), self._clock.bad_between(first, end))

    def clear(self, now: int) -> None:
        """See :class:`Gate`."""
        if self._begin is not None:
            self._next = min(self._next, self._clock.first_after(now - self._begin))

    def restart(self, now: int) -> None:
        """The next bytes that are offered begin the pass anew, with the bad frames in the same places."""
        self._earlier = self.offered(now)
        self._begin, self._next = None, 0

    def offered(self, now: int) -> Bytes:
        """Payload of the good frames that are over."""
        over = 0 if self._begin is None else self._clock.first_after(now - self._begin)
        return Bytes(self._earlier + (over - self._clock.bad_between(0, over)) * FRAME_PAYLOAD)
