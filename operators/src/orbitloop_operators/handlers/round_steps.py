"""A round of a job, one step at a time: Train, Eval, Deploy, each from Waiting to Completed or Failed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import assert_never

from orbitloop.api.sedna_v1alpha1.incremental_learning_job import Phase
from orbitloop.api.sedna_v1alpha1.parts import ConditionType
from orbitloop.domain.learning import CloseRound, LearningRule, Observed, Stage, Wait, decide
from orbitloop_operators.handlers.changes import Severity
from orbitloop_operators.handlers.group_worker import GroupWorker
from orbitloop_operators.handlers.round_samples import segment_of_round, with_round_begun
from orbitloop_operators.handlers.round_state import (
    Status,
    at_next_round,
    at_next_stage,
    input_data,
    phase_of,
    seconds_of,
)
from orbitloop_operators.handlers.satellite_rollout import SatelliteDeployment, outcome_of
from orbitloop_operators.handlers.stage_groups import is_several, stage_objects
from orbitloop_operators.handlers.stage_pods import (
    base_model,
    candidate_of,
    list_url,
    model_folder,
    old_model,
)
from orbitloop_operators.handlers.stage_worker import StageWorker
from orbitloop_operators.handlers.whereabouts import AT_ONCE, Step, Whereabouts
from orbitloop_operators.handlers.worker_results import metrics_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Round(Whereabouts):
    """The present round of a job."""

    def step(self) -> Step:
        """The next step.

        Raises:
            Missing: something that the job names is not there.
            BadInput: something that it names cannot be worked with.
        """
        if self.stage is not Stage.TRAIN and self.status.candidate is None:
            return self._closed("nobody knows any more what it trained")
        match self.status.state:
            case ConditionType.WAITING | None:
                return self._waiting()
            case ConditionType.READY:
                return self._worker().start()
            case ConditionType.STARTING | ConditionType.RUNNING:
                return self._worker().look()
            case ConditionType.COMPLETED:
                return self._completed()
            case ConditionType.FAILED:
                return self._failed()
            case _:
                assert_never(self.status.state)

    def _worker(self) -> StageWorker | SatelliteDeployment:
        """Who carries the stage out."""
        who: type[StageWorker | SatelliteDeployment] = StageWorker
        if self._flies:
            who = SatelliteDeployment
        elif is_several(self.scene, self.status):
            who = GroupWorker
        return who(scene=self.scene, status=self.status, platform=self.platform, patience=self.patience)

    def _waiting(self) -> Step:
        self._check()
        action = decide(self._observed(), self._rule())
        match action:
            case Wait():
                return self._rest(action)
            case CloseRound(reason=reason) if self.stage is Stage.DEPLOY:
                return self.to(ConditionType.COMPLETED, reason="NotDeployed", message=reason)
            case CloseRound(reason=reason):
                return self._closed(reason)
            case _:
                return self._begin()

    def _rest(self, wait: Wait) -> Step:
        """Nothing to do; the status says why."""
        until = None if wait.until is None else seconds_of(wait.until)
        changes = {
            "message": self._explained(wait.reason),
            "retry_at": until,
            "phase": phase_of(self.stage, ConditionType.WAITING),
        }
        again = None if wait.until is None else max(wait.until - self.now, timedelta(seconds=1))
        return Step(status=self.status.model_copy(update=changes), again=again)

    def _explained(self, reason: str) -> str:
        """The reason, and what else there is to know: the Dataset's trouble, or how many samples have come."""
        dataset, counts = self.scene.dataset(), self.status.samples
        if self.stage is not Stage.TRAIN or dataset is None:
            return reason
        known = dataset.status
        bad = () if known is None else tuple(one for one in known.conditions if one.status == "False" and one.message)
        if bad:
            return f"{reason}; Dataset {dataset.name}: {bad[0].message}"
        if known is None or known.number_of_samples is None:
            node = dataset.spec.node_name
            return f"{reason}; the Local Controller of node {node} has not counted Dataset {dataset.name} yet"
        if not counts.waiting:
            return reason
        return f"{reason}; of {counts.waiting} new samples {self._observed().waiting} are for training"

    def _check(self) -> None:
        """Raise whatever would keep the stage's worker from being made."""
        self.scene.check_references()
        status = self._with_samples_taken()
        has_samples = self.stage is Stage.DEPLOY or segment_of_round(status) is not None
        if has_samples and not self._flies:
            stage_objects(self.scene, status, self.platform)

    @property
    def _flies(self) -> bool:
        """Whether satellites carry the stage out, not a pod."""
        return self.stage is Stage.DEPLOY and bool(self.scene.satellites)

    def _begin(self) -> Step:
        """The stage may begin: its input is settled."""
        status = self._with_samples_taken()
        begun = segment_of_round(status)
        message = "the new model is deployed"
        if self.stage is not Stage.DEPLOY:
            if begun is None:
                return self._closed("its samples are gone from the Dataset")
            message = "the new model is compared with the deployed one"
        if self.stage is Stage.TRAIN and begun is not None:
            message = f"round {status.round} begins with {begun.end - begun.begin} new samples"
        step = self.to(ConditionType.READY, status=status, reason="Triggered", message=message, data=self._input())
        return step if self.stage is not Stage.TRAIN else step.telling(Severity.NORMAL, "RoundBegins", message)

    def _with_samples_taken(self) -> Status:
        return with_round_begun(self.status) if self.stage is Stage.TRAIN else self.status

    def _input(self) -> str:
        status, scene = self.status, self.scene
        match self.stage:
            case Stage.TRAIN:
                models = [base_model(scene, status)]
            case Stage.EVAL:
                models = [candidate_of(status), old_model(scene, status)]
            case Stage.DEPLOY:
                models = [candidate_of(status)]
            case _:
                assert_never(self.stage)
        return input_data(models, list_url(scene, status), model_folder(scene, status))

    def _completed(self) -> Step:
        round, now = self.status.round, self.now
        match self.stage:
            case Stage.TRAIN:
                status = at_next_stage(self.status, Stage.EVAL, now, f"round {round} was trained")
            case Stage.EVAL:
                status = at_next_stage(self.status, Stage.DEPLOY, now, f"round {round} was evaluated")
            case Stage.DEPLOY:
                return self._closed(self.status.message)
            case _:
                assert_never(self.stage)
        return Step(status=status, again=AT_ONCE)

    def _closed(self, reason: str) -> Step:
        message = f"round {self.status.round} is over: {reason}"
        step = Step(status=at_next_round(self.status, self.now, message), again=AT_ONCE)
        return step.telling(Severity.NORMAL, "RoundClosed", message)

    def _failed(self) -> Step:
        if self.status.phase is Phase.BLOCKED:
            return self._unblocked()
        observed, rule = self._observed(), self._rule()
        action = decide(observed, rule)
        if observed.outcome is None and action == decide(replace(observed, failures=0), rule):
            attempt = self.status.failures + 1  # the failures are no longer what holds it back
            return self.to(ConditionType.WAITING, message=f"attempt {attempt}", attempt=attempt)
        match action:
            case CloseRound(reason=reason):
                return self._closed(f"{reason}; the last time: {self.status.last_error}")
            case Wait(reason=reason, until=until):
                retry = None if until is None else seconds_of(until)
                changes = {"message": reason, "phase": Phase.BACKING_OFF, "retry_at": retry}
                again = None if until is None else max(until - self.now, timedelta(seconds=1))
                return Step(status=self.status.model_copy(update=changes), again=again)
            case _:
                raise AssertionError(f"failures make a job wait or give up, and not {action}")

    def _unblocked(self) -> Step:
        """What was refused may be tried again: what it named is there, the spec has changed, or a while has passed."""
        self._check()
        waits = self.status.retry_at
        changed = self.status.observed_generation != self.scene.job.metadata.get("generation")
        if waits is not None and waits > self.now and not changed:
            return Step(status=self.status, again=waits - self.now)
        return self.to(ConditionType.WAITING, message="what was in the way is gone", last_error="")

    def _observed(self) -> Observed:
        status = self.status
        begun = segment_of_round(status)
        begin = status.samples.used if begun is None else begun.begin
        new = status.samples.used + status.samples.waiting - begin
        metrics = None
        if self.stage is Stage.DEPLOY and status.candidate is not None:
            metrics = metrics_in(status.candidate.metrics)
        return Observed(
            now=self.now,
            stage=self.stage,
            waiting=int(self.scene.spec.dataset.train_prob * new),
            drift=self.scene.drift(),
            failures=status.failures,
            failed_at=status.failed_at,
            metrics=metrics,
            outcome=outcome_of(status),
        )

    def _rule(self) -> LearningRule:
        return LearningRule(
            train=self.scene.train,
            deploy=self.scene.deploy,
            attempts=self.patience.attempts,
            back_off=self.patience.back_off,
        )
