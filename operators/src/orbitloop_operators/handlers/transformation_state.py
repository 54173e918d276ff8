"""How a transformation does, by its Job, the Job's pods and what they left as their last words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from orbitloop.api.orbitloop_v1alpha1.application_transformation import TransformationPhase
from orbitloop.domain.errors import BadInput
from orbitloop.wire.worker_messages import ReportedModel, WorkerKind
from orbitloop_operators.handlers.changes import Document, View
from orbitloop_operators.handlers.conditions import Finding, kept, still_said
from orbitloop_operators.handlers.pod_states import (
    Blocked,
    Ended,
    Pending,
    Running,
    is_leaving,
    moment_of,
    pod_state,
)
from orbitloop_operators.handlers.transformation_job import Transformation
from orbitloop_operators.handlers.worker_groups import is_over, is_suspended, why_failed
from orbitloop_operators.handlers.worker_results import Result, read_last_words, trained_model

COMPLETED = "Completed"
_BLOCKED = "WorkerBlocked"
_FOR_WORDS = timedelta(seconds=30)
"""How long after a Job's end its pod may still be on its way: kinds are watched one by one."""
DENSITIES: Mapping[str, str] = {
    "fitted": "density",
    "bentPipe": "bent_pipe",
    "directDeploy": "direct_deploy",
    "oracle": "oracle",
}
"""Densities of a status, by the worker's metrics."""
_RESULT = ("artefact", "density", "frameMilliseconds", "deadlineMilliseconds", "notes")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How it does.

    Args:
        finding: the condition.
        fields: the status but for its conditions.
        is_absent: its Job is to be made.
        again: look again after so long.
    """

    finding: Finding
    fields: Mapping[str, Any] = field(default_factory=dict)
    is_absent: bool = False
    again: timedelta | None = None


def state_of(document: Document, wanted: Transformation, view: View, now: datetime) -> State:
    """How the transformation does that is wanted now; what is done is done, whatever has become of its Job."""
    before = kept(document, "job", "phase", *_RESULT)
    if before["job"] == wanted.name and before["artefact"]:
        fields = {**before, "phase": str(TransformationPhase.COMPLETED)}
        return State(finding=_completed(fields), fields=fields)
    job = view.get(wanted.key)
    if job is None:
        return _absent(wanted, was_there=before["job"] == wanted.name)
    if is_leaving(job):
        return _pending(wanted, "JobLeaving", f"Job {wanted.name} is being deleted, and is made again then")
    pods = sorted(view.owned(job["metadata"]["uid"], "v1", "Pod"), key=_age)
    if not is_over(job):
        return _under_way(document, wanted, job, pods)
    if why := why_failed(job):
        return _failed(wanted, _said_by(pods) or why)
    return _finished(wanted, job, pods, now)


def _age(pod: Document) -> tuple[str, str]:
    return str(pod["metadata"].get("creationTimestamp", "")), str(pod["metadata"]["name"])


def _absent(wanted: Transformation, *, was_there: bool) -> State:
    """Its Job is made; a name that the status has was seen, and somebody has deleted it."""
    if was_there:
        message = f"Job {wanted.name} was deleted before it had a result; it is made again"
        return replace(_pending(wanted, "JobDeleted", message), is_absent=True)
    finding = Finding(holds=None, reason="Pending", message=f"Job {wanted.name} is made")
    return State(finding=finding, fields={"phase": str(TransformationPhase.PENDING)}, is_absent=True)


def _pending(wanted: Transformation, reason: str, message: str) -> State:
    fields = {"phase": str(TransformationPhase.PENDING), "job": wanted.name}
    return State(finding=Finding(holds=None, reason=reason, message=message), fields=fields)


def _under_way(document: Document, wanted: Transformation, job: Document, pods: Sequence[Document]) -> State:
    if is_suspended(job):
        return _pending(wanted, "Suspended", f"Job {wanted.name} is suspended, and waits until somebody resumes it")
    if not pods:
        return _pending(wanted, "Pending", f"Job {wanted.name} has no pod yet")
    pod, state = pods[-1], pod_state(pods[-1])
    name = pod["metadata"]["name"]
    match state:
        case Pending():
            return _pending(wanted, "Pending", f"pod {name} has not started yet")
        case Blocked():
            return _blocked(document, wanted, name, state)
        case Running():
            fields = {"phase": str(TransformationPhase.RUNNING), "job": wanted.name}
            message = f"pod {name} runs; its log shows how far it is"
            return State(finding=Finding(holds=None, reason="Running", message=message), fields=fields)
        case Ended(well=True):
            return _pending(wanted, "Finishing", f"pod {name} is done; its Job has not said so yet")
        case Ended():
            message = f"pod {name} did not end well: {_why(state)}; the Job tries again"
            return _pending(wanted, "PodLost", message)
        case _:
            assert_never(state)


def _blocked(document: Document, wanted: Transformation, pod: str, state: Blocked) -> State:
    """Between two pulls of an image nothing new is known: what was said of it stays."""
    said = still_said(document, _BLOCKED)
    message = f"pod {pod}: {state.message}"
    if said is not None and state.subject and state.subject in said.message:
        message = said.message
    fields = {"phase": str(TransformationPhase.PENDING), "job": wanted.name}
    return State(finding=Finding(holds=False, reason=_BLOCKED, message=message), fields=fields)


def _failed(wanted: Transformation, why: str) -> State:
    message = f"{why}; correct what is wrong, which begins it anew, or delete Job {wanted.name} to have it tried again"
    fields = {"phase": str(TransformationPhase.FAILED), "job": wanted.name}
    return State(finding=Finding(holds=False, reason="Failed", message=message), fields=fields)


def _said_by(pods: Sequence[Document]) -> str:
    """Why the newest pod that did not end well did not; empty where there is none."""
    ended = [state for pod in pods if isinstance(state := pod_state(pod), Ended) and not state.well]
    return _why(ended[-1]) if ended else ""


def _why(state: Ended) -> str:
    """What a worker says itself comes before what its container's end says."""
    try:
        said = read_last_words(state.said, WorkerKind.TRAIN)
    except BadInput:
        said = None
    return state.why if said is None or said.well else said.why


