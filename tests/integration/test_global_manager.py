"""The Global Manager's loop on a real ledger and real files, with a trainer that needs no time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.signatures import SigningKey, VerifyingKey
from orbitloop.domain.delta import Shift, apply
from orbitloop.domain.detection import Truth
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.learning import LearningRule, Stage, Wait
from orbitloop.domain.rollout import Outcome, is_canary
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.reviews import Proposal
from orbitloop.ports.sample_store import Arrival
from orbitloop.ports.trainer import Lesson, Lessons, OnStep, Trained
from orbitloop.testing.builders import a_model
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import entry_of
from orbitloop.wire.messages import Hello, UpdateReport
from orbitloop.wire.model_folder import Model
from orbitloop.wire.update import unpack_update
from orbitloop_ground.adapters.blobs import FolderBlobs
from orbitloop_ground.adapters.labels import certain
from orbitloop_ground.adapters.ledger import Ledger
from orbitloop_ground.adapters.registry import ModelRegistry
from orbitloop_ground.adapters.round_book import FileRoundBook
from orbitloop_ground.usecases.learn import Classroom, GlobalManager
from orbitloop_ground.usecases.school import School

SATELLITE = "sat-1"


class EverythingIsGround:
    """Labels one object per frame, whatever is shown."""

    def label(self, frame: str, pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> Proposal | None:
        return certain(Truth(boxes=np.array([[1, 1, 30, 30]], np.float32), labels=np.zeros(1, np.int64)))


class QuickTrainer:
    """Moves one bias by one quantum; better by ``gain``; fails as often as told."""

    def __init__(self, *, gain: float = 0.1, failures: int = 0, quantum: int = 1) -> None:
        self.gain = gain
        self.quantum = quantum
        self.failures = failures
        self.base: Digest | None = None
        self.lessons: list[int] = []

    def train(self, flying: Model, lessons: Lessons, budget: Bytes, on_step: OnStep) -> Trained:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("out of memory")
        self.base = weights_digest(flying.weights)
        self.lessons.append(len(lessons.new))
        bias = next(name for name, tensor in flying.weights.items() if tensor.ndim == 1)
        quanta = np.full(flying.weights[bias].size, self.quantum, np.int8)
        changes = (Shift(tensor=bias, exponent=-5, quanta=quanta),)
        on_step(1, 1, 0.5)
        return Trained(steps=(changes,), weights=apply(flying.weights, changes))

    def precision(self, model: Model, lessons: list[Lesson]) -> float:
        return 0.5 if weights_digest(model.weights) == self.base else 0.5 + self.gain


class TrainerInParts(QuickTrainer):
    """Makes three parts, each moving one bias by one quantum; what each of them is worth is given."""

    def __init__(self, worth: tuple[float, float, float]) -> None:
        super().__init__()
        self.worth = worth
        self.measured: dict[Digest, float] = {}

    def train(self, flying: Model, lessons: Lessons, budget: Bytes, on_step: OnStep) -> Trained:
        once = super().train(flying, lessons, budget, on_step)
        weights = flying.weights
        self.measured = {weights_digest(weights): 0.5}
        for worth in self.worth:
            weights = apply(weights, once.changes)
            self.measured[weights_digest(weights)] = worth
        return Trained(steps=(once.changes,) * 3, weights=weights)

    def precision(self, model: Model, lessons: list[Lesson]) -> float:
        return self.measured[weights_digest(model.weights)]


class Ground:
    """A ground with its folder; made again over the same folder, it is the ground after a restart."""

    def __init__(self, folder: Path, clock: VirtualClock, trainer: QuickTrainer, budget: int = 100_000) -> None:
        folder.mkdir(exist_ok=True)
        self.clock = clock
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
        self.blobs = FolderBlobs(folder / "blobs")
        self.models = ModelRegistry(folder / "models")
        self.rounds = FileRoundBook(folder / "rounds.json")
        self.key = SigningKey(folder / "key")
        self.folder = folder
        room = Classroom(
            ledger=self.ledger,
            models=self.models,
            rounds=self.rounds,
            trainer=trainer,
            school=School(self.blobs, EverythingIsGround(), lambda data, source: np.zeros((416, 416, 3), np.uint8)),
            sign=self.key.sign,
            clock=clock,
            outbox=folder,
            write=write_durably,
            archive=[],
        )
        self.manager = GlobalManager(
            SATELLITE,
            room,
            rule=LearningRule(least_samples=10, attempts=2, back_off=timedelta(minutes=5)),
            budget=lambda: Bytes(budget),
        )

    def hear(self, flying: Digest) -> None:
        self.ledger.record_hello(
            Hello(satellite=SATELLITE, flying=flying, clock=self.clock.now(), queued_samples=0, queued_bytes=Bytes(0)),
            self.clock.now(),
        )

    def receive(self, numbers: range) -> None:
        made = [a_sample(number, satellite=SATELLITE, size=40) for number in numbers]
        self.blobs.put({digest_of(pixels): pixels for _, pixels in made})
        arrival = Arrival(
            bundle=digest_of(repr(numbers).encode()),
            size=Bytes(100),
            satellite=SATELLITE,
            at=self.clock.now(),
            entries=tuple(entry_of(SATELLITE, sample, pixels) for sample, pixels in made),
        )
        self.ledger.enter(arrival)

    def report(self, outcome: Outcome) -> None:
        candidate = self.rounds.current().candidate
        assert candidate is not None
        self.clock.advance(timedelta(minutes=1))
        flying = candidate.result if outcome is Outcome.APPLIED else candidate.base
        self.ledger.record_report(
            UpdateReport(
                satellite=SATELLITE, update=candidate.digest, outcome=outcome, flying=flying, at=self.clock.now()
            ),
            self.clock.now(),
        )


Build = Callable[..., Ground]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(LAUNCH)


@pytest.fixture
def build(tmp_path: Path, clock: VirtualClock) -> Build:
    def made(trainer: QuickTrainer | None = None, budget: int = 100_000) -> Ground:
        ground = Ground(tmp_path / "ground", clock, trainer or QuickTrainer(), budget)
        ground.hear(ground.models.put(a_model()))
        return ground

    return made


def test_it_waits_until_enough_samples_have_arrived(build: Build) -> None:
    ground = build()
    ground.receive(range(9))
    assert "9 of 10" in ground.manager.reconcile().reason
    assert ground.rounds.current().stage is Stage.TRAIN


def test_samples_become_a_signed_update_on_what_flies(build: Build) -> None:
    ground = build()
    ground.receive(range(30))
    ground.manager.reconcile()
    state = ground.rounds.current()
    assert (state.stage, state.published, state.samples) == (Stage.DEPLOY, True, 30)
    assert state.candidate is not None
    offer = ground.ledger.offer_for(SATELLITE, ground.manager.flying())
    assert offer is not None
    assert offer.digest == state.candidate.digest
    update = unpack_update(offer.path.read_bytes(), VerifyingKey(ground.key.public).verify)
    made = apply(ground.models.get(update.base).weights, update.changes)
    assert weights_digest(made) == update.result


def test_held_out_samples_are_not_trained_on_but_sent_up_as_canaries(build: Build) -> None:
    trainer = QuickTrainer()
    ground = build(trainer)
    ground.receive(range(30))
    ground.manager.reconcile()
    held_out = {a_sample(number, satellite=SATELLITE, size=40)[0].id for number in range(30)}
    held_out = {name for name in held_out if is_canary(name)}
    assert 0 < len(held_out) < 30
    assert trainer.lessons == [30 - len(held_out)]  # each of these samples is of another frame
    candidate = ground.rounds.current().candidate
    assert candidate is not None
    offer = ground.ledger.update(SATELLITE, candidate.digest)
    assert offer is not None
    update = unpack_update(offer.path.read_bytes(), VerifyingKey(ground.key.public).verify)
    assert {entry.sample for entry in update.canary} == held_out


def test_the_next_round_builds_on_what_the_satellite_applied(build: Build) -> None:
    ground = build()
    for number in (1, 2):
        ground.receive(range(100 * number, 100 * number + 30))
        ground.manager.reconcile()
        ground.report(Outcome.APPLIED)
        ground.manager.reconcile()
    first, second = ground.rounds.closed()
    assert first.closed == second.closed == "applied"
    assert first.candidate is not None
    assert second.candidate is not None
    assert second.candidate.base == first.candidate.result


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.ROLLED_BACK])
def test_an_update_that_does_not_fly_closes_the_round_with_the_reason(build: Build, outcome: Outcome) -> None:
    ground = build()
    ground.receive(range(30))
    ground.manager.reconcile()
    flying = ground.manager.flying()
    ground.report(outcome)
    ground.manager.reconcile()
    assert [state.closed for state in ground.rounds.closed()] == [outcome.value]
    assert ground.manager.flying() == flying


def test_a_candidate_that_is_not_better_is_never_offered(build: Build) -> None:
    ground = build(QuickTrainer(gain=-0.2))
    ground.receive(range(30))
    ground.manager.reconcile()
    assert "not better" in str(ground.rounds.closed()[0].closed)
    assert ground.ledger.offer_for(SATELLITE, ground.manager.flying()) is None


def test_each_sample_is_used_by_one_round(build: Build) -> None:
    ground = build(QuickTrainer(gain=-0.2))
    ground.receive(range(30))
    ground.manager.reconcile()
    assert ground.manager.reconcile().reason.startswith("0 of 10")


def test_a_failed_training_is_tried_again_after_a_while_and_then_given_up(build: Build, clock: VirtualClock) -> None:
    ground = build(QuickTrainer(failures=2))
    ground.receive(range(30))
    first = ground.manager.reconcile()
    assert isinstance(first, Wait)
    assert first.until == clock.now() + timedelta(minutes=5)
    assert ground.rounds.current().failure == "out of memory"
    clock.advance(timedelta(minutes=5))
    ground.manager.reconcile()
    assert ground.rounds.closed()[0].closed == "training failed 2 times"


def test_a_failed_training_succeeds_the_second_time_on_the_same_samples(build: Build, clock: VirtualClock) -> None:
    trainer = QuickTrainer(failures=1)
    ground = build(trainer)
    ground.receive(range(30))
    ground.manager.reconcile()
    clock.advance(timedelta(minutes=5))
    ground.manager.reconcile()
    assert ground.rounds.current().stage is Stage.DEPLOY
    assert ground.rounds.current().samples == 30


def test_an_update_over_the_budget_is_a_failed_training(build: Build) -> None:
    ground = build(budget=100)
    ground.receive(range(30))
    ground.manager.reconcile()
    assert "over the budget of 100" in ground.rounds.closed()[0].failure


def test_a_training_that_changes_nothing_is_not_sent_up(build: Build) -> None:
    ground = build(QuickTrainer(quantum=0))
    ground.receive(range(30))
    ground.manager.reconcile()
    assert "nothing to send" in ground.rounds.closed()[0].failure


def test_an_update_whose_report_was_lost_is_known_by_what_flies(build: Build) -> None:
    ground = build()
    ground.receive(range(30))
    ground.manager.reconcile()
    candidate = ground.rounds.current().candidate
    assert candidate is not None
    ground.hear(candidate.result)
    ground.manager.reconcile()
    assert ground.rounds.closed()[0].closed == "applied"


def test_an_update_for_a_model_that_flies_no_more_is_given_up(build: Build) -> None:
    ground = build()
    ground.receive(range(30))
    ground.manager.reconcile()
    ground.hear(digest_of(b"installed by hand"))
    ground.manager.reconcile()
    assert "another model flies" in str(ground.rounds.closed()[0].closed)


def test_an_update_that_nothing_can_judge_is_not_offered(build: Build) -> None:
    ground = build()
    ground.receive(range(20))  # none of them is held out
    ground.manager.reconcile()
    assert "held-out" in str(ground.rounds.closed()[0].closed)


def test_a_restarted_ground_goes_on_where_it_was(build: Build) -> None:
    ground = build()
    ground.receive(range(30))
    ground.manager.reconcile()
    candidate = ground.rounds.current().candidate
    ground.ledger.close()
    again = build()
    again.manager.reconcile()
    assert again.rounds.current().candidate == candidate
    again.report(Outcome.APPLIED)
    again.manager.reconcile()
    assert again.rounds.closed()[0].closed == "applied"


def test_a_satellite_that_was_never_heard_is_named(tmp_path: Path, clock: VirtualClock) -> None:
    ground = Ground(tmp_path / "ground", clock, QuickTrainer())
    with pytest.raises(BadInput, match="has not been heard yet"):
        ground.manager.flying()


def test_a_damaged_record_of_rounds_is_named(tmp_path: Path) -> None:
    (tmp_path / "rounds.json").write_text("{")
    with pytest.raises(BadInput, match=r"rounds\.json"):
        FileRoundBook(tmp_path / "rounds.json").current()


def test_an_unknown_or_tampered_model_is_refused(tmp_path: Path) -> None:
    models = ModelRegistry(tmp_path)
    with pytest.raises(BadInput, match="unknown on the ground"):
        models.get(digest_of(b"nobody"))
    digest = models.put(a_model())
    weights = next(tmp_path.glob("*/weights.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(Refused, match=r"weights\.safetensors"):
        models.get(digest)


RISING = (0.6, 0.7, 0.8)


def steps_of(ground: Ground) -> tuple[Digest, ...]:
    """What the candidate's steps make, of its own file."""
    candidate = ground.rounds.current().candidate
    assert candidate is not None
    published = ground.ledger.update(SATELLITE, candidate.digest)
    assert published is not None
    update = unpack_update(published.path.read_bytes(), VerifyingKey(ground.key.public).verify)
    assert update.result == candidate.result
    return tuple(step.result for step in update.steps)


