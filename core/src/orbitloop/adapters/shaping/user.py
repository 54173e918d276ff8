"""Shaping in user space: the sender waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

from orbitloop.domain.token_bucket import TokenBucket
from orbitloop.domain.units import BitsPerSecond, Bytes, capacity
from orbitloop.ports.shaper import Peer, ShaperKind

BURST = timedelta(milliseconds=10)
"""What may leave at once after a pause, as time at the rate."""
_ONE_PACKET = Bytes(1_600)


class UserShaper:
    """The ``Shaper`` port by a token bucket a peer.

    Args:
        clock: monotonic nanoseconds.
        burst: what may leave at once after a pause, as time at the rate. A sender that is kept waiting for longer than
            that, by its host or other threads, loses the rest.
    """

    def __init__(self, *, clock: Callable[[], int] = time.monotonic_ns, burst: timedelta = BURST) -> None:
        self._clock = clock
        self._burst = burst
        self._buckets: dict[Peer, TokenBucket] = {}
        self._guard = threading.Lock()

    @property
    def kind(self) -> ShaperKind:
        """Who holds the rate."""
        return ShaperKind.USER

    def limit(self, peer: Peer, rate: BitsPerSecond) -> None:
        """See the port."""
        depth = max(_ONE_PACKET, capacity(self._burst, rate))
        with self._guard:
            bucket = self._buckets.get(peer)
            if bucket is None:
                self._buckets[peer] = TokenBucket(rate=rate, depth=depth, now=self._clock())
            else:
                bucket.change(rate, depth, self._clock())

    def lift(self, peer: Peer) -> None:
        """See the port."""
        with self._guard:
            self._buckets.pop(peer, None)

    def pace(self, peer: Peer, size: Bytes) -> timedelta:
        """See the port."""
        with self._guard:
            bucket = self._buckets.get(peer) or self._buckets.get(Peer(address=peer.address))
            wait = 0 if bucket is None else bucket.reserve(size, self._clock())
        return timedelta(microseconds=wait / 1_000)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take back every limit."""
        with self._guard:
            self._buckets.clear()
