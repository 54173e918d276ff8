"""How long something went on, in wall time."""

from __future__ import annotations

import time


class Stopwatch:
    """Time between the first and the last lap."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all laps."""
        self._first: float | None = None
        self._last = 0.0
        self.laps = 0

    def lap(self) -> None:
        """Something happened."""
        self._last = time.monotonic()
        self._first = self._last if self._first is None else self._first
        self.laps += 1

    @property
    def seconds(self) -> float:
        """From the first lap to the last; 0 before the second."""
        return 0.0 if self._first is None else self._last - self._first
