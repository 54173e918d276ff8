"""Writes to the API server, each idempotent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from orbitloop.domain.errors import Refused
from orbitloop.ports.clock import Clock
from orbitloop_operators.adapters.api_server import MERGE_PATCH, Answer, ApiServer, Request, path_to
from orbitloop_operators.adapters.store import controller_of
from orbitloop_operators.handlers.changes import Document, Key, Notice
from orbitloop_operators.usecases.errors import NameTaken, Stale

_NOT_FOUND, _CONFLICT = 404, 409
APPLIED = "orbitloop.io/applied"
"""Annotation with the digest of what was written last, so that it is not written again."""
_MESSAGE = 1024
"""Longest message of an Event that the API server takes."""


class Cluster:
    """What reconcilers want changed, carried out on a real cluster.

    Args:
        server: requests go to it.
        clock: Events carry its time.
        component: who says what Events say.
    """

    def __init__(self, server: ApiServer, clock: Clock, component: str) -> None:
        self._server = server
        self._clock = clock
        self._component = component

    async def create(self, document: Document) -> Document:
        """Have ``document`` exist; the object as it is.

        Raises:
            NameTaken: another owner has one of that name.
            Refused: the API server will not have it.
        """
        path, plural = await self._collection(document)
        answer = await self._server.ask(Request(verb="POST", path=path, resource=plural, body=document))
        if answer.status == _CONFLICT and "name" in document["metadata"]:
            return await self._of_same_owner(document)
        return _good(answer, f"create {_wanted(document)}")

    async def replace(self, document: Document, known: Document | None) -> Document:
        """Have ``document`` exist with exactly this spec; the object as it is.

        Args:
            document: as it should be.
            known: as it was last seen.

        Raises:
            NameTaken: another owner has one of that name.
            Stale: it changed meanwhile.
            Refused: the API server will not have it.
        """
        marked = _marked(document)
        if known is None:
            known = await self.create(marked)
        _check_owner(document, known)
        if known["metadata"].get("annotations", {}).get(APPLIED) == marked["metadata"]["annotations"][APPLIED]:
            return known
        key = Key.of(document)
        path, plural = await self._object(key)
        body = {**marked, "metadata": {**marked["metadata"], "resourceVersion": known["metadata"]["resourceVersion"]}}
        answer = await self._server.ask(Request(verb="PUT", path=path, resource=plural, body=body))
        return _good(answer, f"replace {_words(key)}")

    async def delete(self, key: Key, known: Document | None) -> None:
        """Have no such object; a successor of the same name, with another uid, stays.

        Raises:
            Refused: the API server will not delete it.
        """
        path, plural = await self._object(key)
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if known is not None:
            body["preconditions"] = {"uid": known["metadata"]["uid"]}
        answer = await self._server.ask(Request(verb="DELETE", path=path, resource=plural, body=body))
        if answer.status not in {_NOT_FOUND, _CONFLICT}:
            _good(answer, f"delete {_words(key)}")

    async def patch_status(self, document: Document, patch: Mapping[str, Any]) -> Document | None:
        """Change the status of the version that was looked at; ``None``: the object is gone.

        Raises:
            Stale: it changed meanwhile.
            Refused: the API server will not have this status.
        """
        key = Key.of(document)
        path, plural = await self._object(key, "status")
        body = {"metadata": {"resourceVersion": document["metadata"]["resourceVersion"]}, "status": patch}
        answer = await self._server.ask(
            Request(verb="PATCH", path=path, resource=f"{plural}/status", body=body, content_type=MERGE_PATCH)
        )
        return None if answer.status == _NOT_FOUND else _good(answer, f"write the status of {_words(key)}")

    async def names(self, api_version: str, kind: str) -> Mapping[Key, str]:
        """The uid of each object of a kind, without the objects themselves."""
        plural = await self._server.plural(api_version, kind)
        found: dict[Key, str] = {}
        query = {"limit": "500"}
        while True:
            path = path_to(api_version, plural)
            answer = await self._server.ask(Request(verb="GET", path=path, resource=plural, query=query))
            page = _good(answer, f"list {plural}")
            for item in page["items"]:
                key = Key.of({**item, "apiVersion": api_version, "kind": kind})
                found[key] = item["metadata"]["uid"]
            if not page["metadata"].get("continue"):
                return found
            query = {"limit": "500", "continue": page["metadata"]["continue"]}

    async def tell(self, document: Document, notice: Notice) -> None:
        """An Event; the same one again counts one more.

        Raises:
            Refused: the API server will not have it.
        """
        event = self._event(document, notice)
        metadata = event["metadata"]
        collection = path_to("v1", "events", metadata["namespace"])
        answer = await self._server.ask(Request(verb="POST", path=collection, resource="events", body=event))
        if answer.status == _CONFLICT:
            await self._count(f"{collection}/{metadata['name']}", event["lastTimestamp"])
        elif answer.status != _NOT_FOUND and "being terminated" not in answer.message:  # its namespace goes with it
            _good(answer, f"tell of {_words(Key.of(document))}")

    async def _count(self, path: str, last: str) -> None:
        known = await self._server.ask(Request(verb="GET", path=path, resource="events"))
        if known.status == _NOT_FOUND:
            return
        patch = {"count": known.document.get("count", 1) + 1, "lastTimestamp": last}
        await self._server.ask(
            Request(verb="PATCH", path=path, resource="events", body=patch, content_type=MERGE_PATCH)
        )

    def _event(self, document: Document, notice: Notice) -> dict[str, Any]:
        key, uid = Key.of(document), document["metadata"]["uid"]
        says = f"{uid}/{notice.severity}/{notice.reason}/{notice.message}"
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
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
            "source": {"component": self._component},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }

    async def _of_same_owner(self, document: Document) -> Document:
        key = Key.of(document)
        path, plural = await self._object(key)
        answer = await self._server.ask(Request(verb="GET", path=path, resource=plural))
        if answer.status == _NOT_FOUND:
            raise Stale(f"{_words(key)} was there and is gone; it is made again")
        known = _good(answer, f"read {_words(key)}")
        _check_owner(document, known)
        if "deletionTimestamp" in known["metadata"]:
            raise Stale(f"{_words(key)} is being deleted; it is made again when that is done")
        return known

    async def _collection(self, document: Document) -> tuple[str, str]:
        plural = await self._server.plural(document["apiVersion"], document["kind"])
        return path_to(document["apiVersion"], plural, document["metadata"].get("namespace", "")), plural

    async def _object(self, key: Key, part: str = "") -> tuple[str, str]:
        plural = await self._server.plural(key.api_version, key.kind)
        return path_to(key.api_version, plural, key.namespace, key.name, part), plural


def _words(key: Key) -> str:
    return f"{key.kind} {key.namespace}/{key.name}" if key.namespace else f"{key.kind} {key.name}"


def _wanted(document: Document) -> str:
    """An object that may not have its name yet."""
    metadata = document["metadata"]
    name = metadata.get("name") or f"{metadata['generateName']}…"
    return f"{document['kind']} {metadata.get('namespace', '')}/{name}"


def _check_owner(document: Document, known: Document) -> None:
    """Raises :class:`NameTaken` unless both have the same controller."""
    if controller_of(document) != controller_of(known):
        words = _words(Key.of(document))
        raise NameTaken(f"{words} is there and belongs to another owner; delete it, or give this object another name")


def _marked(document: Document) -> dict[str, Any]:
    """The document with the digest of itself as annotation."""
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]
    metadata = document["metadata"]
    return {**document, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), APPLIED: digest}}}


def _good(answer: Answer, what: str) -> dict[str, Any]:
    if answer.is_good:
        return answer.document
    if answer.status == _CONFLICT:
        raise Stale(f"cannot {what}: {answer.message}")
    raise Refused(f"cannot {what}: {answer.message}")
