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
from orbitloop.domain.units import Digest


class Stage(StrEnum):
    """Where a round is, in Sedna's spelling."""

    TRAIN = "Train"
    EVAL = "Eval"
    DEPLOY = "Deploy"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRule:
    """When to train, and what is good enough to be sent.

    Args:
        least_samples: labelled, not yet used samples that start a round.
        least_gain: by how much average precision must rise on held-out samples for an update to be sent.
        attempts: how often a failed training is tried before the round is closed.
        least_held_out: fewest held-out samples of a round to judge an update by.
        back_off: wait after the first failure; doubled after each further one.
    """

    least_samples: int = 20
    least_gain: float = 0.0
    least_held_out: int = 1
    attempts: int = 3
    back_off: timedelta = timedelta(minutes=1)


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
        held_out: of the round's samples, those that were kept out of training.
        failures: failed trainings of this round.
        failed_at: when the last one failed.
        candidate: digest of the update that was built in this round.
        evaluation: how the candidate did.
        published: whether the candidate is on offer.
        outcome: what the satellite reported of it.
        superseded: another model flies than the candidate's base or result: nobody will ever report on it.
    """

    now: datetime
    stage: Stage
    waiting: int = 0
    held_out: int = 0
    failures: int = 0
    failed_at: datetime | None = None
    candidate: Digest | None = None
    evaluation: Evaluation | None = None
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
    match observed.stage:
        case Stage.TRAIN:
            return _in_train(observed, rule)
        case Stage.EVAL:
            return _in_eval(observed, rule)
        case Stage.DEPLOY:
            return _in_deploy(observed)
        case _:
            assert_never(observed.stage)


def _in_train(observed: Observed, rule: LearningRule) -> Action:
    if observed.failures >= rule.attempts:
        return CloseRound(reason=f"training failed {observed.failures} times")
    if observed.failures and observed.failed_at is not None:
        retry = observed.failed_at + rule.back_off * 2 ** (observed.failures - 1)
        if observed.now < retry:
            return Wait(reason=f"training failed {observed.failures} times; trying again later", until=retry)
    if observed.waiting >= rule.least_samples:
        return Train()
    return Wait(reason=f"{observed.waiting} of {rule.least_samples} samples have arrived")


def _in_eval(observed: Observed, rule: LearningRule) -> Action:
    if observed.held_out < rule.least_held_out:
        return CloseRound(reason=f"only {observed.held_out} held-out samples, too few to judge the update by")
    if observed.evaluation is None:
        return Evaluate()
    gain = observed.evaluation.candidate - observed.evaluation.flying
    if gain < rule.least_gain:
        return CloseRound(reason=f"not better than what flies ({gain:+.3f} average precision)")
    return Publish()


def _in_deploy(observed: Observed) -> Action:
    if observed.outcome is not None:
        return CloseRound(reason=observed.outcome.value)
    if observed.superseded:
        return CloseRound(reason="another model flies; the update can no longer be applied")
    return Wait(reason="the update waits for a contact and for the satellite's report")
