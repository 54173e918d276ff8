"""A clock that moves only when it is told to."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from orbitloop.domain.contacts import utc
from orbitloop.domain.errors import BadInput


class VirtualClock:
    """Virtual time (the ``Clock`` port): stands still between calls of :meth:`advance` and :meth:`advance_to`.

    Safe to share between threads. Raises ``BadInput`` where a moment without a time zone is given.
    """

    def __init__(self, start: datetime) -> None:
        self._now = utc(start)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Let ``by`` pass at once. Raises ``BadInput`` if it is negative."""
        if by < timedelta(0):
            raise BadInput(f"a clock cannot go back by {-by}; start another one")
        with self._lock:
            self._now += by

    def advance_to(self, moment: datetime) -> None:
        """Jump to ``moment``; nothing happens if it has passed already."""
        target = utc(moment)
        with self._lock:
            self._now = max(self._now, target)
