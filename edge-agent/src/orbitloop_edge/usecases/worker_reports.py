"""What workers on the node report: kept for the ground, the last word of each."""

from __future__ import annotations

import logging
import math
import re
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from pydantic import JsonValue

from orbitloop.domain.errors import BadInput, Refused
from orbitloop.wire.node_messages import LARGEST_VALUE
from orbitloop.wire.results import fitted
from orbitloop.wire.worker_messages import (
    OWNER_KINDS,
    ReportedModel,
    StrictWorkerInfo,
    WorkerInfo,
    WorkerKind,
    WorkerStatus,
)
from orbitloop_edge.usecases.node_events import NodeEvents, Value

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_ROOM = LARGEST_VALUE - 200
"""Bytes of a result; the rest is for another way to write numbers."""


class Mode(StrEnum):
    """What Sedna's path does with reports that nobody can use: take and drop them, as the original does, or refuse."""

    COMPAT = "compat"
    STRICT = "strict"


class UnknownOwner(Refused):
    """There is no such kind of owner."""


class HotUpdateAnswers(Protocol):
    """Where those who announced a hot update look for what came of it."""

    def answer(self, namespace: str, job: str, status: WorkerStatus, message: str) -> None:
        """A worker of ``job`` said what came of the update that is announced to it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReports:
    """Takes reports; what is taken is on disk. The same report again changes nothing.

    Args:
        events: takes the last word of each worker, as ``worker/NAMESPACE/WORKER``.
        answers: gets what came of hot updates, from workers with the original Sedna library: it names no model, and
            leaves no answer of its own.
        mode: of Sedna's path.
    """

    events: NodeEvents
    answers: HotUpdateAnswers
    mode: Mode = Mode.COMPAT
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def take(self, info: WorkerInfo) -> None:
        """Take a report in Sedna's words.

        Raises:
            BadInput: in strict mode, for an unknown kind or status, or what cannot be a name.
            UnknownOwner: in strict mode, for an unknown ``ownerKind``.
            NoSpace: the disk is full.
        """
        try:
            _check(info)
        except Refused as error:
            if self.mode is Mode.STRICT:
                raise
            _log.warning("worker_report_dropped", extra={"worker": info.name, "why": str(error)})
            return
        self._keep(info)

    def take_strict(self, info: StrictWorkerInfo) -> None:
        """Take a report of the strict path, whatever the mode; errors as :meth:`take` in strict mode."""
        plain = info.as_info()
        _check(plain)
        self._keep(plain)

    def _keep(self, info: WorkerInfo) -> None:
        for model in info.results:
            if bad := model.unreadable():
                _log.warning("metrics_unreadable", extra={"worker": info.name, "metrics": list(bad)})
        subject = f"worker/{info.namespace}/{info.name}"
        with self._turn:  # a worker reports by several threads, and each report is joined to the one before
            self.events.record(subject, _value(info, self.events.last(subject)))
        if info.kind == WorkerKind.DEPLOY and not info.results and _NAME.fullmatch(info.owner_name):
            self.answers.answer(info.namespace, info.owner_name, WorkerStatus(info.status or "running"), info.reason)


def _check(info: WorkerInfo) -> None:
    for what, value in (("namespace", info.namespace), ("name", info.name)):
        if not _NAME.fullmatch(value):
            raise BadInput(f"{what} {value[:300]!r} is no name of Kubernetes; use letters, digits, '-' and '.'")
    if info.owner_kind.lower() not in OWNER_KINDS:
        known = ", ".join(sorted(OWNER_KINDS))
        raise UnknownOwner(f"ownerKind {info.owner_kind!r} is unknown; use one of {known}")
    if info.kind not in set(WorkerKind):
        raise BadInput(f"kind {info.kind!r} is unknown; use one of {', '.join(WorkerKind)}")
    if info.status and info.status not in set(WorkerStatus):
        raise BadInput(f"status {info.status!r} is unknown; use one of {', '.join(WorkerStatus)}, or none")


def _value(info: WorkerInfo, before: Value | None) -> dict[str, JsonValue]:
    """The last word of a worker.

    An inference worker tells statistics over and over, and now and then what came of a hot update: neither drives the
    other one out.
    """
    said: dict[str, JsonValue] = {
        "kind": info.kind,
        "status": info.status,
        "ownerName": info.owner_name,
        "ownerKind": info.owner_kind.lower(),
        "results": [_model(model) for model in info.results],
        "ownerInfo": {name: _finite(value) for name, value in (info.owner_info or {}).items()},
        "message": info.reason,
    }
    if before is not None:
        statistics = info.kind == WorkerKind.INFERENCE
        if statistics and before["kind"] != WorkerKind.INFERENCE:
            said |= {name: before[name] for name in ("kind", "status", "results", "message")}
        if info.owner_info is None:
            said["ownerInfo"] = before["ownerInfo"]
    return fitted(said, _ROOM)


def _model(model: ReportedModel) -> dict[str, JsonValue]:
    """A model with the metrics that can be read, and without what is not said of it."""
    said: dict[str, JsonValue] = {"format": model.format, "url": model.url}
    if model.digest is not None:
        said["digest"] = model.digest
    metrics = model.numbers()
    if metrics:
        said["metrics"] = {name: _listed(value) for name, value in metrics.items()}
    return said


def _listed(value: float | tuple[float, ...]) -> JsonValue:
    return list(value) if isinstance(value, tuple) else value


def _finite(value: JsonValue) -> JsonValue:
    """The value with null in place of numbers that JSON does not have."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [_finite(one) for one in value]
        case dict():
            return {name: _finite(one) for name, one in value.items()}
        case _:
            return value
