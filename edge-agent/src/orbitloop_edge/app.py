"""Local Controller and inference worker in one process: how the embedded mission flies them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from orbitloop.domain.units import Bytes
from orbitloop.ports.clock import Clock
from orbitloop.ports.spool import SpoolState
from orbitloop.wire.messages import Telemetry, UpdateReport
from orbitloop.wire.model_folder import Model
from orbitloop_edge.controller import Controller, Reach
from orbitloop_edge.settings import EdgeSettings
from orbitloop_edge.usecases.contact import OnProgress
from orbitloop_edge.usecases.observe import FrameResult
from orbitloop_edge.usecases.tally import SessionSummary
from orbitloop_edge.worker import Worker


class LocalController:
    """One satellite: frames go in at any time, contacts happen when a station hears it.

    Frames may be observed in one thread while another holds a contact.

    Args:
        settings: see :class:`EdgeSettings`.
        clock: what time it is on board.
        model: what to install if nothing is installed yet.

    Raises:
        BadInput: nothing is installed and no model is given, or what is installed is damaged.
    """

    def __init__(self, settings: EdgeSettings, clock: Clock, model: Model | None = None) -> None:
        self._controller = Controller(settings, clock)
        try:
            self._worker = Worker(settings, clock, self._controller.spool, model)
            self._controller.status_of(self._worker)
        except BaseException:
            self._controller.close()
            raise
        self.slots = self._worker.slots

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._controller.close()
        self._worker.close()

    def observe(self, frame: Path) -> FrameResult:
        """Look at one frame, keep what was seen, spool what is worth sending."""
        return self._worker.observe(frame)

    def contact(self, url: str, *, budget: Bytes, on_progress: OnProgress | None = None) -> SessionSummary:
        """Use one contact with the gateway at ``url``: at most ``budget`` bytes of samples go down."""
        occasion = self._controller.occasion(self._worker, budget)
        return self._controller.contact(Reach(url=url), self._worker, occasion, on_progress)

    def telemetry(self) -> Telemetry:
        """Counts since launch."""
        return self._worker.status().telemetry

    def queued(self) -> SpoolState:
        """What waits to be sent."""
        return self._controller.queued()

    def last_report(self) -> UpdateReport | None:
        """What became of the last update, if there was one."""
        return self.slots.state().last