@pytest.mark.parametrize(
    ("worth", "steps"),
    [(RISING, 3), ((0.4, 0.6, 0.7), 2), ((0.6, 0.55, 0.7), 2), ((0.9, 0.95, 0.8), 1)],
    ids=["each is better", "the first is worse than what flies", "the second is worse", "all of it is worse"],
)
def test_an_update_may_be_cut_only_where_the_model_is_no_worse(
    build: Build, worth: tuple[float, float, float], steps: int
) -> None:
    trainer = TrainerInParts(worth)
    ground = build(trainer)
    ground.receive(range(30))
    ground.manager.reconcile()
    ends = [trainer.measured[result] for result in steps_of(ground)]
    assert len(ends) == steps
    assert [0.5, *ends] == sorted([0.5, *ends])


def test_while_a_beginning_flies_the_rest_is_offered_and_the_round_goes_on(build: Build) -> None:
    ground = build(TrainerInParts(RISING))
    ground.receive(range(30))
    ground.manager.reconcile()
    candidate = ground.rounds.current().candidate
    assert candidate is not None
    for flying in steps_of(ground)[:-1]:
        ground.hear(flying)
        assert isinstance(ground.manager.reconcile(), Wait)
        assert ground.models.get(flying).weights  # what it asks for could be mended
        offered = ground.ledger.offer_for(SATELLITE, flying)
        assert offered is not None
        assert offered.digest == candidate.digest
        assert ground.ledger.offer_for("sat-2", flying) is None
    ground.report(Outcome.APPLIED)
    ground.manager.reconcile()
    assert ground.rounds.closed()[0].closed == "applied"


