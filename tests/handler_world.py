"""What reconcilers see and say, for tests: objects as the API server has them, and each asked twice."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from orbitloop.domain.errors import Refused
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Changes, Document, Key, Reconciler
from orbitloop_operators.handlers.node_reports import report_document

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEDNA, ORBITLOOP = "sedna.io/v1alpha1", "orbitloop.io/v1alpha1"
_VERSIONS = itertools.count(1)


def an_object(api_version: str, kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """An object of namespace ``lab``, as a user wrote it."""
    own = {"name": name, "namespace": "lab", "uid": f"uid-{kind}-{name}", "generation": 1, **metadata}
    return {"apiVersion": api_version, "kind": kind, "metadata": own, "spec": dict(spec)}


def a_node(name: str, *, ready: bool = True) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if ready else "Unknown"}
    metadata = {"name": name, "uid": f"uid-node-{name}"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"conditions": [condition]}}


@dataclass
class World:
    """Objects, and one reconciler; what it wants written to statuses is written."""

    reconciler: Reconciler
    now: datetime = NOON
    store: Store = field(default_factory=Store)

    def put(self, *documents: Document) -> None:
        """The user, or Kubernetes, has these; a status that is not given stays."""
        for document in documents:
            known = self.store.get(Key.of(document)) or {}
            metadata = {**document["metadata"], "resourceVersion": str(next(_VERSIONS))}
            kept = {"status": known["status"]} if "status" in known else {}
            assert self.store.put({**kept, **document, "metadata": metadata})

    def drop(self, document: Document) -> None:
        self.store.drop(Key.of(document), document["metadata"]["uid"])

    def report(self, node: str, **observed: Any) -> None:
        """A node says something of itself."""
        self.store.put(report_document(node, next(_VERSIONS), observed))

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)

    def ask(self, document: Document) -> Changes:
        """What the reconciler wants of the object as it is now."""
        seen = self.store.get(Key.of(document))
        assert seen is not None
        try:
            return self.reconciler.reconcile(seen, self.store, self.now)
        except Refused as error:
            return self.reconciler.refused(seen, error, self.now)

    def reconcile(self, document: Document) -> Changes:
        """Ask, write the status, and ask again at the same moment: the second answer must want nothing new."""
        first = self.ask(document)
        assert first.status is not None
        seen = self.store.get(Key.of(document))
        assert seen is not None
        self.put({**seen, "status": first.status})
        second = self.ask(document)
        assert second.status == first.status
        assert second.notices == ()
        return first

    def related(self, document: Document) -> set[str]:
        """Names of the objects to look at because this one changed."""
        return {key.name for key in self.reconciler.related(document, self.store)}


def condition(changes: Changes, kind: str = "Ready") -> tuple[str, str]:
    """Status and reason of a condition."""
    found = _condition(changes, kind)
    return found["status"], found["reason"]


def message(changes: Changes, kind: str = "Ready") -> str:
    return str(_condition(changes, kind)["message"])


def _condition(changes: Changes, kind: str) -> Document:
    assert changes.status is not None
    found = [one for one in changes.status["conditions"] if one["type"] == kind]
    assert len(found) == 1
    one: Document = found[0]
    return one
