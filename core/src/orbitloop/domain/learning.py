"""The job's state machine: what is observed goes in, what to do next comes out.

A round goes Train, Eval, Deploy, as Sedna's incremental learning does. ``decide`` is pure: a controller in a
cluster, a mission on one machine and a simulator observe, ask it, and carry out what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias, assert_never

from orbitloop.domain.rollout import Outcome
from orbitloop.domain.triggers import DRIFT, NUM_OF_SAMPLES, Metrics, Trigger, judge
from orbitloop.domain.units import Digest


class Stage(StrEnum):
    """Where a round is, in Sedna's spelling."""

    TRAIN = "Train"
    EVAL = "Eval"
    DEPLOY = "Deploy"


class Work(StrEnum):
    """How far a stage's worker is, where somebody else runs it: a pod, a process."""

    STARTING = "starts"
    RUNNING = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRule:
    """When to train, and what is good enough to be sent.

    Args:
        least_samples: labelled, not yet used samples that start a round.
        train: starts a round in place of ``least_samples``; it is asked once there is a sample.
        least_gain: by how much average precision must rise on held-out samples for an update to be sent.
        deploy: says whether, and when, a candidate is sent, in place of ``least_gain`` and ``least_held_out``.
        attempts: how often a failed stage is tried before the round is closed.
        least_held_out: fewest held-out samples of a round to judge an update by.
        back_off: wait after the first failure; doubled after each further one.
    """

    least_samples: int = 20
    least_gain: float = 0.0
    least_held_out: int = 1
    attempts: int = 3
    back_off: timedelta = timedelta(minutes=1)
    train: Trigger | None = None
    deploy: Trigger | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Average precision at IoU 0.5 on held-out samples: what flies, and the candidate."""

    flying: float
    candidate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All that a decision depends on.

    Args:
        now: the moment of the decision, UTC.
        stage: where the round is.
        waiting: labelled samples that no round has used.
        drift: how far what the satellite sees has moved since its model began to fly; ``None`` while nobody can tell.
        held_out: of the round's samples, those that were kept out of training.
        work: the stage's worker, while there is one.
        failures: how often this stage failed in this round.
        failed_at: when it did last.
        candidate: digest of the update that was built in this round.
        evaluation: how the candidate did.
        metrics: the same for a deploy trigger, see :func:`orbitloop.domain.triggers.deployment_metrics`.
        published: whether the candidate is on offer.
        outcome: what the satellite reported of it.
        superseded: another model flies than the candidate's base or result: nobody will ever report on it.
    """

    now: datetime
    stage: Stage
    waiting: int = 0
    drift: float | None = None
    held_out: int = 0
    work: Work | None = None
    failures: int = 0
    failed_at: datetime | None = None
    candidate: Digest | None = None
    evaluation: Evaluation | None = None
    metrics: Metrics | None = None
    published: bool = False
    outcome: Outcome | None = None
    superseded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """Fine-tune on what came down and build an update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """Compare the candidate with what flies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Offer the update to the satellite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseRound:
    """The round is over, for this reason; its samples count as used and the next round begins."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do until something else is observed, or until a moment."""

    reason: str
    until: datetime | None = None


Action: TypeAlias = Train | Evaluate | Publish | CloseRound | Wait


def decide(observed: Observed, rule: LearningRule) -> Action:
    """The one next step of a round. Carrying it out and asking again ends at :class:`Wait`."""
    if observed.work is not None:
        return Wait(reason=f"the worker of stage {observed.stage} {observed.work}")
    match observed.stage:
        case Stage.TRAIN:
            return _in_train(observed, rule)
        case Stage.EVAL:
            return _in_eval(observed, rule)
        case Stage.DEPLOY:
            return _in_deploy(observed, rule)
        case _:
            assert_never(observed.stage)


def _in_train(observed: Observed, rule: LearningRule) -> Action:
    failed = _after_failure(observed, rule, "training")
    if failed is not None:
        return failed
    if rule.train is not None and observed.waiting:
        verdict = judge(rule.train, _before_training(observed), observed.now)
        return Train() if verdict.holds else Wait(reason=verdict.reason, until=verdict.opens)
    needed = 1 if rule.train is not None else rule.least_samples
    if observed.waiting >= needed:
        return Train()
    return Wait(reason=f"{observed.waiting} of {needed} samples have arrived")


def _before_training(observed: Observed) -> Metrics:
    known = {NUM_OF_SAMPLES: float(observed.waiting)}
    return known if observed.drift is None else known | {DRIFT: observed.drift}


def _in_eval(observed: Observed, rule: LearningRule) -> Action:
    failed = _after_failure(observed, rule, "evaluation")
    if failed is not None:
        return failed
    if rule.deploy is not None:
        return Evaluate() if observed.metrics is None else _by_trigger(rule.deploy, observed.metrics, observed.now)
    if observed.held_out < rule.least_held_out:
        return CloseRound(reason=f"only {observed.held_out} held-out samples, too few to judge the update by")
    return Evaluate() if observed.evaluation is None else _by_gain(observed.evaluation, rule.least_gain)


def _in_deploy(observed: Observed, rule: LearningRule) -> Action:
    if observed.outcome is not None:
        return CloseRound(reason=observed.outcome.value)
    if observed.superseded:
        return CloseRound(reason="another model flies; the update can no longer be applied")
    failed = _after_failure(observed, rule, "deployment")
    if failed is not None:
        return failed
    if rule.deploy is not None and observed.metrics is not None and not observed.published:
        return _by_trigger(rule.deploy, observed.metrics, observed.now)
    return Wait(reason="the update waits for a contact and for the satellite's report")


def _by_trigger(trigger: Trigger, metrics: Metrics, now: datetime) -> Action:
    """Whether a candidate that was judged may be sent. Hours that are not now defer it; they never discard it."""
    verdict = judge(trigger, metrics, now)
    if verdict.holds:
        return Publish()
    if verdict.opens is not None:
        return Wait(reason=f"the update waits: {verdict.reason}", until=verdict.opens)
    return CloseRound(reason=f"no need to deploy: {verdict.reason}")


def _by_gain(evaluation: Evaluation, least: float) -> Action:
    gain = evaluation.candidate - evaluation.flying
    if gain < least:
        return CloseRound(reason=f"not better than what flies ({gain:+.3f} average precision)")
    return Publish()


def _after_failure(observed: Observed, rule: LearningRule, what: str) -> Wait | CloseRound | None:
    """What a failed stage leads to, or ``None`` if it may be tried: first, or again."""
    if observed.failures >= rule.attempts:
        return CloseRound(reason=f"{what} failed {observed.failures} times")
    if observed.failures and observed.failed_at is not None:
        retry = observed.failed_at + rule.back_off * 2 ** (observed.failures - 1)
        if observed.now < retry:
            return Wait(reason=f"{what} failed {observed.failures} times; trying again later", until=retry)
    return None
