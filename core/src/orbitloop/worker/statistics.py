"""How much a worker inferred, and how much of that was hard: counted here, reported now and then."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from orbitloop.ports.clock import Clock

OwnerInfo = dict[str, str | int | float]


class Statistics:
    """Counts since the worker began; while there is traffic, they are reported every period and when it ends.

    Args:
        clock: says when.
        period: between two reports.
        report: hands the counts over.
    """

    def __init__(self, clock: Clock, period: timedelta, report: Callable[[OwnerInfo], None]) -> None:
        self._clock = clock
        self._period = max(period.total_seconds(), 0.01)
        self._report = report
        self._lock = threading.Lock()
        self._started: datetime | None = None
        self._updated: datetime | None = None
        self._inferred = 0
        self._hard = 0
        self._uploaded = 0
        self._reported = 0

    def count(self, *, hard: bool, uploaded: bool = False) -> None:
        """One inference more."""
        with self._lock:
            now = self._clock.now()
            first = self._started is None
            self._started = self._started or now
            self._updated = now
            self._inferred += 1
            self._hard += hard
            self._uploaded += uploaded
        if first:
            threading.Thread(target=self._run, name="inference-statistics", daemon=True).start()
            atexit.register(self.flush)

    def snapshot(self) -> OwnerInfo:
        """The counts under Sedna's names; ``uploadCloudRatio`` is the share that the big model answered."""
        with self._lock:
            return {
                "startTime": _text(self._started),
                "updateTime": _text(self._updated),
                "inferenceNumber": self._inferred,
                "hardExampleNumber": self._hard,
                "uploadCloudRatio": round(self._uploaded / self._inferred, 4) if self._inferred else 0.0,
            }

    def flush(self) -> None:
        """Report, if anything was counted since the last time."""
        info = self.snapshot()
        with self._lock:
            new, self._reported = self._inferred != self._reported, self._inferred
        if new:
            self._report(info)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._period):
            self.flush()


def _text(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="seconds")
