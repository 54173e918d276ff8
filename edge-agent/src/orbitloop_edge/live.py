"""The live satellite's composition root: a Local Controller that follows its plan, and the worker it looks after."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbitloop.adapters.durable import write_unlisted
from orbitloop.adapters.log_lines import log_to_stderr
from orbitloop.adapters.plans import WatchedPlan
from orbitloop.adapters.shaping import choose_shaper
from orbitloop.adapters.threads import ending_with_any_thread
from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import BadInput, LinkClosed, NoSpace, NotYet, OrbitloopError
from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import Bytes, Digest, capacity
from orbitloop.ports.clock import Clock
from orbitloop.ports.signal import FollowsSignal, Indifferent
from orbitloop.ports.workers import InferenceWorker
from orbitloop_edge.adapters.egress import BURST, Egress
from orbitloop_edge.adapters.host import Patience, give_memory_back, is_running, share_one_arena, stop_when_input_ends
from orbitloop_edge.adapters.locks import locked
from orbitloop_edge.adapters.neighbours import CONTROLLER_SOCKET, RemoteWorker, intake_calls
from orbitloop_edge.adapters.rpc import CallServer
from orbitloop_edge.adapters.slot_state import read_state
from orbitloop_edge.adapters.spool_listing import waiting_samples
from orbitloop_edge.adapters.supervisor import Supervisor
from orbitloop_edge.controller import CFDP_INBOX, AbsentWorker, Controller, Node, Reach
from orbitloop_edge.satellite_file import INFERENCE, NO_WORKER, CfdpTable, Layer, SatelliteFile
from orbitloop_edge.settings import EdgeSettings
from orbitloop_edge.usecases.passes import LONGEST_WAIT_S, Cadence, Itinerary, Opening
from orbitloop_edge.usecases.tally import SessionSummary

if TYPE_CHECKING:
    from orbitloop.adapters.cfdp.entity import CfdpEntity

_log = logging.getLogger(__name__)

STATUS = "status.json"
_UNPLANNED = timedelta(hours=1)
"""What one session may carry where nobody knows when the signal ends: as much as a window of this length."""
_PROOF_PAUSE_S = 5.0
_PUT_OFF_S = 1.0


class Agent:
    """Follows the plan until it is told to stop.

    Args:
        file: see :class:`SatelliteFile`.
        controller: spool and contact sessions.
        worker: the inference worker, there or not.
        clock: what time it is on board.
        patience: waits, and ends them.
        follower: told whether a station can be heard.
    """

    def __init__(
        self,
        file: SatelliteFile,
        controller: Controller,
        worker: InferenceWorker,
        clock: Clock,
        patience: Patience,
        *,
        follower: FollowsSignal | None = None,
    ) -> None:
        self._file = file
        self._controller = controller
        self._worker = worker
        self._clock = clock
        self._patience = patience
        self._policy = file.link.policy()
        self._follower = follower or Indifferent()
        self._itinerary = itineraries(file)
        self._cadence = Cadence(rhythm=file.rhythm())
        self._proof_due = 0.0
        self._spent: dict[Opening, int] = {}
        self._status: dict[str, Any] = {}
        self._written: dict[str, Any] = {}

    def run(self) -> None:
        """Work until :attr:`patience` is stopped."""
        _log.info("agent_started", extra={"satellite": self._file.satellite, "pid": os.getpid()})
        wait, why = 0.0, ""
        while not self._patience.wait(wait):
            try:
                wait = self._step()
                why = ""
            except OrbitloopError as error:
                if str(error) != why:  # the same again is no event
                    _log.warning("put_off", extra={"why": str(error)})
                wait, why = _PUT_OFF_S, str(error)
        self._publish(running=False)
        _log.info("agent_stopped", extra={"satellite": self._file.satellite})

    def _step(self) -> float:
        """Do what there is to do; returns how long to wait then, seconds."""
        self._prove()
        self._controller.settle()
        now = self._clock.now()
        itinerary = self._itinerary()
        opening = itinerary.opening(now, self._cadence.failures)
        following = itinerary.next(now)
        self._status["next_window"] = None if following is None else _window(following)
        self._publish()
        if opening is None:
            self._follower.suspend()
            self._cadence.closed()
            until = LONGEST_WAIT_S if following is None else (following.aos - now).total_seconds()
            return min(LONGEST_WAIT_S, max(0.05, until))
        self._follower.resume()
        if self._cadence.due(opening, self._patience.monotonic(), self._waiting()):
            self._session(opening, now)
        return 0.5

    def _session(self, opening: Opening, now: datetime) -> None:
        """One contact session. Raises what keeps it from beginning."""
        try:
            summary = self._contact(opening, now)
        except OrbitloopError:
            self._cadence.put_off(self._patience.monotonic())
            raise
        give_memory_back()
        self._cadence.held(complete=summary.complete, moment=self._patience.monotonic(), waiting=self._waiting())
        self._status["last_contact"] = _told(opening, now, self._clock.now(), summary)
        _log.info("session_ended", extra=self._status["last_contact"])
        self._publish()

    def _contact(self, opening: Opening, now: datetime) -> SessionSummary:
        remaining = _UNPLANNED if opening.los is None else opening.los - now
        ends = self._patience.monotonic() + remaining.total_seconds()
        budget = capacity(remaining, self._policy.downlink) * (100 - self._policy.reserve_percent) // 100
        if self._policy.pass_budget is not None:
            budget = min(budget, self._policy.pass_budget - self._spent.get(opening, 0))

        def crossed(direction: Direction, count: Bytes) -> None:
            if direction is Direction.DOWN and opening.los is not None:
                self._spent[opening] = self._spent.get(opening, 0) + count
            if self._patience.stopped:
                raise LinkClosed("told to stop; the rest goes down after the next start")
            if opening.los is not None and self._patience.monotonic() > ends:
                raise LinkClosed(f"the pass over {opening.station} has ended; the rest goes down in the next one")

        occasion = self._controller.occasion(self._worker, Bytes(max(0, budget)))
        ground = self._reach(opening.station, None if opening.los is None else remaining)
        layer = Layer.HTTP if ground.datagrams is None else Layer.DATAGRAMS
        fields = {"station": opening.station, "budget_bytes": occasion.budget, "layer": str(layer)}
        _log.info("session_begins", extra=fields)
        return self._controller.contact(ground, self._worker, occasion, crossed)

    def _reach(self, station: str, lasts: timedelta | None) -> Reach:
        """By which layer: ``auto`` takes the other one after a failure, and the transfers go on there."""
        table = self._file.stations[station]
        prefers_http = self._file.layer is Layer.HTTP or (self._file.layer is Layer.AUTO and self._cadence.failures % 2)
        if table.datagrams is None or prefers_http:
            return Reach(url=table.gateway)
        host, _, port = table.datagrams.rpartition(":")
        return Reach(url=table.gateway, datagrams=(host, int(port)), lasts=lasts)

    def _prove(self) -> None:
        """Prove an update that waits, not more often than now and then."""
        if self._patience.monotonic() < self._proof_due:
            return
        self._proof_due = self._patience.monotonic() + _PROOF_PAUSE_S
        try:
            report = self._controller.prove_pending(self._worker)
        except NotYet as error:
            _log.info("proof_put_off", extra={"why": str(error)})
            self._status["update"] = str(error)
            return
        self._status["update"] = None
        if report is not None:
            self._status["last_report"] = report.model_dump(mode="json")

    def _waiting(self) -> int:
        return self._controller.queued().samples + len(self._controller.reports()) + self._controller.events()

    def _publish(self, *, running: bool = True) -> None:
        """Let ``orbitloop-edge status`` know, if something has changed."""
        queued = self._controller.queued()
        known = self._controller.last_known()
        self._status |= {
            "satellite": self._file.satellite,
            "pid": os.getpid() if running else None,
            "shaping": None if self._controller.shaping is None else str(self._controller.shaping.value),
            "queued_samples": queued.samples,
            "queued_bytes": queued.bytes,
            "delivered_samples": queued.delivered,
            "reports_waiting": len(self._controller.reports()),
            "flying": self._flying() or (None if known is None else known.flying),
        }
        if known is not None and known.telemetry.trust is not None:
            trust = known.telemetry.trust
            self._status["trust"] = trust.model_dump(mode="json", exclude={"version", "scrubbed", "rounds"})
        if known is not None and known.logic is not None:
            self._status["selection"] = known.logic.model_dump(mode="json", exclude={"version"})
        if known is not None and known.last is not None:
            self._status["last_report"] = known.last.model_dump(mode="json")
        if self._status == self._written:
            return
        try:
            write_unlisted(self._file.folder / STATUS, json.dumps(self._status, indent=2).encode())
            self._written = dict(self._status)
        except NoSpace as error:
            _log.warning("status_not_written", extra={"why": str(error)})

    def _flying(self) -> Digest | None:
        try:
            return read_state(self._file.folder / "slots").flying
        except BadInput:
            return None


def run(file: SatelliteFile, config: Path, patience: Patience) -> None:
    """Run the Local Controller, and the worker unless there is none, until ``patience`` is stopped.

    Raises:
        BadInput: a key or the contact plan is missing or malformed, or the folder is open in another process.
        NoSpace: the disk is full at the start.
        RuntimeError: one of its threads ended by an error that nobody expected, and the process with it.
    """
    share_one_arena()
    clock = WallClock()
    with ExitStack() as stack:
        stack.enter_context(ending_with_any_thread(patience.stop))
        shaper = stack.enter_context(choose_shaper(file.link.interface, burst=BURST))
        egress = Egress(shaper, file.link.policy(), sleep=patience.wait)
        controller = stack.enter_context(
            Controller(
                settings_of(file),
                clock,
                patience=timedelta(seconds=file.contacts.patience_seconds),
                senders=file.contacts.senders,
                egress=egress,
                node=local_node(file, clock, patience, stack),
            )
        )
        stack.enter_context(CallServer(file.folder / CONTROLLER_SOCKET, intake_calls(controller.spool)))
        command = worker_command(file, config)
        worker: InferenceWorker = AbsentWorker()
        if command is not None:
            remote = worker = RemoteWorker(file.folder)
            stack.callback(remote.close)
        entity = None if file.cfdp is None else stack.enter_context(cfdp_entity(file, file.cfdp))
        agent = Agent(file, controller, worker, clock, patience, follower=entity)
        thread = threading.Thread(target=agent.run, name="agent")
        thread.start()
        stack.callback(thread.join)
        stack.callback(controller.hang_up)
        stack.callback(patience.stop)
        if command is not None:  # ends before the agent does, which may wait for its answer
            stack.enter_context(Supervisor(command, file.folder))
        while not patience.wait(60.0):
            continue


def local_node(file: SatelliteFile, clock: Clock, patience: Patience, stack: ExitStack) -> Node | None:
    """What looks after workers and datasets, until ``stack`` ends; ``None`` where there are none."""
    if file.local_controller is None:  # nor is a server loaded
        return None
    from orbitloop_edge.node import LocalNode

    return stack.enter_context(LocalNode(file.folder, file.local_controller, clock, patience)).node


def itineraries(file: SatelliteFile) -> Callable[[], Itinerary]:
    """What says who can be heard when, as the plan is now. Raises ``BadInput`` for a plan that cannot be used."""
    stations = tuple(file.stations)
    if file.contacts.plan is None:
        return lambda: Itinerary.of(None, file.satellite, stations)
    return WatchedPlan(file.contacts.plan, lambda windows: Itinerary.of(windows, file.satellite, stations)).current


def cfdp_entity(file: SatelliteFile, table: CfdpTable) -> CfdpEntity:
    """The satellite's end of CCSDS File Delivery, at rest until a station can be heard.

    Raises:
        BadInput: its address is taken, or an entity id is out of range or used twice.
    """
    # Few satellites speak it: what it needs is not loaded for the others.
    from orbitloop.adapters.cfdp.entity import CfdpEntity
    from orbitloop.adapters.cfdp.values import EntityId, EntitySettings, Limits, host_and_port, remote_at
    from orbitloop_edge.adapters.cfdp_updates import CfdpUpdates

    policy, inbox = file.link.policy(), file.folder / CFDP_INBOX
    host, port = host_and_port(table.listen)
    told = EntitySettings(
        id=EntityId(table.entity),
        host=host,
        port=port,
        inbox=inbox,
        remotes=tuple(remote_at(int(id), address, policy.downlink) for id, address in table.remotes.items()),
        limits=Limits(file=policy.update_budget),
    )
    entity = CfdpEntity(told, CfdpUpdates(inbox, policy.update_budget))
    entity.suspend()
    return entity


def worker_command(file: SatelliteFile, config: Path) -> tuple[str, ...] | None:
    """How the worker is started; ``None`` where there is none."""
    match file.worker.command:
        case str(name) if name == NO_WORKER:
            return None
        case str(name) if name == INFERENCE:
            return (sys.executable, "-m", "orbitloop_edge.cli", "worker", "--config", str(config.resolve()))
        case str(name):
            raise BadInput(f"worker.command {name!r} is unknown")
        case words:
            places = {"{config}": str(config.resolve()), "{folder}": str(file.folder)}
            return tuple(places.get(word, word) for word in words)


def begin(process: str, *, until_input_ends: bool = False) -> Patience:
    """Logs as JSON lines from now on, and what ends on SIGTERM, SIGINT and, if so, the end of standard input."""
    log_to_stderr(process, quiet=["httpx"])  # a line a request is no event
    patience = Patience()
    patience.stop_on_signals()
    if until_input_ends:
        stop_when_input_ends(patience)
    return patience


def install(file: SatelliteFile, model: Path) -> Digest:
    """Put the model in the folder ``model`` on board; returns its digest.

    Raises:
        BadInput: a file of the model is missing or damaged, or the satellite is running.
        NoSpace: the disk is full.
    """
    from orbitloop.adapters.model_files import read_model
    from orbitloop_edge.adapters.slots import Slots

    file.folder.mkdir(parents=True, exist_ok=True)
    worker = locked(file.folder / "worker.lock", "the satellite's worker")
    try:
        slots = Slots(file.folder / "slots")
        slots.install(read_model(model))
        return slots.state().flying
    finally:
        os.close(worker)


def read_waiting(file: SatelliteFile) -> list[dict[str, Any]]:
    """What waits in the spool, without disturbing who has it open. Raises ``BadInput`` if it cannot be read."""
    return waiting_samples(file.folder / "spool")


def read_status(file: SatelliteFile) -> dict[str, Any]:
    """What the Local Controller last said, without disturbing it. Raises ``BadInput`` if it never ran here."""
    path = file.folder / STATUS
    try:
        status = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: no status ({error}); start orbitloop-edge run first") from error
    pid = status.pop("pid", None)
    empty: dict[str, Any] = dict.fromkeys(
        ("last_contact", "next_window", "last_report", "flying", "shaping", "update", "trust", "selection")
    )
    answer: dict[str, Any] = empty | status | {"running": pid is not None and is_running(pid)}
    return answer


def settings_of(file: SatelliteFile) -> EdgeSettings:
    """The settings that Local Controller and worker share. Raises ``BadInput`` for missing or damaged keys."""
    return EdgeSettings(
        satellite=file.satellite,
        folder=file.folder,
        keys=file.keys,
        policy=file.link.policy(),
        mining=file.rule(),
        canary=file.canary_rule(),
        shadow=file.shadow_rule(),
        scrub=file.scrub_rule(),
        spool_budget=Bytes(file.spool_budget_bytes),
        threads=file.worker.threads,
        seed=file.worker.seed,
        selection=file.worker.selection,
        selection_memory=Bytes(file.worker.selection_memory_bytes),
        selection_alone=file.worker.selection_alone,
        datagram=Bytes(file.link.datagram_bytes),
        fade=timedelta(seconds=file.contacts.fade_seconds),
    )


def _window(window: ContactWindow) -> dict[str, str]:
    return {"station": window.station, "aos": window.aos.isoformat(), "los": window.los.isoformat()}


def _told(opening: Opening, begun: datetime, ended: datetime, summary: SessionSummary) -> dict[str, Any]:
    return {
        "station": opening.station,
        "begun": begun.isoformat(),
        "ended": ended.isoformat(),
        "bundles": summary.bundles,
        "samples": summary.samples,
        "bytes_down": summary.bytes_down,
        "bytes_up": summary.bytes_up,
        "events": summary.events,
        "update": None if summary.update is None else str(summary.update),
        "complete": summary.complete,
        "problems": list(summary.problems),
    }
