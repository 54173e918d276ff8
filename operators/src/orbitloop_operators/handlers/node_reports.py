"""What nodes say of themselves, as it reaches the view: documents that are not in Kubernetes.

A document holds the last word about each subject. Each is read on its own when it is asked for, so that one that is
malformed harms nothing but the object that it is about; unknown fields are passed over, for a satellite may speak
another version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AwareDatetime, BeforeValidator, Field, JsonValue, ValidationError

from orbitloop.api.parts import Status
from orbitloop.domain.errors import BadInput
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Digest
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.worker_messages import ReportedModel, WorkerKind, WorkerStatus
from orbitloop_operators.handlers.changes import Document, Key, View

API_VERSION = "observed.orbitloop.io/v1"
KIND = "NodeReport"

Count = Annotated[int, Field(ge=0, strict=True)]


class DatasetReport(Status):
    """What a node says of a dataset that it watches.

    Attributes:
        number_of_samples: lines of the index.
        update_time: when they were counted.
        error: why they could not be counted; empty if they could.
        url: of the index; empty where the node does not say.
    """

    number_of_samples: Count | None = None
    update_time: AwareDatetime | None = None
    error: str = ""
    url: str = ""


class WorkerReport(Status):
    """The last report of a worker.

    Attributes:
        kind: what it does.
        status: how far it is; reports of inference carry none.
        results: models, newest first for an evaluation.
        owner_info: statistics.
        message: why it failed.
    """

    kind: WorkerKind
    status: Annotated[WorkerStatus | None, BeforeValidator(lambda given: given or None)] = None
    results: tuple[ReportedModel, ...] = ()
    owner_info: Mapping[str, JsonValue] = Field(default_factory=dict)
    message: str = ""


class ModelReport(Status):
    """What a node says of the file that it keeps for a job's own inference workers.

    Attributes:
        flying: digest of the weights that fly.
        file: digest of the file that was written.
        error: why it could not be written; empty if it could.
    """

    flying: str = ""
    file: str = ""
    error: str = ""


class SatelliteReport(Status):
    """What a satellite says of itself.

    Attributes:
        flying: digest of the model that it flies.
        queued_samples: samples that wait on board.
        queued_bytes: their size.
        samples: samples of it that have come down, ever.
        drift: how far what it sees has moved since its model began to fly.
        outcomes: what became of updates, by digest.
    """

    flying: str = ""
    queued_samples: Count | None = None
    queued_bytes: Count | None = None
    samples: Count | None = None
    drift: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    outcomes: Mapping[Digest, Outcome] = Field(default_factory=dict)


class LogicOnBoard(Status):
    """What a satellite says of the selection logics on board.

    Attributes:
        flying: digest of the file that frames go by; ``None``: they go by none.
        version: of that file.
        application: whose logic that is.
        refused: digest of the file that was refused last; ``None``: none since the last good one.
        reason: why it was refused.
    """

    flying: Digest | None = None
    version: Count | None = None
    application: str = ""
    refused: Digest | None = None
    reason: str = ""


class LogicOffered(Status):
    """What the gateway offers a satellite at the cluster's behest.

    Attributes:
        source: digest of the file that it was given.
        digest: of the file that it signed and offers.
        version: that it signed it with.
        application: whose logic it is, as the file says.
        target: the computer that it was made for.
    """

    source: Digest
    digest: Digest
    version: Count
    application: str = ""
    target: str = ""

    def is_outrun(self, said: LogicOnBoard | None) -> bool:
        """Whether a satellite that says this would not take it, since something else as new flies there."""
        return said is not None and said.flying != self.digest and (said.version or 0) >= self.version


class LogicReport(Status):
    """Where a node is with selection logics.

    Attributes:
        fetched: digest of the file that it fetched last; ``None``: it has fetched none.
        on_board: what flies and what was refused; ``None``: it does not say.
        offered: what the gateway offers it; ``None``: nothing of the cluster's.
        refused: why the gateway does not offer what it is told to, by the digest of the file.
        put_off: why the gateway has not taken it yet; empty where nothing is in the way.
    """

    fetched: Digest | None = None
    on_board: LogicOnBoard | None = None
    offered: LogicOffered | None = None
    refused: Mapping[Digest, str] = Field(default_factory=dict)
    put_off: str = ""


class _Node(Status):
    last_contact: AwareDatetime | None = None


class _Bridge(Status):
    not_offered: Mapping[Digest, str] = Field(default_factory=dict)


_OF_OTHERS = frozenset({"notOffered", "selection"})
"""Subjects that somebody else than the node may speak of."""
_Said = TypeVar("_Said", bound=Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """All that a node has said.

    Every method raises ``BadInput`` if what the node said of the subject cannot be read.

    Args:
        node: its name.
        observed: by subject, as it came.
    """

    node: str
    observed: Mapping[str, Any]

    @property
    def has_spoken(self) -> bool:
        """Whether the node itself has said anything."""
        return not _OF_OTHERS.issuperset(self.observed)

    def last_contact(self) -> datetime | None:
        """When it was heard last."""
        read = self._read(_Node, "contact", {"lastContact": self.observed.get("lastContact")})
        return None if read is None else read.last_contact

    def dataset(self, namespace: str, name: str) -> DatasetReport | None:
        """What it says of a dataset; ``None``: nothing."""
        return self._read(DatasetReport, f"Dataset {namespace}/{name}", self._entry("datasets", namespace, name))

    def worker(self, namespace: str, name: str) -> WorkerReport | None:
        """What it says of a worker; ``None``: nothing."""
        return self._read(WorkerReport, f"worker {namespace}/{name}", self._entry("workers", namespace, name))

    def model(self, namespace: str, job: str) -> ModelReport | None:
        """What it says of the model of a job's own inference workers; ``None``: nothing."""
        return self._read(ModelReport, f"the model of {namespace}/{job}", self._entry("models", namespace, job))

    def satellite(self) -> SatelliteReport | None:
        """What it says of itself; ``None``: nothing, or it is no satellite."""
        return self._read(SatelliteReport, "itself", self.observed.get("satellite"))

    def logic(self) -> LogicReport | None:
        """Where it is with selection logics; ``None``: nobody says."""
        return self._read(LogicReport, "its selection logic", self.observed.get("selection"))

    def not_offered(self) -> Mapping[Digest, str]:
        """Why models that it is to be offered are not on offer, by their digest."""
        read = self._read(_Bridge, "its offers", {"notOffered": self.observed.get("notOffered") or {}})
        return {} if read is None else read.not_offered

    def _entry(self, subject: str, namespace: str, name: str) -> object:
        entries = self.observed.get(subject) or {}
        return entries.get(f"{namespace}/{name}") if isinstance(entries, Mapping) else entries

    def _read(self, form: type[_Said], subject: str, said: object) -> _Said | None:
        if said is None:
            return None
        try:
            return form.model_validate(said)
        except ValidationError as error:
            raise BadInput(
                f"node {self.node} says of {subject} what cannot be read: {first_complaint(error)}; "
                "bring its orbitloop and the ground's to versions that know each other"
            ) from None


def report_key(node: str) -> Key:
    """Where the report of a node is."""
    return Key(api_version=API_VERSION, kind=KIND, namespace="", name=node)


def report_of(view: View, node: str) -> NodeReport | None:
    """What a node has said, or ``None`` if it has said nothing yet."""
    document = view.get(report_key(node))
    return None if document is None else NodeReport(node=node, observed=document.get("observed") or {})


def reporting_node(document: Document) -> str | None:
    """The node whose report ``document`` is; ``None`` for any other object."""
    if (document["apiVersion"], document["kind"]) != (API_VERSION, KIND):
        return None
    return str(document["metadata"]["name"])


def report_document(node: str, version: int, observed: Mapping[str, Any]) -> Document:
    """The document that puts ``observed`` into a view.

    Args:
        node: whose report.
        version: grows with every change of the report.
        observed: ``lastContact``, ``datasets`` and ``workers`` by ``NAMESPACE/NAME``, ``satellite``, ``selection``; all
            optional.
    """
    metadata = {"name": node, "uid": f"{KIND}/{node}", "resourceVersion": str(version)}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "observed": observed}
