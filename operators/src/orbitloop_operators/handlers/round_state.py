"""The status of a job as it goes from step to step: one condition a step, in Sedna's form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, assert_never

from pydantic import ValidationError

from orbitloop.api.sedna_v1alpha1.incremental_learning_job import (
    IncrementalLearningJobStatus,
    Phase,
    RoundModel,
)
from orbitloop.api.sedna_v1alpha1.parts import ConditionType, StageCondition
from orbitloop.domain.learning import Stage
from orbitloop_operators.handlers.changes import Document

MOST_CONDITIONS = 30
"""How many steps a job remembers: two rounds, with failures."""
_LONGEST_MESSAGE = 1024

_STAGES = frozenset(stage.value for stage in Stage)

Status = IncrementalLearningJobStatus


def status_of(document: Document) -> Status | None:
    """The status of a job; ``None`` if it has none, or one that does not say where the job is: then it begins anew.

    One that the original Sedna wrote has conditions only; the last of them says where it is. Of one that another
    version wrote, what is not understood is left aside.
    """
    status = _understood(document.get("status") or {})
    if status.state is not None and status.stage in _STAGES:
        return status
    if not status.conditions or status.conditions[-1].stage not in _STAGES:
        return None
    last = status.conditions[-1]
    return status.model_copy(update={"stage": last.stage, "state": last.type})


def _understood(given: Document) -> Status:
    try:
        return Status.model_validate(given)
    except ValidationError as error:
        strange = {complaint["loc"][0] for complaint in error.errors()}
        return Status.model_validate({name: value for name, value in given.items() if name not in strange})


def document_of(status: Status) -> dict[str, Any]:
    """The status as JSON has it; fields that say nothing are there, those without a value are not."""
    made: dict[str, Any] = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return made


def seconds_of(moment: datetime) -> datetime:
    """``moment`` in whole seconds of UTC, as Kubernetes keeps times."""
    return moment.astimezone(UTC).replace(microsecond=0)


def first_status(now: datetime) -> Status:
    """A job that was just seen: it waits for samples."""
    fresh = Status(start_time=seconds_of(now))
    return stepped(fresh, Stage.TRAIN, ConditionType.WAITING, now, message="the job was taken up")


def stepped(
    status: Status,
    stage: Stage,
    state: ConditionType,
    now: datetime,
    *,
    reason: str = "",
    message: str = "",
    data: str = "",
    **more: Any,
) -> Status:
    """One step on: the condition is appended, the oldest are forgotten.

    Args:
        reason: one word in camel case.
        message: for people; it becomes the status's message too.
        data: see :func:`input_data` and :func:`output_data`.
        **more: further fields of the status.
    """
    moment = seconds_of(now)
    said = message[:_LONGEST_MESSAGE]
    condition = StageCondition(
        type=state,
        stage=stage.value,
        last_heartbeat_time=moment,
        last_transition_time=moment,
        reason=reason,
        message=said,
        data=data,
    )
    conditions = (*status.conditions, condition)[-MOST_CONDITIONS:]
    fields = {
        "conditions": conditions,
        "stage": stage.value,
        "state": state,
        "phase": phase_of(stage, state),
        "message": said,
        "retry_at": None,
    }
    return status.model_copy(update=fields | more)


def phase_of(stage: Stage, state: ConditionType) -> Phase:
    """What a job does, in one word, where nothing is in its way."""
    match stage:
        case Stage.TRAIN:
            return Phase.WAITING if state is ConditionType.WAITING else Phase.TRAINING
        case Stage.EVAL:
            return Phase.EVALUATING
        case Stage.DEPLOY:
            return Phase.DEPLOYING
        case _:
            assert_never(stage)


def at_next_stage(status: Status, stage: Stage, now: datetime, message: str, **more: Any) -> Status:
    """The next stage waits; its attempts are counted anew."""
    counters: dict[str, Any] = {"attempt": 1, "failures": 0, "failed_at": None}
    return stepped(status, stage, ConditionType.WAITING, now, message=message, **(counters | more))


def at_next_round(status: Status, now: datetime, message: str) -> Status:
    """The round is over, for the reason that ``message`` gives; the next one waits for samples."""
    satellites = tuple(one.model_copy(update={"offered": False, "outcome": None}) for one in status.satellites)
    more: dict[str, object] = {"round": status.round + 1, "candidate": None, "satellites": satellites}
    return at_next_stage(status, Stage.TRAIN, now, message, **more)


def input_data(models: Sequence[RoundModel], data_url: str, output_dir: str) -> str:
    """What a stage is given, as Sedna's conditions say it."""
    given: dict[str, object] = {"models": [_model(one) for one in models], "outputDir": output_dir}
    if data_url:
        given["dataURL"] = data_url
    return json.dumps({"input": given}, separators=(",", ":"))


def output_data(models: Sequence[RoundModel]) -> str:
    """What a stage made, as Sedna's conditions say it."""
    return json.dumps({"output": {"models": [_model(one) for one in models]}}, separators=(",", ":"))


def _model(model: RoundModel) -> Mapping[str, object]:
    said: dict[str, object] = {"format": model.format, "url": model.url}
    return said | {"metrics": json.loads(model.metrics)} if model.metrics else said
