"""One direction of the link, shared by all connections."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import Bytes, capacity
from orbitloop.ports.clock import Clock
from orbitloop_mission.space_link.profile import LinkProfile
from orbitloop_mission.space_link.radio import Fate, Radio

_LARGEST_CHUNK = 64 * 1024
# In 100 ms a satellite comes at most 0.8 km closer: 3 microseconds of light.
_DELAY_IS_GOOD_FOR = timedelta(milliseconds=100)


class Channel:
    """The radio of one direction: its rate, its delay, and the fault that waits in it. Lives in one event loop.

    Args:
        direction: which way the bytes go.
        profile: what the link is like.
        clock: mission time, for the delay.
        seed: of everything random.
        on_fault: called when an injected fault has been reached.
    """

    def __init__(
        self, direction: Direction, profile: LinkProfile, clock: Clock, *, seed: int, on_fault: Callable[[], None]
    ) -> None:
        depth = profile.depth(direction)
        self._rate = profile.rate(direction)
        self._profile = profile
        self._clock = clock
        self._on_fault = on_fault
        self._depth = depth
        self.radio = Radio(direction, profile, seed=seed, now=time.monotonic_ns())
        # Connections take turns, a chunk each, so that they share the rate evenly: asyncio's locks are served in order.
        self._turn = asyncio.Lock()
        # Half the bucket, so that the next chunk's credit gathers while a late timer still holds this one.
        chunk = min(_LARGEST_CHUNK, depth // 2)
        # Whole packets, if it is at least one: a frame that is begun is spent.
        self.chunk = Bytes(chunk - chunk % self.radio.gate.packet or chunk)
        self.carried = Bytes(0)
        self._until_fault: int | None = None
        self._delay = 0
        self._delay_known_at: datetime | None = None

    async def transmit(self, size: Bytes) -> int:
        """Wait until ``size`` bytes, at most :attr:`chunk`, have left the antenna.

        Returns when they arrive at the far end, in monotonic nanoseconds.
        """
        async with self._turn:
            flight = self.radio.stream(size, time.monotonic_ns(), self._current_delay())
            if flight is None:
                await asyncio.Event().wait()  # for ever: until the connection is lost
                raise AssertionError
            while (wait := flight.leaves - time.monotonic_ns()) > 0:
                await asyncio.sleep(wait / 1e9)
        return flight.arrives

    def datagram(self, size: int, now: int) -> Fate:
        """What becomes of a datagram of ``size`` bytes that is sent ``now``, in monotonic nanoseconds."""
        return self.radio.datagram(size, now, self._current_delay())

    def in_flight_limit(self) -> Bytes:
        """The most bytes of one connection in flight: what the rate puts there, and room for late timers."""
        flying = timedelta(microseconds=self._current_delay() / 1_000) + self._profile.impairments.jitter
        return Bytes(capacity(flying, self._rate) + self._depth + 2 * _LARGEST_CHUNK)

    async def deliver(self, chunk: bytes, sink: socket.socket) -> None:
        """Hand ``chunk`` to the receiver; of the last one before a fault, only what the fault leaves."""
        if self._until_fault is not None:
            chunk = chunk[: self._until_fault]
            self._until_fault -= len(chunk)
        await asyncio.get_running_loop().sock_sendall(sink, chunk)
        self.carried = Bytes(self.carried + len(chunk))
        if self._until_fault == 0:
            self._until_fault = None
            self._on_fault()

    def fault_after(self, more: Bytes | None) -> None:
        """Call ``on_fault`` once ``more`` bytes have been delivered; ``None`` takes a waiting fault back."""
        self._until_fault = more or None
        if more == 0:
            self._on_fault()

    def _current_delay(self) -> int:
        now = self._clock.now()
        if self._delay_known_at is None or abs(now - self._delay_known_at) >= _DELAY_IS_GOOD_FOR:
            self._delay = self._profile.delay_at(now) // timedelta(microseconds=1) * 1_000
            self._delay_known_at = now
        return self._delay
