"""What a worker tells the Local Controller beside it, by HTTP on one machine.

Two forms of one message. ``POST /sedna/workers/{worker}/info`` takes a :class:`WorkerInfo` as Sedna's workers send it
and is tolerant: unknown fields are ignored, metrics are numbers or lists of numbers. ``POST
/v1/workers/{namespace}/{worker}/info`` takes a :class:`StrictWorkerInfo`: the same fields, closed sets, and no others.
``digest`` and ``reason`` are additions that the original ignores.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.wire.complaints import first_complaint

OWNER_KINDS: Final = frozenset(
    {
        "dataset",
        "model",
        "incrementallearningjob",
        "jointinferenceservice",
        "federatedlearningjob",
        "lifelonglearningjob",
        "featureextractionservice",
        "videoanalyticsjob",
        "reidjob",
        "objectsearchservice",
        "objecttrackingservice",
    }
)
"""Kinds of ``sedna.io``, in lower case as ``ownerKind`` spells them."""

DigestText = Annotated[Digest, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Metric = Number | list[Number]


class WorkerKind(StrEnum):
    """What the worker is doing; the ``phase`` of the job."""

    TRAIN = "train"
    EVAL = "eval"
    DEPLOY = "deploy"
    INFERENCE = "inference"


class WorkerStatus(StrEnum):
    """How far it is. Reports of inference carry none."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


def _empty_for_null(value: object) -> object:
    return [] if value is None else value


class _Part(BaseModel):
    """Base: frozen, named in camel case on the wire, tolerant of what it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class _StrictPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class ReportedModel(_Part):
    """A model that a worker made or measured.

    Args:
        format: the file's kind, ``onnx`` or ``pth``.
        url: where the worker put it, or read it.
        metrics: what was measured, by name; see :meth:`numbers`.
        digest: of the file's bytes, where the worker knows it.
    """

    format: str = ""
    url: str = ""
    metrics: dict[str, JsonValue] | None = None
    digest: DigestText | None = None

    def numbers(self) -> dict[str, float | tuple[float, ...]]:
        """The metrics that are a finite number or a list of finite numbers."""
        read = {name: _number(value) for name, value in (self.metrics or {}).items()}
        return {name: value for name, value in read.items() if value is not None}

    def unreadable(self) -> tuple[str, ...]:
        """Names of the metrics that are neither, for the log."""
        return tuple(sorted(set(self.metrics or {}) - set(self.numbers())))


def _number(value: JsonValue) -> float | tuple[float, ...] | None:
    match value:
        case bool():
            return None
        case int() | float():
            return _finite(value)
        case list():
            read = [_number(item) for item in value]
            finite = tuple(item for item in read if isinstance(item, float))
            return finite if len(finite) == len(read) else None
        case _:
            return None


def _finite(value: float) -> float | None:
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number of more than 308 digits
        return None


class WorkerInfo(_Part):
    """One report of a worker, in Sedna's words.

    Args:
        name: of the worker; the path of the request names it too.
        namespace: of the job.
        owner_name: the job or service that the worker belongs to.
        owner_kind: its kind in lower case.
        kind: a :class:`WorkerKind`; free text here, because the original takes any.
        status: a :class:`WorkerStatus`, or empty.
        owner_info: statistics: counts, times, rounds.
        results: models, newest first for an evaluation.
        reason: why it failed, in a sentence.
    """

    name: str = Field(min_length=1)
    namespace: str = "default"
    owner_name: str = ""
    owner_kind: str = ""
    kind: str = ""
    status: Annotated[str, BeforeValidator(lambda given: "" if given is None else given)] = ""
    owner_info: dict[str, JsonValue] | None = None
    results: Annotated[tuple[ReportedModel, ...], BeforeValidator(_empty_for_null)] = ()
    reason: str = ""

    def body(self) -> bytes:
        """The JSON that goes over the wire; fields that say nothing are left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=False).encode()


class StrictModel(_StrictPart):
    """A :class:`ReportedModel` whose fields are all meant."""

    format: str = Field(min_length=1)
    url: str = Field(min_length=1)
    metrics: dict[str, Metric] = Field(default_factory=dict)
    digest: DigestText | None = None


class StrictWorkerInfo(_StrictPart):
    """A :class:`WorkerInfo` with closed sets. ``owner_kind`` is checked by the server: an unknown one is 404."""

    name: str = Field(min_length=1)
    namespace: str = Field(min_length=1)
    owner_name: str = Field(min_length=1)
    owner_kind: str = Field(min_length=1)
    kind: WorkerKind
    status: WorkerStatus | None = None
    owner_info: dict[str, JsonValue] = Field(default_factory=dict)
    results: tuple[StrictModel, ...] = ()
    reason: str = ""

    @field_validator("reason")
    @classmethod
    def _only_of_a_failure(cls, reason: str, info: Any) -> str:
        if reason and info.data.get("status") is not WorkerStatus.FAILED:
            raise ValueError("only a failed report has a reason")
        return reason

    def as_info(self) -> WorkerInfo:
        """The same report in the tolerant form, which everything behind the border reads."""
        return WorkerInfo.model_validate(self.model_dump(mode="json"))


class Reply(BaseModel):
    """What the Local Controller answers, capitalised as Sedna's does: ``{"Status": 200, "Message": "OK"}``."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    status: int = Field(default=200, alias="Status")
    message: str = Field(default="OK", alias="Message")

    def body(self) -> bytes:
        """Its JSON."""
        return self.model_dump_json(by_alias=True).encode()


def check_worker(in_path: str, in_body: str) -> None:
    """Check that a request's path and body name the same worker.

    Raises:
        BadInput: they do not; in the words of Sedna's Local Controller, which its users know.
    """
    if in_path != in_body:
        raise BadInput(
            f"worker name(name={in_path}) in the api is different from that(name={in_body}) in the message body"
        )


def read_worker_info(body: bytes) -> WorkerInfo:
    """Read what a worker of Sedna posts.

    Raises:
        BadInput: no JSON object of this form; the message names the first field that does not fit.
    """
    try:
        return WorkerInfo.model_validate_json(body)
    except ValidationError as error:
        raise BadInput(f"worker info: {first_complaint(error)}") from error


def read_strict_worker_info(body: bytes) -> StrictWorkerInfo:
    """Read what is posted to the strict path.

    Raises:
        BadInput: no JSON object of this form, or a field that nobody knows.
    """
    try:
        return StrictWorkerInfo.model_validate_json(body)
    except ValidationError as error:
        raise BadInput(f"worker info: {first_complaint(error)}") from error
