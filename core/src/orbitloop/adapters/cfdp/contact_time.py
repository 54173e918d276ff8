"""Time of contact: the clock of every timer, standing still while the link is down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from spacepackets.countdown import Countdown

_NANOSECONDS = 1_000


class ContactTime:
    """Nanoseconds that were spent in contact.

    Args:
        monotonic: nanoseconds of a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], int]) -> None:
        self._monotonic = monotonic
        self._begun = monotonic()
        self._lost = 0
        self._suspended_at: int | None = None

    @property
    def suspended(self) -> bool:
        """Whether it stands still."""
        return self._suspended_at is not None

    def now(self) -> int:
        """Nanoseconds of contact so far."""
        moment = self._monotonic() if self._suspended_at is None else self._suspended_at
        return moment - self._begun - self._lost

    def suspend(self) -> None:
        """Stand still; idempotent."""
        if self._suspended_at is None:
            self._suspended_at = self._monotonic()

    def resume(self) -> None:
        """Go on; idempotent."""
        if self._suspended_at is not None:
            self._lost += self._monotonic() - self._suspended_at
            self._suspended_at = None


class ContactCountdown(Countdown):  # type: ignore[misc]  # spacepackets ships no types
    """The library's countdown, in time of contact: its own reads the wall's clock, which steps and never stops."""

    def __init__(self, time: ContactTime, duration: timedelta) -> None:
        super().__init__(duration)
        self._time = time
        self._duration = int(duration / timedelta(microseconds=1)) * _NANOSECONDS
        self._end = time.now() + self._duration

    def timed_out(self) -> bool:
        """Whether the duration has passed."""
        return self._time.now() >= self._end

    def start(self) -> None:
        """Begin anew; :meth:`reset` comes here."""
        self._end = self._time.now() + self._duration

    def time_out(self) -> None:
        """Have it passed at once."""
        self._end = self._time.now()
