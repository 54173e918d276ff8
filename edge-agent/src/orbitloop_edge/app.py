"""The Local Controller's composition root: settings become adapters, adapters a satellite that observes and listens."""

from __future__ import annotations

import random
from pathlib import Path
from types import TracebackType
from typing import Self

from orbitloop.adapters.signatures import VerifyingKey
from orbitloop.domain.units import Bytes
from orbitloop.ports.clock import Clock
from orbitloop.ports.spool import SpoolState
from orbitloop.wire.messages import Telemetry, UpdateReport
from orbitloop.wire.model_folder import Model
from orbitloop_edge.adapters.gateway import GatewayClient
from orbitloop_edge.adapters.imagery import decode_picture, encode_picture, read_picture
from orbitloop_edge.adapters.inbox import FolderInbox
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_edge.adapters.outbox import FolderOutbox
from orbitloop_edge.adapters.results import FrameResults
from orbitloop_edge.adapters.shelf import Shelf
from orbitloop_edge.adapters.slots import Slots
from orbitloop_edge.adapters.spool import DiskSpool
from orbitloop_edge.settings import EdgeSettings
from orbitloop_edge.usecases.contact import Aboard, ContactSession, Occasion, OnProgress, SessionSummary
from orbitloop_edge.usecases.observe import FrameResult, Imagery, Mining, ObserveFrames
from orbitloop_edge.usecases.prove import ProveUpdate


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
        self._settings = settings
        folder = settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        self.slots = Slots(folder / "slots")
        if model is not None and not self.slots.installed():
            self.slots.install(model)
        self._spool = DiskSpool(folder / "spool", settings.satellite, clock, budget=settings.spool_budget)
        self._results = FrameResults(folder / "results.db", settings.satellite)
        outbox = FolderOutbox(folder / "outbox")
        last = self.slots.state().last
        if last is not None:  # a crash may have come between the swap and its report; the ground takes it twice
            outbox.put(last)
        shelf = Shelf(folder / "canaries")
        chance = random.Random(settings.seed)  # noqa: S311  # chance, not secrecy
        self._frames = ObserveFrames(
            satellite=settings.satellite,
            detector=self._load(self.slots.active()),
            policy=settings.policy,
            mining=Mining(rule=settings.mining, uniform=chance.random),
            imagery=Imagery(read=read_picture, encode=encode_picture, decode=decode_picture),
            spool=self._spool,
            results=self._results,
            canaries=shelf,
            clock=clock,
        )
        self._prove = ProveUpdate(
            satellite=settings.satellite,
            slots=self.slots,
            canaries=shelf,
            load=self._load,
            swap=self._frames.swap,
            verify=VerifyingKey(settings.ground_key).verify,
            clock=clock,
            rule=settings.canary,
        )
        self._aboard = Aboard(
            satellite=settings.satellite,
            spool=self._spool,
            outbox=outbox,
            inbox=FolderInbox(folder / "inbox"),
            clock=clock,
            largest_update=settings.policy.update_budget,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._spool.close()
        self._results.close()

    def observe(self, frame: Path) -> FrameResult:
        """Look at one frame, keep what was seen, spool what is worth sending."""
        return self._frames.observe(frame)

    def contact(self, url: str, *, budget: Bytes, on_progress: OnProgress | None = None) -> SessionSummary:
        """Use one contact with the gateway at ``url``: at most ``budget`` bytes of samples go down."""
        with GatewayClient(url, self._settings.token.get_secret_value()) as ground:
            session = ContactSession(self._aboard, ground, self._prove, on_progress)
            occasion = Occasion(flying=self.slots.state().flying, budget=budget, telemetry=self.telemetry())
            return session.run(occasion)

    def telemetry(self) -> Telemetry:
        """Counts since launch."""
        return self._results.telemetry()

    def queued(self) -> SpoolState:
        """What waits to be sent."""
        return self._spool.state()

    def last_report(self) -> UpdateReport | None:
        """What became of the last update, if there was one."""
        return self.slots.state().last

    def _load(self, model: Model) -> OnnxDetector:
        return OnnxDetector(model.graph, model.weights, model.spec, threads=self._settings.threads)
