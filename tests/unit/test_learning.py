"""The job's state machine: which step comes next, and that the steps come to an end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    Work,
    decide,
)
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.triggers import Comparison, DailyHours, MetricCondition, Trigger
from orbitloop.testing.builders import a_digest

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULE = LearningRule(least_samples=20, least_gain=0.01, attempts=3, back_off=timedelta(minutes=1))
IN_TRAIN = Observed(now=NOW, stage=Stage.TRAIN)
IN_EVAL = Observed(now=NOW, stage=Stage.EVAL, candidate=a_digest(), held_out=4)
IN_DEPLOY = Observed(now=NOW, stage=Stage.DEPLOY, candidate=a_digest(), held_out=4, published=True)


def minutes_ago(count: float) -> datetime:
    return NOW - timedelta(minutes=count)


@pytest.mark.parametrize(
    ("observed", "action"),
    [
        (IN_TRAIN, Wait(reason="0 of 20 samples have arrived")),
        (replace(IN_TRAIN, waiting=19), Wait(reason="19 of 20 samples have arrived")),
        (replace(IN_TRAIN, waiting=20), Train()),
        (
            replace(IN_TRAIN, waiting=20, failures=1, failed_at=NOW),
            Wait(reason="training failed 1 times; trying again later", until=NOW + timedelta(minutes=1)),
        ),
        (replace(IN_TRAIN, waiting=20, failures=1, failed_at=minutes_ago(1)), Train()),
        (
            replace(IN_TRAIN, waiting=20, failures=2, failed_at=minutes_ago(1.5)),
            Wait(reason="training failed 2 times; trying again later", until=minutes_ago(1.5) + timedelta(minutes=2)),
        ),
        (replace(IN_TRAIN, waiting=20, failures=2, failed_at=minutes_ago(2)), Train()),
        (replace(IN_TRAIN, waiting=20, failures=3, failed_at=NOW), CloseRound(reason="training failed 3 times")),
        (IN_EVAL, Evaluate()),
        (replace(IN_EVAL, evaluation=Evaluation(flying=0.5, candidate=0.6)), Publish()),
        (replace(IN_EVAL, evaluation=Evaluation(flying=0.5, candidate=0.515)), Publish()),
        (
            replace(IN_EVAL, evaluation=Evaluation(flying=0.5, candidate=0.505)),
            CloseRound(reason="not better than what flies (+0.005 average precision)"),
        ),
        (
            replace(IN_EVAL, evaluation=Evaluation(flying=0.5, candidate=0.4)),
            CloseRound(reason="not better than what flies (-0.100 average precision)"),
        ),
        (
            replace(IN_EVAL, held_out=0, evaluation=Evaluation(flying=0.0, candidate=0.0)),
            CloseRound(reason="only 0 held-out samples, too few to judge the update by"),
        ),
        (
            replace(IN_DEPLOY, superseded=True),
            CloseRound(reason="another model flies; the update can no longer be applied"),
        ),
        (replace(IN_DEPLOY, superseded=True, outcome=Outcome.APPLIED), CloseRound(reason="applied")),
        (IN_DEPLOY, Wait(reason="the update waits for a contact and for the satellite's report")),
        (replace(IN_DEPLOY, outcome=Outcome.APPLIED), CloseRound(reason="applied")),
        (replace(IN_DEPLOY, outcome=Outcome.ROLLED_BACK), CloseRound(reason="rolled_back")),
        (replace(IN_DEPLOY, outcome=Outcome.REFUSED), CloseRound(reason="refused")),
        (replace(IN_DEPLOY, published=False, outcome=Outcome.APPLIED), CloseRound(reason="applied")),
    ],
    ids=[
        "no samples yet",
        "one sample short",
        "enough samples",
        "failed just now",
        "failed once, and waited",
        "failed twice, waited once",
        "failed twice, waited twice as long",
        "failed too often",
        "a candidate to judge",
        "much better",
        "just better enough",
        "better, but not enough",
        "worse",
        "nothing to judge it by",
        "superseded",
        "reported before it was superseded",
        "on offer",
        "flies",
        "was rolled back",
        "was refused",
        "flies, and the ground forgot that it was on offer",
    ],
)
def test_the_next_step(observed: Observed, action: Action) -> None:
    assert decide(observed, RULE) == action


def when(metric: str, threshold: float) -> MetricCondition:
    return MetricCondition(metric=metric, comparison=Comparison.GREATER, threshold=threshold)


BY_TRIGGERS = LearningRule(
    train=Trigger(condition=when("num_of_samples", 5)),
    deploy=Trigger(condition=when("precision_delta", 0.1), hours=DailyHours.between("20:00", "21:00")),
    attempts=3,
    back_off=timedelta(minutes=1),
)
GAINED = {"precision": [0.9, 0.9], "precision_delta": [0.3, 0.1]}
EVENING = NOW.replace(hour=20)


@pytest.mark.parametrize(
    ("observed", "action"),
    [
        pytest.param(IN_TRAIN, Wait(reason="0 of 1 samples have arrived"), id="no sample yet"),
        pytest.param(
            replace(IN_TRAIN, waiting=5),
            Wait(reason="num_of_samples is 5, asked for is > 5"),
            id="the trigger does not hold",
        ),
        pytest.param(replace(IN_TRAIN, waiting=6), Train(), id="the trigger holds"),
        pytest.param(
            replace(IN_TRAIN, waiting=6, work=Work.STARTING),
            Wait(reason="the worker of stage Train starts"),
            id="its worker starts",
        ),
        pytest.param(
            replace(IN_EVAL, held_out=0, work=Work.RUNNING),
            Wait(reason="the worker of stage Eval runs"),
            id="its evaluation runs",
        ),
        pytest.param(replace(IN_EVAL, held_out=0), Evaluate(), id="not yet evaluated"),
        pytest.param(
            replace(IN_EVAL, failures=1, failed_at=NOW),
            Wait(reason="evaluation failed 1 times; trying again later", until=NOW + timedelta(minutes=1)),
            id="the evaluation failed just now",
        ),
        pytest.param(
            replace(IN_EVAL, failures=3, failed_at=NOW),
            CloseRound(reason="evaluation failed 3 times"),
            id="the evaluation failed too often",
        ),
        pytest.param(
            replace(IN_EVAL, metrics=GAINED),
            Wait(
                reason="the update waits: outside its hours, which begin at 2026-03-01 20:00 UTC",
                until=EVENING,
            ),
            id="better, but it is not evening: deferred, not discarded",
        ),
        pytest.param(replace(IN_EVAL, metrics=GAINED, now=EVENING), Publish(), id="better, in the evening"),
        pytest.param(
            replace(IN_DEPLOY, published=False, metrics=GAINED, now=EVENING), Publish(), id="its hours have come"
        ),
        pytest.param(
            replace(IN_EVAL, metrics={"precision": 0.9, "precision_delta": 0.05}),
            CloseRound(reason="no need to deploy: precision_delta is 0.05, asked for is > 0.1"),
            id="not better enough",
        ),
    ],
)
def test_the_next_step_by_triggers(observed: Observed, action: Action) -> None:
    assert decide(observed, BY_TRIGGERS) == action


ON_DRIFT = Trigger(condition=MetricCondition(metric="drift", comparison=Comparison.GREATER, threshold=0.25))


@pytest.mark.parametrize(
    ("waiting", "drift", "action"),
    [
        (1, 0.3, Train()),
        (1, 0.2, Wait(reason="drift is 0.2, asked for is > 0.25")),
        (1, None, Wait(reason="there is no metric drift; there are num_of_samples")),
        (0, 0.3, Wait(reason="0 of 1 samples have arrived")),
    ],
    ids=["what it sees has moved", "not far", "nobody can tell", "nothing to learn from"],
)
def test_drift_begins_a_round(waiting: int, drift: float | None, action: Action) -> None:
    observed = replace(IN_TRAIN, waiting=waiting, drift=drift)
    assert decide(observed, replace(RULE, train=ON_DRIFT)) == action


@dataclass
class World:
    """A ground that carries out what ``decide`` says, with a fate for everything it cannot know."""

    observed: Observed
    trainings: list[bool]
    gains: list[float]
    outcomes: list[Outcome]
    taken: int = 0
    used: int = 0
    rounds: int = 0
    trained: list[int] = field(default_factory=list)

    def carry_out(self, action: Action) -> None:
        seen = self.observed
        match action:
            case Train():
                if self.trainings.pop(0) if self.trainings else True:
                    self.taken = seen.waiting
                    self.trained.append(seen.waiting)
                    self.observed = replace(
                        seen, stage=Stage.EVAL, candidate=a_digest(self.rounds), held_out=3, waiting=0
                    )
                else:
                    self.observed = replace(seen, failures=seen.failures + 1, failed_at=seen.now)
            case Evaluate():
                gain = self.gains.pop(0) if self.gains else 0.1
                self.observed = replace(seen, evaluation=Evaluation(flying=0.5, candidate=0.5 + gain))
            case Publish():
                self.observed = replace(seen, stage=Stage.DEPLOY, published=True)
            case CloseRound():
                given_up = seen.waiting if seen.stage is Stage.TRAIN else 0
                self.used += self.taken + given_up
                self.taken = 0
                self.rounds += 1
                self.observed = Observed(now=seen.now, stage=Stage.TRAIN, waiting=seen.waiting - given_up)
            case Wait():
                pass

    def settle(self, rule: LearningRule) -> Wait:
        """Do what is said until there is nothing to do."""
        for _ in range(6):
            action = decide(self.observed, rule)
            if isinstance(action, Wait):
                return action
            self.carry_out(action)
        raise AssertionError(f"still busy after six steps: {self.observed}")


@given(
    arrivals=st.lists(st.integers(0, 40), max_size=6),
    rule=st.builds(
        LearningRule,
        least_samples=st.integers(1, 30),
        least_gain=st.floats(-0.1, 0.1),
        attempts=st.integers(1, 4),
        back_off=st.timedeltas(timedelta(seconds=1), timedelta(minutes=10)),
    ),
    trainings=st.lists(st.booleans(), max_size=12),
    gains=st.lists(st.floats(-0.2, 0.2), max_size=6),
    outcomes=st.lists(st.sampled_from(Outcome), max_size=6),
)
def test_carrying_out_what_is_said_comes_to_rest_and_uses_each_sample_once(
    arrivals: list[int], rule: LearningRule, trainings: list[bool], gains: list[float], outcomes: list[Outcome]
) -> None:
    world = World(observed=IN_TRAIN, trainings=trainings, gains=gains, outcomes=outcomes)
    for arrived in [*arrivals, 0]:
        world.observed = replace(world.observed, waiting=world.observed.waiting + arrived)
        for _ in range(2 * rule.attempts + 4):
            wait = world.settle(rule)
            assert decide(world.observed, rule) == wait  # asking again changes nothing
            if wait.until is not None:
                assert wait.until > world.observed.now
                world.observed = replace(world.observed, now=wait.until)
            elif world.observed.stage is Stage.DEPLOY:
                outcome = world.outcomes.pop(0) if world.outcomes else Outcome.APPLIED
                world.observed = replace(world.observed, outcome=outcome)
            else:
                break
        else:
            raise AssertionError(f"never at rest: {world.observed}")
        assert world.observed.waiting < rule.least_samples
    assert world.used + world.observed.waiting == sum(arrivals)
    assert all(count >= rule.least_samples for count in world.trained)
