"""Writes to the API server, each idempotent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from orbitloop.domain.errors import Refused
from orbitloop.ports.clock import Clock
from orbitloop_operators.adapters.api_server import MERGE_PATCH, Answer, ApiServer, Request, path_to
from orbitloop_operators.adapters.written import APPLIED, check_owner, event_on, marked, wanted, words
from orbitloop_operators.handlers.changes import Document, Key, Notice
from orbitloop_operators.usecases.errors import Stale

_NOT_FOUND, _CONFLICT = 404, 409
_PAGE = 500
"""Objects a page of a listing."""


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
        return _good(answer, f"create {wanted(document)}")

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
        ours = marked(document)
        if known is None:
            known = await self.create(ours)
        check_owner(document, known)
        if known["metadata"].get("annotations", {}).get(APPLIED) == ours["metadata"]["annotations"][APPLIED]:
            return known
        key = Key.of(document)
        path, plural = await self._object(key)
        body = {**ours, "metadata": {**ours["metadata"], "resourceVersion": known["metadata"]["resourceVersion"]}}
        answer = await self._server.ask(Request(verb="PUT", path=path, resource=plural, body=body))
        return _good(answer, f"replace {words(key)}")

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
            _good(answer, f"delete {words(key)}")

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
        return None if answer.status == _NOT_FOUND else _good(answer, f"write the status of {words(key)}")

    async def names(self, api_version: str, kind: str) -> Mapping[Key, str]:
        """The uid of each object of a kind."""
        return {Key.of(document): document["metadata"]["uid"] async for document in self.listed(api_version, kind)}

    async def listed(self, api_version: str, kind: str, namespaces: Sequence[str] = ()) -> AsyncIterator[Document]:
        """All objects of a kind, in some namespaces or in all, a page at a time.

        Raises:
            NotYet: the kind is not served.
            Refused: the API server will not list it.
        """
        plural = await self._server.plural(api_version, kind)
        everywhere = not namespaces or not await self._server.has_namespaces(api_version, kind)
        for namespace in ("",) if everywhere else namespaces:
            path, query = path_to(api_version, plural, namespace), {"limit": str(_PAGE)}
            while True:
                answer = await self._server.ask(Request(verb="GET", path=path, resource=plural, query=query))
                page = _good(answer, f"list {plural}")
                for item in page["items"]:
                    yield {**item, "apiVersion": api_version, "kind": kind}
                if not page["metadata"].get("continue"):
                    break
                query = {"limit": str(_PAGE), "continue": page["metadata"]["continue"]}

    async def tell(self, document: Document, notice: Notice) -> None:
        """An Event; the same one again counts one more.

        Raises:
            Refused: the API server will not have it.
        """
        event = event_on(document, notice, self._component, self._clock.now())
        metadata = event["metadata"]
        collection = path_to("v1", "events", metadata["namespace"])
        answer = await self._server.ask(Request(verb="POST", path=collection, resource="events", body=event))
        if answer.status == _CONFLICT:
            await self._count(f"{collection}/{metadata['name']}", event["lastTimestamp"])
        elif answer.status != _NOT_FOUND and "being terminated" not in answer.message:  # its namespace goes with it
            _good(answer, f"tell of {words(Key.of(document))}")

    async def _count(self, path: str, last: str) -> None:
        known = await self._server.ask(Request(verb="GET", path=path, resource="events"))
        if known.status == _NOT_FOUND:
            return
        patch = {"count": known.document.get("count", 1) + 1, "lastTimestamp": last}
        await self._server.ask(
            Request(verb="PATCH", path=path, resource="events", body=patch, content_type=MERGE_PATCH)
        )

    async def _of_same_owner(self, document: Document) -> Document:
        key = Key.of(document)
        path, plural = await self._object(key)
        answer = await self._server.ask(Request(verb="GET", path=path, resource=plural))
        if answer.status == _NOT_FOUND:
            raise Stale(f"{words(key)} was there and is gone; it is made again")
        known = _good(answer, f"read {words(key)}")
        check_owner(document, known)
        if "deletionTimestamp" in known["metadata"]:
            raise Stale(f"{words(key)} is being deleted; it is made again when that is done")
        return known

    async def _collection(self, document: Document) -> tuple[str, str]:
        plural = await self._server.plural(document["apiVersion"], document["kind"])
        return path_to(document["apiVersion"], plural, document["metadata"].get("namespace", "")), plural

    async def _object(self, key: Key, part: str = "") -> tuple[str, str]:
        plural = await self._server.plural(key.api_version, key.kind)
        return path_to(key.api_version, plural, key.namespace, key.name, part), plural


def _good(answer: Answer, what: str) -> dict[str, Any]:
    if answer.is_good:
        return answer.document
    if answer.status == _CONFLICT:
        raise Stale(f"cannot {what}: {answer.message}")
    raise Refused(f"cannot {what}: {answer.message}")
