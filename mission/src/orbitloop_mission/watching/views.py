"""Jobs and satellites as they stand, out of what the operators write. Nothing here depends on the time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from orbitloop.api.orbitloop_v1alpha1.contact_plan import ContactPlanStatus, Window
from orbitloop.api.orbitloop_v1alpha1.satellite import SatelliteStatus
from orbitloop.api.parts import Status
from orbitloop.api.sedna_v1alpha1.incremental_learning_job import IncrementalLearningJobStatus
from orbitloop.api.sedna_v1alpha1.parts import ConditionType, StageCondition
from orbitloop.domain.learning import Stage
from orbitloop_mission.watching.metrics import compared
from orbitloop_operators.handlers.changes import Document
from orbitloop_operators.handlers.round_state import status_of

Read = TypeVar("Read", bound=Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a job: a condition in Sedna's form.

    Args:
        metrics: by name, of the deployed model and of the new one, where the step is the end of an evaluation.
    """

    at: datetime | None
    stage: str
    state: str
    reason: str
    message: str
    metrics: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far a satellite is with the model of this round."""

    satellite: str
    offered: bool
    flying: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """An IncrementalLearningJob.

    Args:
        message: what it waits for.
        steps: the last ones, the newest last.
        metrics: of the last evaluation, as in :class:`Step`.
        candidate: digest of the model that this round made.
        deployed: digest of the deployed model.
    """

    namespace: str
    name: str
    round: int = 1
    phase: str = ""
    stage: str = ""
    state: str = ""
    message: str = ""
    last_error: str = ""
    retry_at: datetime | None = None
    samples_waiting: int = 0
    samples_used: int = 0
    candidate: str = ""
    deployed: str = ""
    flying: str = ""
    next_contact: datetime | None = None
    metrics: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    satellites: tuple[Rollout, ...] = ()
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SatelliteView:
    """A Satellite.

    Args:
        in_contact: ``None``: a pass is on, and it has not been heard yet, or nothing is known.
        trouble: why it is not ready; empty if it is, or if nothing is known yet.
        flying: digest of what it said last it flies.
        selection: the selection logic that its frames go by, by application and version; empty where it goes by none.
        offered: digest of the model that is on its way up.
        station: over which the next contact is, until ``next_end``; empty where no ContactPlan says so.
    """

    namespace: str
    name: str
    node: str
    in_contact: bool | None = None
    trouble: str = ""
    flying: str = ""
    selection: str = ""
    offered: str = ""
    last_contact: datetime | None = None
    next_contact: datetime | None = None
    next_end: datetime | None = None
    station: str = ""
    queued_samples: int | None = None
    queued_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that is watched, by name."""

    jobs: tuple[JobView, ...]
    satellites: tuple[SatelliteView, ...]


def scene_of(jobs: Iterable[Document], satellites: Iterable[Document], plans: Iterable[Document]) -> Scene:
    """What three listings say together."""
    documents = list(jobs)
    offers = dict(_offers(documents))
    windows = {}
    for plan in plans:
        for window in _understood(ContactPlanStatus, plan.get("status")).windows:
            windows[plan["metadata"]["namespace"], window.satellite, window.aos] = window
    return Scene(
        jobs=tuple(sorted(map(_job, documents), key=place_of)),
        satellites=tuple(sorted((_satellite(one, offers, windows) for one in satellites), key=place_of)),
    )


def as_json(view: JobView | SatelliteView) -> dict[str, Any]:
    """A view as JSON has it: times in ISO 8601, and of a job's steps the newest."""
    made: dict[str, Any] = json.loads(json.dumps(asdict(view), default=lambda moment: moment.isoformat()))
    made["metrics"] = _named(made["metrics"]) if "metrics" in made else None
    if isinstance(view, JobView):
        steps = made.pop("steps")
        made["step"] = {**steps[-1], "metrics": _named(steps[-1]["metrics"])} if steps else None
    else:
        del made["metrics"]
    return made


