"""Model: which version of it is deployed, and whether its file is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orbitloop.api.rules import checked
from orbitloop.api.sedna_v1alpha1.incremental_learning_job import RoundModel
from orbitloop.api.sedna_v1alpha1.model import Model
from orbitloop.domain.errors import Refused
from orbitloop_operators.handlers.changes import Changes, Document, Key, View
from orbitloop_operators.handlers.conditions import Finding, conditioned, kept, refusal, stamp, still_said
from orbitloop_operators.handlers.round_state import status_of
from orbitloop_operators.handlers.worker_pods import DATA_PREFIX, is_on_node, path_of

API_VERSION, KIND, JOB = "sedna.io/v1alpha1", "Model", "IncrementalLearningJob"
_MISSING = "FileMissing"
_FIELDS = ("updateTime", "metrics", "digest", "sizeBytes", "parent", "round")
_ROUND = re.compile(r"/train/(\d{1,9})/[^/]*$")
"""Where a job puts what a round makes: ``<outputDir>/train/<round>/<file>``."""
_ABSENT = re.compile(r"does not exist|[Nn]o such file|is not there|is missing")
"""What workers say of a file that they do not find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The reconciler of Models: what is known of a model is what the jobs that use it say."""

    def related(self, document: Document, view: View) -> Sequence[Key]:
        """Models that a job has deployed, or misses, or missed."""
        if (document["apiVersion"], document["kind"]) != (API_VERSION, JOB):
            return ()
        namespace = document["metadata"].get("namespace", "")
        names = dict.fromkeys(name for name in (_deploys(document), *_reads(document)) if name)
        keys = [Key(api_version=API_VERSION, kind=KIND, namespace=namespace, name=name) for name in names]
        return keys if _says_something(document) else [key for key in keys if _is_missed(view.get(key))]

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:
        """What is deployed, and what is missing. Raises ``BadInput`` for a spec that cannot be worked with."""
        model = checked(document)
        assert isinstance(model, Model)
        jobs = [job for job in view.all(API_VERSION, JOB, model.namespace) if _says_something(job)]
        fields = kept(document, *_FIELDS)
        deploying = max((job for job in jobs if _is_deployed_by(model, job)), key=_deployed_at, default=None)
        if deploying is not None:
            fields = _of_deployed(fields, _deployed(deploying), now)
        complaint = next((one for job in jobs if (one := _missed_by(model, job))), "")
        return conditioned(document, fields, [_ready(model, deploying, complaint)], now)

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """The Model is not ready, and says why; what is known of it stays."""
        return refusal(document, error, now)


def _ready(model: Model, deploying: Document | None, complaint: str) -> Finding:
    if complaint:
        return Finding(holds=False, reason=_MISSING, message=complaint)
    if deploying is not None:
        name = deploying["metadata"]["name"]
        message = f"deployed by {JOB} {name}"
        return Finding(holds=True, reason="Deployed", message=message)
    place = "on the node of whoever uses it" if is_on_node(model.spec.url) else "by whoever uses it"
    message = f"nothing has been heard of {model.spec.url} yet; it is read {place}"
    return Finding(holds=None, reason="NotDeployed", message=message)


def _of_deployed(fields: Mapping[str, Any], deployed: RoundModel, now: datetime) -> dict[str, Any]:
    """The fields of the model that a job deployed last; the one before it is its parent."""
    found = _ROUND.search(deployed.url)
    said = {
        "digest": deployed.digest or None,
        "metrics": _metrics(deployed.metrics),
        "round": None if found is None else int(found.group(1)),
    }
    if all(fields.get(name) == value for name, value in said.items()):
        return dict(fields)
    changed = deployed.digest and deployed.digest != fields.get("digest")
    parent = fields.get("digest") if changed else fields.get("parent")
    return {"updateTime": stamp(now), "sizeBytes": None, "parent": parent, **said}


def _metrics(text: str) -> list[dict[str, str]]:
    """Metrics as Sedna writes them: names and values, both as text."""
    try:
        read = json.loads(text) if text else {}
    except ValueError:
        return []
    return [{"key": key, "value": json.dumps(value)} for key, value in read.items()] if isinstance(read, dict) else []


def _is_missed(model: Document | None) -> bool:
    return model is not None and still_said(model, _MISSING) is not None


def _says_something(job: Document) -> bool:
    """Whether a job's status can say anything of a model: most of the time it waits for samples."""
    status = job.get("status") or {}
    return bool(status.get("deployed") or status.get("lastError") or any(_told_by_workers(job)))


def _told_by_workers(job: Document) -> Iterator[str]:
    for worker in (job.get("status") or {}).get("inference") or ():
        if worker.get("message"):
            yield str(worker["message"])


def _deployed(job: Document) -> RoundModel:
    status = status_of(job)
    assert status is not None
    assert status.deployed is not None
    return status.deployed


def _is_deployed_by(model: Model, job: Document) -> bool:
    if _deploys(job) != model.name:
        return False
    status = status_of(job)
    return status is not None and status.deployed is not None


def _deployed_at(job: Document) -> tuple[str, str]:
    """When a job deployed last, for what of several jobs is the newest; then by name."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    times = [
        str(one.get("lastTransitionTime", ""))
        for one in conditions
        if (one.get("stage"), one.get("type")) == ("Deploy", "Completed")
    ]
    return max(times, default=""), str(job["metadata"]["name"])


def _missed_by(model: Model, job: Document) -> str:
    """What a job's workers say of the model's file, if they do not find it; empty if they do."""
    if model.name not in {_deploys(job), *_reads(job)}:
        return ""
    for told in (str((job.get("status") or {}).get("lastError", "")), *_told_by_workers(job)):
        if _ABSENT.search(told) and _names(model.spec.url).search(told):
            name = job["metadata"]["name"]
            return f"a worker of {JOB} {name} says: {told}; put the file where spec.url says, or correct that"
    return ""


def _names(url: str) -> re.Pattern[str]:
    """A text that names a file, where it is on the node or where workers see it."""
    path = path_of(url, "spec.url") if is_on_node(url) else url
    return re.compile(rf"(^|[^\w/-]|{DATA_PREFIX}){re.escape(path)}(?!\.?[\w/-])")


def _deploys(job: Document) -> str:
    return str(_at(job, "deploySpec", "model", "name"))


def _reads(job: Document) -> tuple[str, ...]:
    paths = (("initialModel",), ("evalSpec", "initialEvalModel"))
    return tuple(str(_at(job, *path, "name")) for path in paths)


def _at(job: Document, *path: str) -> Any:
    found: Any = job.get("spec") or {}
    for part in path:
        found = found.get(part) if isinstance(found, Mapping) else None
    return "" if found is None else found
