"""The inference worker's composition root: frames, results, model slots and canaries."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from orbitloop.adapters.signatures import VerifyingKey
from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.errors import NotYet
from orbitloop.ports.clock import Clock
from orbitloop.ports.spool import Intake
from orbitloop.ports.workers import WorkerStatus
from orbitloop.wire.messages import Offer, UpdateReport
from orbitloop.wire.model_folder import Model
from orbitloop_edge.adapters.host import Patience, chance, elapsed, give_memory_back
from orbitloop_edge.adapters.imagery import decode_picture, encode_picture, read_picture
from orbitloop_edge.adapters.locks import held_lock
from orbitloop_edge.adapters.neighbours import CONTROLLER_SOCKET, WORKER_SOCKET, RemoteIntake, worker_calls
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_edge.adapters.results import FrameResults
from orbitloop_edge.adapters.rpc import Caller, CallServer
from orbitloop_edge.adapters.shadow_log import FileShadowLog
from orbitloop_edge.adapters.shelf import Shelf
from orbitloop_edge.adapters.slots import Slots
from orbitloop_edge.controller import credentials_of
from orbitloop_edge.settings import EdgeSettings
from orbitloop_edge.usecases.observe import FrameResult, Imagery, Mining, ObserveFrames
from orbitloop_edge.usecases.prove import ProveUpdate
from orbitloop_edge.usecases.shadow import Shadow
from orbitloop_edge.usecases.watch import FrameWatch

_log = logging.getLogger(__name__)

_LOOK_S = 1.0
_REST_AFTER_S = 20.0
"""Without a frame."""
_TAKEOVER = timedelta(seconds=30)
"""How long to wait for a worker that is about to end."""


class Worker:
    """Looks at frames, hands over what is worth sending, proves updates. An ``InferenceWorker``.

    Frames may be observed in one thread while an update is proved in another.

    Args:
        settings: see :class:`EdgeSettings`.
        clock: what time it is on board.
        intake: where samples go.
        model: what to install if nothing is installed yet.

    Raises:
        BadInput: nothing is installed and no model is given, or what is installed is damaged.
        NoSpace: the disk is full.
    """

    def __init__(self, settings: EdgeSettings, clock: Clock, intake: Intake, model: Model | None = None) -> None:
        self._settings = settings
        folder = settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        self.slots = Slots(folder / "slots")
        if model is not None and not self.slots.installed():
            self.slots.install(model)
        detector = self._load(self.slots.active())
        self.results = FrameResults(folder / "results.db", settings.satellite)
        shelf = Shelf(folder / "canaries")
        shadow = None
        if settings.shadow.one_in:
            shadow = Shadow(settings.shadow, FileShadowLog(folder / "slots" / "shadow.json"), elapsed)
        self._frames = ObserveFrames(
            satellite=settings.satellite,
            detector=detector,
            policy=settings.policy,
            mining=Mining(rule=settings.mining, uniform=chance(settings.seed)),
            imagery=Imagery(read=read_picture, encode=encode_picture, decode=decode_picture),
            spool=intake,
            results=self.results,
            canaries=shelf,
            clock=clock,
            shadow=shadow,
        )
        self._prove = ProveUpdate(
            satellite=settings.satellite,
            slots=self.slots,
            canaries=shelf,
            load=self._load,
            swap=self._frames.swap,
            verify=VerifyingKey(credentials_of(settings).ground_key).verify,
            clock=clock,
            rule=settings.canary,
            shadow=shadow,
        )

    def close(self) -> None:
        """Let go of the results."""
        self.results.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def observe(self, frame: Path) -> FrameResult:
        """Look at one frame, keep what was seen, hand over what is worth sending."""
        return self._frames.observe(frame)

    def status(self) -> WorkerStatus:
        """What flies, and what was seen so far."""
        state = self.slots.state()
        return WorkerStatus(flying=state.flying, telemetry=self.results.telemetry(), last=state.last)

    def prove(self, path: Path, offer: Offer) -> UpdateReport:
        """Prove an update and swap it in; errors as :class:`ProveUpdate`."""
        return self._prove(path, offer)

    def rest(self) -> None:
        """Take less memory until the next frame comes."""
        detector = self._frames.detector
        if isinstance(detector, OnnxDetector):
            detector.rest()
        give_memory_back()

    def _load(self, model: Model) -> OnnxDetector:
        return OnnxDetector(model.graph, model.weights, model.spec, threads=self._settings.threads)


def work(settings: EdgeSettings, frames: Path, patience: Patience) -> None:
    """Run as the worker of a Local Controller that runs beside it, until ``patience`` is stopped.

    Raises:
        BadInput: nothing is installed, or what is installed is damaged.
        NoSpace: the disk is full.
    """
    frames.mkdir(parents=True, exist_ok=True)
    folder, clock = settings.folder, WallClock()
    with ExitStack() as stack:
        stack.enter_context(held_lock(folder / "worker.lock", "the worker", patience, _TAKEOVER))
        caller = Caller(folder / CONTROLLER_SOCKET, "the Local Controller", timedelta(seconds=30))
        stack.callback(caller.close)
        worker = stack.enter_context(Worker(settings, clock, RemoteIntake(caller, settings.satellite, patience)))
        stack.enter_context(CallServer(folder / WORKER_SOCKET, worker_calls(worker)))
        watch = FrameWatch(folder=frames, done=worker.results.done)
        _log.info("worker_ready", extra={"flying": worker.status().flying, "frames": str(frames)})
        rest_at = patience.monotonic()
        while not patience.wait(_LOOK_S):
            if patience.monotonic() > rest_at:
                worker.rest()  # again and again: an update that was proved has waked it
                rest_at = patience.monotonic() + _REST_AFTER_S
            for frame in watch.whole():
                rest_at = patience.monotonic() + _REST_AFTER_S
                if patience.stopped:
                    return
                try:
                    result = worker.observe(frame)
                except NotYet as error:
                    _log.warning("frame_put_off", extra={"frame": frame.name, "why": str(error)})
                    break
                fields = {"frame": result.frame, "samples": result.samples, "why": result.error}
                _log.log(logging.WARNING if result.error else logging.INFO, "frame_observed", extra=fields)