def test_the_next_round_builds_on_a_beginning_if_the_rest_does_not_last(build: Build, clock: VirtualClock) -> None:
    ground = build(TrainerInParts(RISING))
    ground.receive(range(30))
    ground.manager.reconcile()
    begun, candidate = steps_of(ground)[0], ground.rounds.current().candidate
    assert candidate is not None
    ground.hear(begun)
    clock.advance(timedelta(minutes=1))
    rolled_back = UpdateReport(
        satellite=SATELLITE, update=candidate.digest, outcome=Outcome.ROLLED_BACK, flying=begun, at=clock.now()
    )
    ground.ledger.record_report(rolled_back, clock.now())
    ground.manager.reconcile()
    assert ground.ledger.offer_for(SATELLITE, begun) is None
    ground.receive(range(100, 130))
    ground.manager.reconcile()
    following = ground.rounds.current().candidate
    assert following is not None
    assert following.base == begun
    offered = ground.ledger.offer_for(SATELLITE, begun)
    assert offered is not None
    assert offered.digest == following.digest


def test_without_held_out_samples_an_update_goes_at_once(build: Build) -> None:
    trainer = TrainerInParts(RISING)
    ground = build(trainer)
    ground.receive(range(20))  # none of them is held out
    ground.manager.reconcile()
    candidate = ground.rounds.closed()[0].candidate
    assert candidate is not None
    (made,) = ground.folder.glob("*.olu")
    update = unpack_update(made.read_bytes(), VerifyingKey(ground.key.public).verify)
    assert [step.result for step in update.steps] == [candidate.result]
