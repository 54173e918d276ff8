"""What a worker says it made, by its last words or its report: sizes, types and places are checked."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orbitloop.api.sedna_v1alpha1.incremental_learning_job import RoundModel
from orbitloop.domain.errors import BadInput
from orbitloop.domain.triggers import Metric
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.worker_messages import ReportedModel, WorkerKind, WorkerStatus
from orbitloop_operators.handlers.node_reports import WorkerReport
from orbitloop_operators.handlers.worker_pods import from_pod, is_on_node, path_of

LONGEST_WORDS = 12 * 1024
"""Bytes of a termination message that are read; the kubelet keeps no more of a pod's."""
_MOST_MODELS = 8
_LONGEST_URL = 2048
_MOST_METRICS = 16 * 1024
"""Bytes of the metrics of one model, as JSON."""

_ShortText = Annotated[str, Field(max_length=_LONGEST_URL)]


class LastWords(BaseModel):
    """What a worker of orbitloop leaves as its container's termination message.

    Args:
        kind: what it did.
        status: how that went.
        results: models, newest first for an evaluation.
        message: why it failed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: WorkerKind
    status: WorkerStatus
    results: tuple[ReportedModel, ...] = ()
    message: _ShortText = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a worker's part went.

    Args:
        well: it did it.
        models: what it made or measured, newest first.
        why: why it failed; else what it left unsaid.
    """

    well: bool
    models: tuple[ReportedModel, ...] = ()
    why: str = ""


def read_last_words(said: Sequence[str], kind: WorkerKind) -> Result | None:
    """What the containers of a pod left as their last words; ``None`` if none of them left any.

    Raises:
        BadInput: they are no JSON of this form, too long, or about another kind of work.
    """
    if not said:
        return None
    complaints: list[str] = []
    for text in said:
        try:
            return _read_words(text, kind)
        except BadInput as error:
            complaints.append(str(error))
    raise BadInput(complaints[0])


def _read_words(text: str, kind: WorkerKind) -> Result:
    if len(text.encode()) > LONGEST_WORDS:
        raise BadInput(f"the worker's last words are longer than {LONGEST_WORDS} bytes")
    try:
        words = LastWords.model_validate_json(text)
    except ValidationError as error:
        raise BadInput(f"the worker's last words cannot be read: {first_complaint(error)}") from None
    if words.kind is not kind:
        raise BadInput(f"the worker's last words are about {words.kind}, and its work was {kind}")
    return _result(words.status, words.results, words.message)


def read_report(report: WorkerReport | None, kind: WorkerKind) -> Result | None:
    """What a node reports of a worker; ``None`` if it says nothing of its end.

    Raises:
        BadInput: it is too long, or about another kind of work.
    """
    if report is None or report.status is None or report.status is WorkerStatus.RUNNING:
        return None
    if report.kind is not kind:
        raise BadInput(f"the worker's report is about {report.kind}, and its work was {kind}")
    return _result(report.status, report.results, report.message[:_LONGEST_URL])


def _result(status: WorkerStatus, models: tuple[ReportedModel, ...], why: str) -> Result:
    if status is not WorkerStatus.COMPLETED:
        return Result(well=False, why=why or f"the worker says that it is {status}, and does not say why")
    if len(models) > _MOST_MODELS:
        raise BadInput(f"the worker names {len(models)} models; at most {_MOST_MODELS} are read")
    return Result(well=True, models=models, why=why)


def trained_model(models: Sequence[ReportedModel], output_dir: str) -> RoundModel:
    """The model that a training made.

    Raises:
        BadInput: it names none, or one that is not in the job's output folder.
    """
    if not models or not models[0].url:
        raise BadInput("the worker says that it trained, and names no model; report its url")
    made = models[0]
    url = _within(made.url, output_dir)
    extension = posixpath.splitext(url)[1].removeprefix(".")
    return RoundModel(url=url, format=(made.format or extension)[:_LONGEST_URL], digest=made.digest or "")


def _within(url: str, output_dir: str) -> str:
    """The URL outside of the pod; workers of the next stages are given what is there, so it must be the job's own."""
    if len(url) > _LONGEST_URL:
        raise BadInput(f"the worker names a model by {len(url)} characters; at most {_LONGEST_URL} are read")
    outside = from_pod(url)
    if is_on_node(outside):
        outside = path_of(outside, "the trained model")
    if ".." in outside.split("/") or not outside.startswith(f"{_plain(output_dir)}/"):
        raise BadInput(f"the worker names the model {url!r}, which is not in the job's outputDir {output_dir}")
    return outside


def _plain(output_dir: str) -> str:
    return path_of(output_dir, "outputDir") if is_on_node(output_dir) else output_dir.rstrip("/")


def measured(models: Sequence[ReportedModel], candidate: str) -> tuple[Mapping[str, Metric], Mapping[str, Metric]]:
    """The metrics of the new and of the old model; empty for one that was not measured.

    Args:
        models: the new one first, unless digests say otherwise.
        candidate: digest of the new model; empty where nobody knows it.

    Raises:
        BadInput: there are none, or too many, or one is neither a number nor a list of numbers; or another model than
            the candidate was measured.
    """
    if not models:
        raise BadInput("the worker says that it evaluated, and names no model with metrics")
    new = next((one for one in models if candidate and one.digest == candidate), models[0])
    check_digest(new, candidate, "evaluated")
    old = next((one for one in models if one is not new), None)
    return _metrics(new), {} if old is None else _metrics(old)


def check_digest(model: ReportedModel, candidate: str, what: str) -> None:
    """Raises ``BadInput`` if a worker worked with another file than the one that was trained."""
    if candidate and model.digest and model.digest != candidate:
        raise BadInput(
            f"the file that was {what} has the digest {model.digest}, and the one that was trained {candidate}: it was "
            "changed meanwhile, or the worker ran on a node with another output folder"
        )


def _metrics(model: ReportedModel) -> Mapping[str, Metric]:
    if bad := model.unreadable():
        raise BadInput(f"the metric {bad[0][:80]} of the evaluation is neither a number nor a list of numbers")
    read = {name: list(value) if isinstance(value, tuple) else value for name, value in model.numbers().items()}
    if len(metrics_text(read)) > _MOST_METRICS:
        raise BadInput(f"the metrics of the evaluation are longer than {_MOST_METRICS} bytes")
    return read


def metrics_text(metrics: Mapping[str, Metric]) -> str:
    """Metrics as JSON, as a status keeps them."""
    return json.dumps(dict(metrics), separators=(",", ":"), sort_keys=True)


def metrics_in(text: str) -> dict[str, Metric]:
    """The metrics that a status keeps."""
    read: dict[str, Any] = json.loads(text) if text else {}
    return read
