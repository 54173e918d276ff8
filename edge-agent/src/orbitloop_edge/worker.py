"""The inference worker's composition root: frames, results, model slots and canaries."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from orbitloop.adapters.signatures import VerifyingKey
from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import NotYet, OrbitloopError, Refused
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.spool import Intake
from orbitloop.ports.workers import WorkerStatus
from orbitloop.wire.messages import MOST_DAMAGED, Offer, UpdateReport
from orbitloop.wire.model_folder import Model
from orbitloop_edge.adapters.host import Patience, chance, elapsed, give_memory_back
from orbitloop_edge.adapters.imagery import decode_picture, encode_picture, read_picture, resampled
from orbitloop_edge.adapters.locks import held_lock
from orbitloop_edge.adapters.neighbours import CONTROLLER_SOCKET, WORKER_SOCKET, RemoteIntake, worker_calls
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_edge.adapters.onnx_networks import WarmNetworks
from orbitloop_edge.adapters.results import FrameResults
from orbitloop_edge.adapters.rpc import Caller, CallServer
from orbitloop_edge.adapters.selection_files import Arrived, FileDecisions, SelectionFile
from orbitloop_edge.adapters.shadow_log import FileShadowLog
from orbitloop_edge.adapters.shelf import Shelf
from orbitloop_edge.adapters.slots import Slots
from orbitloop_edge.adapters.starts import FileStarts, FileTried, FileTrust
from orbitloop_edge.controller import credentials_of
from orbitloop_edge.settings import EdgeSettings, selection_path
from orbitloop_edge.usecases.detector import Detector
from orbitloop_edge.usecases.observe import FrameResult, Imagery, Mining, ObserveFrames
from orbitloop_edge.usecases.prove import ProveUpdate
from orbitloop_edge.usecases.scrub import Scrubber
from orbitloop_edge.usecases.select import Board, SelectFrames
from orbitloop_edge.usecases.shadow import Shadow
from orbitloop_edge.usecases.watch import FrameWatch

_log = logging.getLogger(__name__)

_LOOK_S = 1.0
_REST_AFTER_S = 20.0
"""Without a frame."""
_TAKEOVER = timedelta(seconds=30)
"""How long to wait for a worker that is about to end."""


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    """A detector and its graph: a :class:`~orbitloop_edge.usecases.models_on_board.Loaded`."""

    detector: OnnxDetector
    graph: bytes

    @property
    def version(self) -> Digest:
        return self.detector.version

    @property
    def model(self) -> Model:
        return Model(spec=self.detector.spec, weights=self.detector.weights, graph=self.graph)

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        return self.detector.detect(pixels)

    def answer(self) -> Digest:
        return self.detector.answer()

    def rest(self) -> None:
        self.detector.rest()


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
        self._starts = FileStarts(folder / "slots" / "starts.json")
        self._scrubber = Scrubber(
            satellite=settings.satellite,
            slots=self.slots,
            load=self._load,
            starts=self._starts,
            record=FileTrust(folder / "slots" / "trust.json"),
            rule=settings.scrub,
            engine=f"onnxruntime {version('onnxruntime')}, {settings.threads} threads, {platform.machine()}",
            clock=clock,
        )
        self._clock = clock
        self.results = FrameResults(folder / "results.db", settings.satellite)
        shelf = Shelf(folder / "canaries")
        shadow = None
        if settings.shadow.one_in:
            shadow = Shadow(settings.shadow, FileShadowLog(folder / "slots" / "shadow.json"), elapsed)
        self._frames = ObserveFrames(
            satellite=settings.satellite,
            detector=self._scrubber.current,
            policy=settings.policy,
            mining=Mining(rule=settings.mining, uniform=chance(settings.seed)),
            imagery=Imagery(read=read_picture, encode=encode_picture, decode=decode_picture),
            spool=intake,
            results=self.results,
            canaries=shelf,
            clock=clock,
            shadow=shadow,
        )
        verify = VerifyingKey(credentials_of(settings).ground_key).verify
        self._intake = intake
        self._selection: SelectFrames | None = None
        self._networks: WarmNetworks | None = None
        self._selected = self._done_with = self._complaint = ""
        self._by_logic = False
        self._selections = SelectionFile(
            selection_path(settings),
            folder / "selection" / "kept.ols",
            verify,
            deaths=max(1, settings.scrub.boots.deaths - 1),  # before the model is blamed
        )
        self._decisions = FileDecisions(folder / "selection" / "frame.json")
        self._renew_selection(self._selections.kept)
        self._prove = ProveUpdate(
            satellite=settings.satellite,
            slots=self.slots,
            canaries=shelf,
            load=self._load,
            swap=self._swap,
            verify=verify,
            clock=clock,
            rule=settings.canary,
            shadow=shadow,
            serves=lambda: self._scrubber.serves,
            tried=FileTried(folder / "slots" / "tried.json"),
        )

    def close(self) -> None:
        """End in good order: let go of the results, and count nothing against the model."""
        self._scrubber.end()
        self.results.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def observe(self, frame: Path) -> FrameResult:
        """Look at one frame, keep what was seen, hand over what is worth sending, and what the selection logic sends if
        there is one. Raises ``NotYet`` while no model on board can be trusted.
        """
        self._select(frame)
        if self._settings.selection_alone and self._by_logic:
            result = self._frames.pass_over(frame)
        else:
            result = self._frames.observe(frame)
        self._done_with = frame.name
        self._scrubber.served()
        return result

    def _select(self, frame: Path) -> None:
        """A frame that the logic is not made for is left to the others; it goes first, so that it may go again."""
        if frame.name == self._selected:  # and was put off by the others
            return
        self._by_logic = False
        if self._decisions.frame != frame.name:
            self._renew_selection(self._selections.new)
        if self._selection is None:
            return
        try:
            with self._selections.trial():
                done = self._selection.select(frame)
            self._selected, self._by_logic = frame.name, True
        except Refused as error:
            self._selected = frame.name
            _log.warning("frame_not_selected", extra={"frame": frame.name, "why": str(error)})
            return
        fields = {"frame": done.frame, "seconds": round(done.seconds, 4), "processed": done.processed}
        _log.info("frame_selected", extra={**fields, "contexts": done.contexts, "samples": done.samples})

    def _renew_selection(self, arrived: Callable[[], Arrived | None]) -> None:
        """Go by what has arrived from now on; what cannot fly leaves things as they are."""
        try:
            new = arrived()
        except OrbitloopError as error:
            if str(error) != self._complaint:  # the same again is no event
                self._complaint = str(error)
                _log.warning("selection_refused", extra={"why": self._complaint})
            return
        self._complaint = ""
        if new is not None:
            self._selection = self._going_by(new)
            fields = {"selection": new.digest, "version": new.package.version, "application": new.package.application}
            _log.info("selection_flies", extra=fields)

    def _see(self, pixels: NDArray[np.uint8]) -> Detections:
        """By the model that serves now."""
        return self._frames.detector.detect(pixels)

    def _going_by(self, arrived: Arrived) -> SelectFrames:
        settings, package = self._settings, arrived.package
        networks = self._networks = WarmNetworks(
            package.parts, memory=settings.selection_memory, threads=settings.threads
        )
        board = Board(
            satellite=settings.satellite,
            detect=self._see,
            policy=settings.policy,
            imagery=Imagery(read=read_picture, encode=encode_picture, decode=decode_picture),
            resample=resampled,
            spool=self._intake,
            clock=self._clock,
            seconds=elapsed,
            decisions=self._decisions,
        )
        return SelectFrames(package, arrived.digest, networks, board)

    def look(self) -> None:
        """Between frames: fly a selection logic that has arrived, look over some of the models on board; errors as
        :meth:`Scrubber.look`.
        """
        if self._decisions.frame in {"", self._done_with} or self._decisions.frame in self.results.done():
            self._done_with = self._decisions.frame
            self._renew_selection(self._selections.new)
        self._scrubber.look()

    def status(self) -> WorkerStatus:
        """What flies, and what was seen so far."""
        state = self.slots.state()
        telemetry = self.results.telemetry().model_copy(update={"trust": self._scrubber.trust()})
        damaged = self._scrubber.missing[:MOST_DAMAGED]
        return WorkerStatus(
            flying=state.flying,
            telemetry=telemetry,
            last=state.last,
            damaged=damaged,
            logic=self._selections.said,
        )

    def prove(self, path: Path, offer: Offer) -> UpdateReport:
        """Prove an update and swap it in; errors as :class:`ProveUpdate`. One that the worker has died of again and
        again is not tried any more.
        """
        self._scrubber.demand()
        died = self._starts.proving(offer.digest)
        try:
            if died >= self._settings.scrub.boots.deaths:
                return self._given_up(offer, died)
            return self._prove(path, offer)
        finally:
            self._starts.proved()

    def prove_beginning(self, path: Path, offer: Offer, here: Bytes) -> Digest | None:
        """Prove what the first ``here`` bytes of an update make, and swap it in; see :meth:`ProveUpdate.beginning`."""
        self._scrubber.demand()
        self._starts.proving(offer.digest)
        try:
            return self._prove.beginning(path, offer, here)
        finally:
            self._starts.proved()

    def _given_up(self, offer: Offer, died: int) -> UpdateReport:
        report = UpdateReport(
            satellite=self._settings.satellite,
            update=offer.digest,
            outcome=Outcome.ROLLED_BACK,
            reason=f"the worker died {died} times while it proved this update",
            flying=self.slots.state().flying,
            at=self._clock.now(),
            late=True,
        )
        self.slots.remember(report)
        return report

    def _swap(self, detector: Detector) -> None:
        assert isinstance(detector, _Loaded), "what is proved is what was loaded"
        self._frames.swap(self._scrubber.adopt(detector))

    def rest(self) -> None:
        """Take less memory until the next frame comes."""
        self._scrubber.rest()
        if self._networks is not None:
            self._networks.rest()
        give_memory_back()

    def _load(self, model: Model) -> _Loaded:
        detector = OnnxDetector(model.graph, model.weights, model.spec, threads=self._settings.threads)
        return _Loaded(detector, model.graph)


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
            try:
                worker.look()
            except OrbitloopError as error:
                _log.warning("look_put_off", extra={"why": str(error)})