def _named(metrics: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    return {name: {"deployed": old, "new": new} for name, (old, new) in metrics.items()}


def place_of(view: JobView | SatelliteView) -> tuple[str, str]:
    """Its namespace and name."""
    return view.namespace, view.name


def _job(document: Document) -> JobView:
    metadata, status = document["metadata"], status_of(document)
    if status is None:  # nobody has taken it up
        return JobView(namespace=metadata["namespace"], name=metadata["name"])
    steps = tuple(map(_step, status.conditions))
    return JobView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        round=status.round,
        phase=status.phase or "",
        stage=status.stage,
        state=status.state or "",
        message=status.message,
        last_error=status.last_error if status.failures else "",
        retry_at=status.retry_at,
        samples_waiting=status.samples.waiting,
        samples_used=status.samples.used,
        candidate="" if status.candidate is None else status.candidate.digest,
        deployed="" if status.deployed is None else status.deployed.digest,
        flying=status.flying,
        next_contact=status.next_contact,
        metrics=next((step.metrics for step in reversed(steps) if step.metrics), {}),
        satellites=tuple(
            Rollout(satellite=one.name, offered=one.offered, flying=one.flying, outcome=one.outcome or "")
            for one in status.satellites
        ),
        steps=steps,
    )


def _step(condition: StageCondition) -> Step:
    measured = (condition.stage, condition.type) == (Stage.EVAL.value, ConditionType.COMPLETED)
    return Step(
        at=condition.last_transition_time,
        stage=condition.stage,
        state=condition.type.value,
        reason=condition.reason,
        message=condition.message,
        metrics=_measured(condition.data) if measured else {},
    )


def _measured(data: str) -> Mapping[str, tuple[Any, Any]]:
    try:
        return compared(data)
    except (ValueError, LookupError, TypeError, AttributeError):  # another controller's words
        return {}


def _offers(jobs: Iterable[Document]) -> Iterator[tuple[tuple[str, str], str]]:
    """Which digest is on its way to which satellite."""
    for document in jobs:
        status = status_of(document)
        if status is None or not _is_under_way(status) or status.candidate is None:
            continue
        for one in status.satellites:
            if one.offered and one.outcome is None:
                yield (document["metadata"]["namespace"], one.name), status.candidate.digest


def _is_under_way(status: IncrementalLearningJobStatus) -> bool:
    return status.stage == Stage.DEPLOY.value and status.state in {ConditionType.STARTING, ConditionType.RUNNING}


def _satellite(
    document: Document, offers: Mapping[tuple[str, str], str], windows: Mapping[tuple[str, str, datetime], Window]
) -> SatelliteView:
    metadata, status = document["metadata"], _understood(SatelliteStatus, document.get("status"))
    here = metadata["namespace"], metadata["name"]
    said = {condition.type: condition for condition in status.conditions}
    ready, contact = said.get("Ready"), said.get("InContact")
    window = None if status.next_contact is None else windows.get((*here, status.next_contact))
    return SatelliteView(
        namespace=here[0],
        name=here[1],
        node=str((document.get("spec") or {}).get("nodeName", "")),
        in_contact={"True": True, "False": False}.get("" if contact is None else contact.status),
        trouble=ready.message if ready is not None and ready.status == "False" else "",
        flying=status.flying,
        selection=_selection(status),
        offered=offers.get(here, ""),
        last_contact=status.last_contact,
        next_contact=status.next_contact,
        next_end=None if window is None else window.los,
        station="" if window is None else window.station,
        queued_samples=status.queued_samples,
        queued_bytes=status.queued_bytes,
    )


def _selection(status: SatelliteStatus) -> str:
    logic = status.selection
    return f"{logic.application} {logic.version}" if logic is not None and logic.digest else ""


def _understood(kind: type[Read], given: Any) -> Read:
    """A status, without what another version wrote and this one does not understand."""
    known = given if isinstance(given, Mapping) else {}
    try:
        return kind.model_validate(known)
    except ValidationError as error:
        strange = {complaint["loc"][0] for complaint in error.errors()}
        return kind.model_validate({name: value for name, value in known.items() if name not in strange})
