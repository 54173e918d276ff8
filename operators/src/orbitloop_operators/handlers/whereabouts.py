"""Where a job is in its round, and the small steps from there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from orbitloop.api.sedna_v1alpha1.parts import ConditionType
from orbitloop.domain.learning import Stage
from orbitloop_operators.handlers.changes import Document, Key, Notice, Severity
from orbitloop_operators.handlers.job_scene import Scene
from orbitloop_operators.handlers.round_state import Status, phase_of, seconds_of, stepped
from orbitloop_operators.handlers.stage_pods import Platform

AT_ONCE = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long, and how often, a job waits and tries.

    Args:
        attempts: how often a stage is tried before its round is closed.
        back_off: rest after the first failure; doubled after each further one.
        for_report: how long after its end a worker's report is waited for, where it left no last words.
        first_refused: rest before what the API server refused is tried again; doubled each time that it says the same.
        refused: the longest such rest.
        on_the_way: how long after a job was first seen what it names may still be on its way: kinds are watched one by
            one, and a file with a job and its Models is applied at once.
        shrunk: how long the Dataset may have fewer samples than rounds have used, before it is taken for changed.
    """

    attempts: int = 3
    back_off: timedelta = timedelta(minutes=1)
    for_report: timedelta = timedelta(minutes=2)
    first_refused: timedelta = timedelta(seconds=10)
    refused: timedelta = timedelta(minutes=5)
    on_the_way: timedelta = timedelta(seconds=3)
    shrunk: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a job does next; at most one condition is added.

    Args:
        status: the status then.
        create: pods that should exist.
        delete: pods that should not.
        notices: what is told of it.
        again: look again after so long.
    """

    status: Status
    create: tuple[Document, ...] = ()
    delete: tuple[Key, ...] = ()
    notices: tuple[Notice, ...] = ()
    again: timedelta | None = None

    def telling(self, severity: Severity, reason: str, message: str) -> Step:
        """The same step, with one more notice."""
        return replace(self, notices=(*self.notices, Notice(severity=severity, reason=reason, message=message)))


def soonest(*times: timedelta | None) -> timedelta | None:
    """The shortest of them, ``None`` left aside."""
    return min((one for one in times if one is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where a job is in its round.

    Args:
        scene: what the job sees.
        status: how far it is.
        platform: what its pods are told.
        patience: how long it waits.
        stage: that of the status.
    """

    scene: Scene
    status: Status
    platform: Platform
    patience: Patience
    stage: Stage = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stage", Stage(self.status.stage))

    @property
    def now(self) -> datetime:
        """The present moment."""
        return self.scene.now

    def to(self, state: ConditionType, *, status: Status | None = None, **more: Any) -> Step:
        """One step on in this stage."""
        base = self.status if status is None else status
        return Step(status=stepped(base, self.stage, state, self.now, **more), again=AT_ONCE)

    def saying(self, message: str) -> Status:
        """The status with another message; that is no step."""
        assert self.status.state is not None
        changes = {"message": message, "phase": phase_of(self.stage, self.status.state), "retry_at": None}
        return self.status.model_copy(update=changes)

    def key(self, name: str) -> Key:
        """Where a pod of the job is."""
        return Key(api_version="v1", kind="Pod", namespace=self.scene.owner.namespace, name=name)

    def fail(self, reason: str, message: str) -> Step:
        """One attempt failed."""
        failures = self.status.failures + 1
        more: dict[str, Any] = {"failures": failures, "failed_at": seconds_of(self.now), "last_error": message}
        step = self.to(ConditionType.FAILED, reason=reason, message=message, **more)
        return step.telling(Severity.WARNING, f"{self.stage}Failed", message)
