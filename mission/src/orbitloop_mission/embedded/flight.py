"""The flight: frames between passes, sessions within them, learning on the ground, until the rounds are done."""

from __future__ import annotations

import functools
import shutil
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from orbitloop.adapters.model_files import read_model
from orbitloop.adapters.orbits import contact_windows, propagation_delay
from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.learning import CloseRound, Stage, Wait
from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import Bytes, capacity
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.rounds import Round
from orbitloop.wire.messages import Telemetry
from orbitloop.wire.model_folder import Model
from orbitloop_edge.app import LocalController
from orbitloop_edge.settings import EdgeSettings
from orbitloop_edge.usecases.tally import SessionSummary
from orbitloop_mission.embedded.clock import MissionClock
from orbitloop_mission.embedded.logbook import Logbook, PassEntry, RoundEntry
from orbitloop_mission.embedded.measure import Gauge
from orbitloop_mission.embedded.narrator import Narrator
from orbitloop_mission.embedded.plan import MissionPlan
from orbitloop_mission.embedded.reference import Reference
from orbitloop_mission.embedded.scenery import Scenery, check_classes, load_scenery
from orbitloop_mission.embedded.station import GroundStation
from orbitloop_mission.embedded.stopwatch import Stopwatch
from orbitloop_mission.space_link import LinkProfile, SpaceLink, Traffic

