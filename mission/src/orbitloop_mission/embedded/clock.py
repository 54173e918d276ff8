"""The clock of an embedded mission: wall speed during a pass, and between passes as fast as is wanted."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta

from orbitloop.domain.contacts import utc


class MissionClock:
    """Mission time (the ``Clock`` port): starts at ``start`` and runs at wall speed from there.

    Safe to share between threads, and it never goes back, whatever happens to the machine's own date.

    Args:
        start: the moment at which the mission begins, aware.
        realtime: :meth:`advance_to` really waits, instead of jumping.

    Raises:
        BadInput: ``start`` has no time zone.
    """

    def __init__(self, start: datetime, *, realtime: bool = False) -> None:
        # Mission time is this origin plus the monotonic clock; a jump moves the origin.
        self._origin = utc(start) - _uptime()
        self._realtime = realtime
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        with self._lock:
            return self._origin + _uptime()

    def advance_to(self, moment: datetime) -> None:
        """Return once it is ``moment``: at once by a jump, or by sleeping where the mission runs in real time.

        Nothing happens if ``moment`` has passed already. Raises ``BadInput`` if it has no time zone.
        """
        target = utc(moment)
        if self._realtime:
            while (left := target - self.now()) > timedelta(0):
                time.sleep(left.total_seconds())
            return
        with self._lock:
            self._origin = max(self._origin, target - _uptime())


def _uptime() -> timedelta:
    return timedelta(seconds=time.monotonic())