def _finished(wanted: Transformation, job: Document, pods: Sequence[Document], now: datetime) -> State:
    done = [state for pod in pods if isinstance(state := pod_state(pod), Ended) and state.well]
    try:
        result = read_last_words(done[-1].said, WorkerKind.TRAIN) if done else None
        if result is not None:
            return _read(wanted, result)
    except BadInput as error:
        return _failed(wanted, str(error))
    ended = moment_of((job.get("status") or {}).get("completionTime")) or now
    left = ended + _FOR_WORDS - now
    if not done and timedelta(0) < left <= _FOR_WORDS:
        message = f"Job {wanted.name} is complete; what its pod made is awaited"
        return replace(_pending(wanted, "Finishing", message), again=left)
    return _failed(wanted, f"Job {wanted.name} is complete, and its pod left no last words that say what it made")


def _read(wanted: Transformation, result: Result) -> State:
    """What the worker says that it made. Raises ``BadInput`` where that cannot be used."""
    if not result.well:
        raise BadInput(result.why)
    made = trained_model(result.models, wanted.spec.output_url)
    if not made.digest:
        raise BadInput("the worker does not say the digest of what it made")
    numbers = _numbers(result.models[0])
    fields = {
        "phase": str(TransformationPhase.COMPLETED),
        "job": wanted.name,
        "artefact": {"url": made.url, "digest": made.digest},
        "density": {name: f"{numbers[metric]:.4f}" for name, metric in DENSITIES.items() if metric in numbers},
        "frameMilliseconds": _milliseconds(numbers.get("frame_seconds")),
        "deadlineMilliseconds": _milliseconds(numbers.get("deadline_seconds")),
        "notes": [note for note in result.why.splitlines() if note],
    }
    return State(finding=_completed(fields), fields=fields)


def _numbers(made: ReportedModel) -> dict[str, float]:
    return {name: value for name, value in made.numbers().items() if isinstance(value, float)}


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(1000 * seconds)


def _completed(fields: Mapping[str, Any]) -> Finding:
    said = fields.get("density") or {}
    peers = (
        f"data value density {said.get('fitted', '?')}, where sending everything has {said.get('bentPipe', '?')} and "
        f"the application as it is {said.get('directDeploy', '?')}"
    )
    late = ""
    frame, deadline = fields.get("frameMilliseconds"), fields.get("deadlineMilliseconds")
    if frame is not None and deadline is not None and frame > deadline:
        late = f"; it misses its deadline, {frame} ms a frame of {deadline} ms: see status.notes"
    return Finding(holds=True, reason=COMPLETED, message=f"expected {peers}{late}")
