"""A proved model beside the one that serves: it sees one frame in so many, until it may serve or must not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import NotYet
from orbitloop.domain.shadow import Compared, ShadowRule, compare, is_through, objection
from orbitloop.domain.units import Digest
from orbitloop_edge.usecases.detector import Detector


class ShadowLog(Protocol):
    """What was seen side by side, kept over restarts."""

    def read(self, model: Digest) -> Compared:
        """What is kept of the shadow of ``model``; nothing at all where another one's is kept."""
        ...

    def write(self, model: Digest, compared: Compared) -> None:
        """Keep it durably in place of what was kept."""
        ...

    def forget(self) -> None:
        """Keep nothing; idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flight:
    detector: Detector
    compared: Compared


class Shadow:
    """The model in shadow, if there is one. Frames may be seen in one thread while it is asked in another.

    Args:
        rule: which frames it sees, and how many.
        log: where what was seen is kept.
        seconds: a clock that only goes forward.
    """

    def __init__(self, rule: ShadowRule, log: ShadowLog, seconds: Callable[[], float]) -> None:
        self.rule = rule
        self._log = log
        self._seconds = seconds
        self._guard = threading.Lock()
        self._flight: _Flight | None = None
        self._frames = 0

    def model(self) -> Detector | None:
        """The model that is in shadow."""
        flight = self._flight
        return None if flight is None else flight.detector

    def begin(self, detector: Detector) -> None:
        """Let ``detector`` see frames; what it saw before a restart counts."""
        with self._guard:
            self._flight = _Flight(detector=detector, compared=self._log.read(detector.version))

    def end(self) -> None:
        """It serves from now on, or it never will."""
        with self._guard:
            if self._flight is not None:
                self._flight = None
                self._log.forget()

    def demand_through(self) -> None:
        """Raises ``NotYet`` until the model has seen enough to be judged."""
        compared = self._compared()
        if not is_through(compared, self.rule):
            raise NotYet(f"the new model flies in shadow: {compared.frames} of {self.rule.frames} frames seen by both")

    def objection(self) -> str | None:
        """Why the model must not serve, or ``None``."""
        return objection(self._compared(), self.rule)

    def _compared(self) -> Compared:
        flight = self._flight
        return Compared() if flight is None else flight.compared

    def timed(self, detect: Callable[[], Detections]) -> tuple[Detections, float]:
        """What ``detect`` finds, and how many seconds it takes."""
        begun = self._seconds()
        return detect(), self._seconds() - begun

    def see(self, pixels: NDArray[np.uint8], found: Detections, took: float) -> None:
        """A frame that the serving model has looked at, ``(h, w, 3)`` uint8 RGB, in ``took`` seconds.

        Raises:
            NoSpace: the disk is full.
        """
        flight = self._flight
        if flight is None:
            return
        self._frames += 1
        if self._frames % self.rule.one_in:
            return
        seen, seconds = self.timed(lambda: flight.detector.detect(pixels))
        told = compare(found, seen, self.rule, old_s=took, new_s=seconds)
        with self._guard:
            if self._flight is None or self._flight.detector is not flight.detector:
                return
            self._flight = _Flight(detector=flight.detector, compared=self._flight.compared + told)
            self._log.write(flight.detector.version, self._flight.compared)
