"""The Global Manager's loop for one satellite: observe, decide, act, until there is nothing to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol, assert_never

from orbitloop.domain.delta import apply
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, OrbitloopError, Refused
from orbitloop.domain.learning import (
    Action,
    CloseRound,
    Evaluate,
    Evaluation,
    LearningRule,
    Observed,
    Publish,
    Stage,
    Train,
    Wait,
    decide,
)
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.rounds import Candidate, Round, RoundBook
from orbitloop.ports.sample_store import ReceivedSample, SampleLedger
from orbitloop.ports.trainer import Lesson, Lessons, OnStep, Trained, Trainer
from orbitloop.ports.updates import PublishedUpdate, UpdateLedger
from orbitloop.wire.messages import Hello, UpdateReport
from orbitloop.wire.model_folder import Model
from orbitloop.wire.update import Sign, Step, Update, pack_update
from orbitloop.wire.update_streams import shapes_of
from orbitloop_ground.usecases.progressive import at_once, progressive
from orbitloop_ground.usecases.school import School

_log = logging.getLogger(__name__)


class Ledger(SampleLedger, UpdateLedger, Protocol):
    """What the loop needs to know of a satellite."""

    def count_waiting(self, satellites: tuple[str, ...] = ()) -> int:
        """Samples that no round has used."""
        ...

    def last_hello(self, satellite: str) -> tuple[datetime, Hello] | None:
        """The last contact, and when it began."""
        ...

    def reports(self, satellite: str, update: Digest | None = None) -> list[UpdateReport]:
        """What the satellite said of its updates, in the order of arrival."""
        ...


class Models(Protocol):
    """The models that the ground knows."""

    def put(self, model: Model) -> Digest:
        """Keep a model."""
        ...

    def get(self, digest: Digest) -> Model:
        """The model with these weights."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Classroom:
    """What a Global Manager works with.

    Args:
        outbox: folder for signed updates.
        write: writes a file durably.
        archive: old pictures with labels, replayed against forgetting.
    """

    ledger: Ledger
    models: Models
    rounds: RoundBook
    trainer: Trainer
    school: School
    sign: Sign
    clock: Clock
    outbox: Path
    write: Callable[[Path, bytes], None]
    archive: list[Lesson]


