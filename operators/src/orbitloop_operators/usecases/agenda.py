"""Which objects are to be looked at, and when."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import timedelta

from orbitloop_operators.handlers.changes import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class BackOff:
    """How long a failing object rests: twice as long after each failure.

    Args:
        first: after the first failure.
        longest: after many.
    """

    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        if not timedelta(0) < self.first <= self.longest:
            raise ValueError(f"a back-off grows from above zero: {self.first} to {self.longest}")

    def after(self, failures: int) -> float:
        """Seconds to rest after so many failures in a row, at least one."""
        doublings = min(failures - 1, 32)
        return min(self.first.total_seconds() * 2.0**doublings, self.longest.total_seconds())


class Agenda:
    """Keys with the time they are due at, each at most once, and none handed out twice at the same time.

    Times are seconds of any clock that never goes back.
    """

    def __init__(self, back_off: BackOff) -> None:
        self._back_off = back_off
        self._due: dict[Key, float] = {}
        self._order: list[tuple[float, Key]] = []  # entries that ``_due`` no longer confirms are skipped
        self._busy: set[Key] = set()
        self._failures: dict[Key, int] = {}

    def __len__(self) -> int:
        """How many keys wait, those that are due later included."""
        return len(self._due)

    def add(self, key: Key, due: float) -> None:
        """Look at ``key`` at ``due``; if it was to be looked at earlier, then."""
        known = self._due.get(key)
        if known is not None and known <= due:
            return
        self._due[key] = due
        heapq.heappush(self._order, (due, key))

    def take(self, now: float) -> Key | None:
        """The key that has been due for longest and is in nobody's hands; it must be given back by :meth:`done`."""
        aside: list[tuple[float, Key]] = []
        found = None
        while self._order and self._order[0][0] <= now:
            due, key = heapq.heappop(self._order)
            if self._due.get(key) != due:
                continue
            if key in self._busy:
                aside.append((due, key))
                continue
            found = key
            del self._due[key]
            self._busy.add(key)
            break
        for entry in aside:
            heapq.heappush(self._order, entry)
        return found

    def next_due(self) -> float | None:
        """When the next key that is in nobody's hands is due."""
        while self._order and self._due.get(self._order[0][1]) != self._order[0][0]:
            heapq.heappop(self._order)
        if not self._busy:
            return self._order[0][0] if self._order else None
        return min((due for key, due in self._due.items() if key not in self._busy), default=None)

    def done(self, key: Key) -> None:
        """It went well."""
        self._busy.discard(key)
        self._failures.pop(key, None)

    def failed(self, key: Key, now: float, rest: float | None = None) -> None:
        """It did not; look again after ``rest`` seconds, by default longer after each failure in a row."""
        self._busy.discard(key)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.add(key, now + (self._back_off.after(failures) if rest is None else rest))

    def failures(self, key: Key) -> int:
        """How often it failed in a row."""
        return self._failures.get(key, 0)
