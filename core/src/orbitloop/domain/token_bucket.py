"""The token bucket that makes a rate honest."""

from __future__ import annotations

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import BitsPerSecond, Bytes

_NANOSECONDS = 1_000_000_000


class TokenBucket:
    """Lets at most ``rate`` times t plus ``depth`` through in any time t; full to begin with.

    Time is an argument, in nanoseconds of any clock that never goes back. Credit is counted in whole billionths of a
    bit, so nothing is lost or gained by rounding however often the bucket is asked.

    Args:
        rate: bits per second.
        depth: the most bytes that may pass at once.
        now: nanoseconds.

    Raises:
        BadInput: a rate or depth that lets nothing through.
    """

    __slots__ = ("_credit", "_full", "_now", "_rate", "depth")

    def __init__(self, *, rate: BitsPerSecond, depth: Bytes, now: int) -> None:
        if rate <= 0 or depth <= 0:
            raise BadInput(f"a link of {rate} bit/s and bursts of {depth} bytes carries nothing; both must be positive")
        self.depth = depth
        self._rate = rate
        self._full = depth * 8 * _NANOSECONDS
        self._credit = self._full
        self._now = now

    def take(self, wanted: Bytes, now: int) -> Bytes:
        """Take up to ``wanted`` bytes: as many as may pass at ``now``, perhaps none."""
        self._fill(now)
        granted = max(0, min(wanted, self._credit // (8 * _NANOSECONDS)))
        self._credit -= granted * 8 * _NANOSECONDS
        return Bytes(granted)

    def wait(self, wanted: Bytes, now: int) -> int:
        """Nanoseconds from ``now`` until ``wanted`` bytes may pass together, if nobody else takes any.

        Raises:
            BadInput: ``wanted`` is more than the bucket's depth, so that they never may.
        """
        if wanted > self.depth:
            raise BadInput(f"{wanted} bytes never pass a bucket of {self.depth} together; take them in parts")
        self._fill(now)
        missing = wanted * 8 * _NANOSECONDS - self._credit
        return max(0, -(-missing // self._rate))

    def reserve(self, size: Bytes, now: int) -> int:
        """Take ``size`` bytes, however many, on credit; nanoseconds from ``now`` until the last of them has passed.

        Whoever reserves next waits behind them.
        """
        self._fill(now)
        self._credit -= size * 8 * _NANOSECONDS
        return max(0, -(self._credit // self._rate))

    def forgive(self, now: int) -> None:
        """Forget what was reserved and has not passed by ``now``."""
        self._fill(now)
        self._credit = max(0, self._credit)

    def change(self, rate: BitsPerSecond, depth: Bytes, now: int) -> None:
        """Go on at another rate and depth; what is reserved stays reserved.

        Raises:
            BadInput: a rate or depth that lets nothing through.
        """
        if rate <= 0 or depth <= 0:
            raise BadInput(f"a link of {rate} bit/s and bursts of {depth} bytes carries nothing; both must be positive")
        self._fill(now)
        self.depth = depth
        self._rate = rate
        self._full = depth * 8 * _NANOSECONDS
        self._credit = min(self._credit, self._full)

    def _fill(self, now: int) -> None:
        elapsed = max(0, now - self._now)
        self._credit = min(self._full, self._credit + elapsed * self._rate)
        self._now += elapsed
