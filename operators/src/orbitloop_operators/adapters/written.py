"""What any cluster, a real one or one in memory, must know of the documents that are written to it."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from orbitloop_operators.adapters.store import controller_of
from orbitloop_operators.handlers.changes import Document, Key, Notice
from orbitloop_operators.usecases.errors import NameTaken

APPLIED = "orbitloop.io/applied"
"""Annotation with the digest of what was written last, so that it is not written again."""
_MESSAGE = 1024
"""Longest message of an Event that the API server takes."""


def words(key: Key) -> str:
    """An object, for people."""
    return f"{key.kind} {key.namespace}/{key.name}" if key.namespace else f"{key.kind} {key.name}"


def wanted(document: Document) -> str:
    """An object that may not have its name yet, for people."""
    metadata = document["metadata"]
    name = metadata.get("name") or f"{metadata['generateName']}…"
    return f"{document['kind']} {metadata.get('namespace', '')}/{name}"


def check_owner(document: Document, known: Document) -> None:
    """Raises :class:`NameTaken` unless both have the same controller."""
    if controller_of(document) != controller_of(known):
        what = words(Key.of(document))
        raise NameTaken(f"{what} is there and belongs to another owner; delete it, or give this object another name")


def marked(document: Document) -> dict[str, Any]:
    """The document with the digest of itself as annotation."""
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]
    metadata = document["metadata"]
    return {**document, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), APPLIED: digest}}}


def event_on(document: Document, notice: Notice, component: str, now: datetime) -> dict[str, Any]:
    """An Event about ``document``; the same notice has the same name.

    Args:
        component: who says it.
        now: aware, UTC.
    """
    key, uid = Key.of(document), document["metadata"]["uid"]
    says = f"{uid}/{notice.severity}/{notice.reason}/{notice.message}"
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    namespace = key.namespace or "default"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{key.name[:200]}.{hashlib.sha256(says.encode()).hexdigest()[:16]}",
            "namespace": namespace,
        },
        "involvedObject": {
            "apiVersion": key.api_version,
            "kind": key.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid,
            "resourceVersion": document["metadata"]["resourceVersion"],
        },
        "type": notice.severity.value,
        "reason": notice.reason,
        "message": notice.message[:_MESSAGE],
        "source": {"component": component},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