class GlobalManager:
    """Turns samples into updates, one round after the other.

    Restart-safe: every step's result is stored before the next is decided, and a step that was cut short is redone.

    Args:
        satellite: whose rounds these are.
        room: the adapters.
        rule: when to train and what is good enough.
        budget: most bytes that the next update may take: what the policy allows and the next pass can carry.
        on_step: told of training progress.
        on_action: told of each decision before it is carried out.
    """

    def __init__(
        self,
        satellite: str,
        room: Classroom,
        *,
        rule: LearningRule,
        budget: Callable[[], Bytes],
        on_step: OnStep | None = None,
        on_action: Callable[[Round, Action], None] | None = None,
    ) -> None:
        self._satellite = satellite
        self._room = room
        self._rule = rule
        self._budget = budget
        self._on_step = on_step or (lambda step, steps, loss: None)
        self._on_action = on_action or (lambda state, action: None)

    def reconcile(self) -> Wait | CloseRound:
        """Decide and act until a round is closed or there is nothing to do; says which. Call it again after either."""
        while True:
            state = self._room.rounds.current()
            action = decide(self._observe(state), self._rule)
            self._on_action(state, action)
            if isinstance(action, Wait):
                return action
            self._room.rounds.save(self._carry_out(state, action))
            if isinstance(action, CloseRound):
                return action

    def flying(self) -> Digest:
        """Digest of what flies, by the satellite's own latest word."""
        hello = self._room.ledger.last_hello(self._satellite)
        reports = self._room.ledger.reports(self._satellite)
        if hello is None:
            raise BadInput(f"{self._satellite} has not been heard yet; what flies is unknown")
        if reports and reports[-1].at > hello[1].clock:
            return reports[-1].flying
        if hello[1].flying is None:
            raise BadInput(f"{self._satellite} has no model of ours on board; install one")
        return hello[1].flying

    def _observe(self, state: Round) -> Observed:
        outcome = self._outcome(state)
        flying = self.flying() if state.published else None
        return Observed(
            now=self._room.clock.now(),
            stage=state.stage,
            waiting=self._room.ledger.count_waiting((self._satellite,)) + self._claimed(state),
            held_out=state.held_out,
            failures=state.failures if state.stage is Stage.TRAIN else 0,
            failed_at=state.failed_at,
            candidate=state.candidate.digest if state.candidate else None,
            evaluation=state.evaluation,
            published=state.published,
            outcome=outcome,
            superseded=self._is_superseded(state.candidate, flying),
        )

    def _outcome(self, state: Round) -> Outcome | None:
        """What became of the candidate: as reported, or, should the report be lost, as what flies tells."""
        if state.candidate is None or not state.published:
            return None
        reports = self._room.ledger.reports(self._satellite, state.candidate.digest)
        if reports:
            return reports[-1].outcome
        return Outcome.APPLIED if self.flying() == state.candidate.result else None

    def _is_superseded(self, candidate: Candidate | None, flying: Digest | None) -> bool:
        """Whether something else flies than the candidate's base, its result, or what a beginning of it makes."""
        if candidate is None or flying is None or flying in (candidate.base, candidate.result):
            return False
        offered = self._room.ledger.offer_for(self._satellite, flying)
        return offered is None or offered.digest != candidate.digest

    def _claimed(self, state: Round) -> int:
        return len(self._room.ledger.consumed(self._name(state.number))) if state.stage is Stage.TRAIN else 0

    def _name(self, number: int) -> str:
        return f"{self._satellite}-{number}"

    def _carry_out(self, state: Round, action: Train | Evaluate | Publish | CloseRound) -> Round:
        match action:
            case Train():
                return self._train(state)
            case Evaluate():
                return self._evaluate(state)
            case Publish():
                return self._publish(state)
            case CloseRound():
                _log.info("round closed", extra={"round": state.number, "reason": action.reason})
                return replace(state, closed=action.reason)
            case _:
                assert_never(action)

    def _train(self, state: Round) -> Round:
        ledger = self._room.ledger
        ledger.consume((entry.sample.id for entry in ledger.waiting((self._satellite,))), self._name(state.number))
        try:
            return self._trained(state)
        except (OrbitloopError, RuntimeError, MemoryError) as error:  # torch reports its own failures as RuntimeError
            _log.warning("training failed", extra={"round": state.number, "error": str(error)})
            # What is refused once will be refused again: no further attempt.
            failures = self._rule.attempts if isinstance(error, Refused) else state.failures + 1
            return replace(state, failures=failures, failed_at=self._room.clock.now(), failure=str(error)[:2000])

    def _samples(self, state: Round) -> list[ReceivedSample]:
        """The samples of this round and of all before it."""
        rounds = (self._room.ledger.consumed(self._name(number)) for number in range(1, state.number + 1))
        return [entry for samples in rounds for entry in samples]

    def _trained(self, state: Round) -> Round:
        room = self._room
        flying = room.models.get(self.flying())
        samples = self._samples(state)
        lessons = room.school.lessons(samples)
        tests, canaries = room.school.tests(samples)
        budget, base = self._budget(), weights_digest(flying.weights)
        labels = len(pack_update(Update(base=base, steps=(), canary=tuple(canaries)), room.sign))
        room_left = Bytes(max(0, budget - labels))
        made = room.trainer.train(flying, Lessons(new=lessons, old=room.archive), room_left, self._on_step)
        steps = self._steps(flying, made, tests, room_left)
        update = Update(base=base, steps=steps, canary=tuple(canaries))
        if update.result == update.base:
            raise BadInput("training moved no weight by a whole step, so there is nothing to send; train longer")
        data = pack_update(update, room.sign, shapes_of(flying.weights))
        if len(data) > budget:
            raise BadInput(f"the update takes {len(data)} bytes, over the budget of {budget}")
        weights = flying.weights
        for step in update.steps:  # what flies may be any of them once a pass has ended in the middle
            weights = apply(weights, step.changes)
            room.models.put(Model(spec=flying.spec, weights=weights, graph=flying.graph))
        digest = digest_of(data)
        room.write(self._file(digest), data)
        candidate = Candidate(digest=digest, size=Bytes(len(data)), base=update.base, result=update.result)
        mine = room.ledger.consumed(self._name(state.number))
        held_out = len(room.school.held_out(mine))
        return replace(state, stage=Stage.EVAL, candidate=candidate, samples=len(mine), held_out=held_out)

    def _steps(self, flying: Model, made: Trained, tests: list[Lesson], budget: Bytes) -> tuple[Step, ...]:
        """What was trained, in steps that may be cut after each; in one where nothing is there to measure them on."""
        room, shapes, base = self._room, shapes_of(flying.weights), weights_digest(flying.weights)
        if not any(len(lesson.truth.labels) for lesson in tests):
            return at_once(flying.weights, made.steps)

        def size(steps: Sequence[Step]) -> int:
            return len(pack_update(Update(base=base, steps=tuple(steps)), room.sign, shapes))

        def score(weights: Weights) -> float:
            return room.trainer.precision(Model(spec=flying.spec, weights=weights, graph=flying.graph), tests)

        steps = progressive(flying.weights, made.steps, size=size, budget=budget, score=score)
        _log.info("update_divided", extra={"satellite": self._satellite, "bytes": size(steps), "steps": len(steps)})
        return steps

    def _evaluate(self, state: Round) -> Round:
        assert state.candidate is not None, "Eval is only reached with a candidate"
        room = self._room
        tests = room.school.held_out(self._samples(state))
        evaluation = Evaluation(
            flying=room.trainer.precision(room.models.get(state.candidate.base), tests),
            candidate=room.trainer.precision(room.models.get(state.candidate.result), tests),
        )
        return replace(state, evaluation=evaluation)

    def _publish(self, state: Round) -> Round:
        assert state.candidate is not None, "Deploy is only reached with a candidate"
        made = state.candidate
        self._room.ledger.publish_update(
            PublishedUpdate(
                satellite=self._satellite,
                digest=made.digest,
                size=made.size,
                base=made.base,
                result=made.result,
                path=self._file(made.digest),
            )
        )
        return replace(state, stage=Stage.DEPLOY, published=True)

    def _file(self, digest: Digest) -> Path:
        return self._room.outbox / f"{digest.removeprefix('sha256:')}.olu"