MOST_PASSES_PER_ROUND = 6
"""After so many passes per round the mission is called off: something keeps it from going on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flown:
    """A mission that was flown: what it leaves behind for the report."""

    plan: MissionPlan
    scenery: Scenery
    base: Model
    final: Model
    logbook: Logbook
    gauge: Gauge
    telemetry: Telemetry
    received: int
    queued: int
    wall_seconds: float


def fly(plan: MissionPlan, narrator: Narrator) -> Flown:
    """Fly a whole mission on this machine, on real sockets and files under ``plan.out``.

    Raises:
        BadInput: the data or the model is missing or malformed.
        NoSpace: the disk is full.
    """
    begun = time.monotonic()
    base = read_model(plan.model)
    narrator.say("reading the frames")
    scenery = load_scenery(
        plan.data, rounds=plan.rounds, old_scale=plan.old_scale, seed=plan.seed, archive=plan.archive
    )
    check_classes(scenery, base, plan.data)
    shutil.rmtree(plan.out / "state", ignore_errors=True)
    (plan.out / "state" / "satellite").mkdir(parents=True)
    clock = MissionClock(plan.start, realtime=plan.realtime)
    with ExitStack() as stack:
        windows = contact_windows(plan.orbit, plan.station, plan.start, 14.0)
        ground = stack.enter_context(
            GroundStation(plan, scenery, base, clock=clock, windows=windows, narrator=narrator)
        )
        profile = LinkProfile(
            downlink=plan.policy.downlink,
            uplink=plan.policy.uplink,
            delay=functools.partial(propagation_delay, plan.orbit, plan.station),
        )
        link = stack.enter_context(SpaceLink(("127.0.0.1", ground.port), clock=clock, plan=windows, profile=profile))
        settings = EdgeSettings(
            satellite=plan.satellite,
            folder=plan.out / "state" / "satellite",
            keys=ground.satellite_keys,
            policy=plan.policy,
            mining=plan.mining,
            canary=plan.canary,
            seed=plan.seed,
        )
        satellite = stack.enter_context(LocalController(settings, clock, base))
        flight = _Flight(
            plan, scenery, base, ground=ground, link=link, satellite=satellite, clock=clock, narrator=narrator
        )
        flight.run(windows)
        return Flown(
            plan=plan,
            scenery=scenery,
            base=base,
            final=satellite.slots.active(),
            logbook=flight.logbook,
            gauge=flight.gauge,
            telemetry=satellite.telemetry(),
            received=ground.ledger.count_received(plan.satellite),
            queued=satellite.queued().samples,
            wall_seconds=time.monotonic() - begun,
        )


class _Flight:
    def __init__(
        self,
        plan: MissionPlan,
        scenery: Scenery,
        base: Model,
        *,
        ground: GroundStation,
        link: SpaceLink,
        satellite: LocalController,
        clock: MissionClock,
        narrator: Narrator,
    ) -> None:
        self._plan = plan
        self._ground = ground
        self._link = link
        self._satellite = satellite
        self._narrator = narrator
        self._clock = clock
        self._queues = [deque(frames) for frames in scenery.flown]
        self._observed = 0
        self._cut_due = plan.cut_round
        self.gauge = Gauge(scenery, narrator.measuring)
        self.logbook = Logbook(rounds=[RoundEntry(number=number + 1) for number in range(plan.rounds)])
        self.logbook.rounds[0].before = weights_digest(base.weights)
        self._reference = Reference(ground.trainer, base, scenery, narrator) if plan.reference else None
        self.gauge.accuracy(base, "the launched model")

    def run(self, windows: tuple[ContactWindow, ...]) -> None:
        """Fly until every round is closed, or the passes run out."""
        for window in windows[: MOST_PASSES_PER_ROUND * self._plan.rounds]:
            self._capture()
            if window.los <= self._clock.now():
                continue  # training took longer than the gap
            self._clock.advance_to(window.aos)
            self._use(PassEntry(number=len(self.logbook.passes) + 1, window=window))
            waited = self._learn()
            if len(self._ground.rounds.closed()) >= self._plan.rounds:
                self.logbook.unfinished = ""
                return
            self.logbook.unfinished = waited.reason
        self._note_unfinished()

    def _capture(self) -> None:
        """Observe what is left of the frames of the round, unless its samples are already being learned from."""
        state = self._ground.rounds.current()
        while state.stage is Stage.TRAIN and self._queues[state.number - 1]:
            self._observe(state.number)

    def _observe(self, number: int) -> None:
        result = self._satellite.observe(self._queues[number - 1].popleft())
        entry = self.logbook.rounds[number - 1]
        entry.frames += 1
        entry.captured += result.size
        self._observed += 1
        self._narrator.frame(result, self._observed, self._observed + sum(len(queue) for queue in self._queues))

    def _use(self, entry: PassEntry) -> None:
        """One pass: a session on the link, while the camera goes on if an update is about to come up."""
        state = self._ground.rounds.current()
        self._narrator.pass_begins(entry.number, entry.window)
        if state.stage is Stage.DEPLOY and state.number == self._cut_due:
            self._link.cut_after(up=self._plan.cut_after)
            self._cut_due = None
        before = self._link.traffic()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="camera") as camera:
            frame = camera.submit(self._observe, state.number + 1) if self._may_observe_next(state) else None
            summary, uplink = self._session(entry, before)
            if frame is not None:
                frame.result()
        self._link.cut_after()
        crossed = _since(before, self._link.traffic())
        entry.down, entry.up = crossed.down, crossed.up
        entry.cut = crossed.cuts > 0 and self._clock.now() < entry.window.los
        entry.bundles, entry.samples = summary.bundles, summary.samples
        entry.update_rounds = (state.number,) if summary.bytes_up else ()
        entry.events.extend(_told(summary, state.number, cut=entry.cut))
        round_entry = self.logbook.rounds[state.number - 1]
        following = state.stage is Stage.DEPLOY and summary.samples and state.number < len(self.logbook.rounds)
        (self.logbook.rounds[state.number] if following else round_entry).down += crossed.down
        round_entry.uplink_seconds += uplink
        self.logbook.passes.append(entry)
        self._narrator.pass_ends(entry)

    def _may_observe_next(self, state: Round) -> bool:
        """Whether the camera gives a frame of the next round during this pass: the swap then happens under load."""
        return state.stage is Stage.DEPLOY and state.number < len(self._queues) and len(self._queues[state.number]) > 1

    def _session(self, entry: PassEntry, before: Traffic) -> tuple[SessionSummary, float]:
        """Hold the contact; what became of it, and how long an update was on the link, in seconds."""
        uplink = Stopwatch()

        def crossed(direction: Direction, _: Bytes) -> None:
            if direction is Direction.UP:
                uplink.lap()
            self._narrator.traffic(_since(before, self._link.traffic()))

        summary = self._satellite.contact(
            f"https://127.0.0.1:{self._link.port}",
            budget=capacity(entry.window.los - self._clock.now(), self._plan.policy.downlink),
            on_progress=crossed,
        )
        return summary, uplink.seconds

    def _learn(self) -> Wait | CloseRound:
        """Let the Global Manager do what there is to do, and note what it did."""
        entry = self.logbook.rounds[self._ground.rounds.current().number - 1]
        self._ground.training.reset()
        last = self._ground.manager.reconcile()
        if self._ground.training.laps:
            entry.train_steps, entry.train_seconds = self._ground.training.laps, self._ground.training.seconds
        closed = self._ground.rounds.closed()
        if len(closed) >= entry.number:
            self._close(entry, closed[entry.number - 1])
        return last

    def _close(self, entry: RoundEntry, state: Round) -> None:
        flying = self._satellite.slots.active()
        entry.state, entry.samples = state, state.samples
        if state.candidate is not None:
            reports = self._ground.ledger.reports(self._plan.satellite, state.candidate.digest)
            entry.report = reports[-1] if reports else None
        entry.after = weights_digest(flying.weights)
        self.gauge.accuracy(flying, f"what flies after round {state.number}")
        if self._reference is not None:
            entry.reference = self._reference.learn(state.number, self.gauge)
        if state.number < self._plan.rounds:
            self.logbook.rounds[state.number].before = entry.after

    def _note_unfinished(self) -> None:
        """The passes ran out: book the open round as far as it came."""
        state = self._ground.rounds.current()
        if state.number <= self._plan.rounds and state.candidate is not None:
            self._close(self.logbook.rounds[state.number - 1], state)


def _since(before: Traffic, now: Traffic) -> Traffic:
    return Traffic(
        down=Bytes(now.down - before.down),
        up=Bytes(now.up - before.up),
        connections=now.connections - before.connections,
        cuts=now.cuts - before.cuts,
    )


def _told(summary: SessionSummary, number: int, *, cut: bool) -> list[str]:
    """The pass in sentences."""
    told = []
    if summary.samples:
        told.append(f"{summary.samples} samples came down in {summary.bundles} bundles")
    if summary.bytes_up:
        told.append(f"{summary.bytes_up:,} bytes of round {number}'s update went up")
    if cut:
        told.append("the signal was lost; what was received is kept, the rest follows in the next pass")
    elif not summary.complete:
        told.append("the pass ended before everything was said; the rest follows in the next one")
    if summary.update is not None:
        told.append(f"the update of round {number} was {summary.update.value.replace('_', ' ')}")
    return told
