"""What is there, asked for as a whole: at the start, after a watch was lost, and once in a long while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orbitloop.domain.errors import NotYet, Refused
from orbitloop_operators.adapters.cluster import Cluster
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.watched import Watched

_LOG = logging.getLogger(__name__)
_REST_S = 5.0
"""A watch that begins anew lists one object at a time: all that it asks for come together."""
_PERIOD_S = 3600.0
"""A kind that became empty while its watch was lost is not seen to be listed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Who is told.

    Args:
        changed: an object as it is.
        gone: where an object was, and its uid.
    """

    changed: Callable[[Document], object]
    gone: Callable[[Key, str], object]


class Listing:
    """Fills the store with what is there, and says what is not there any more.

    Args:
        cluster: knows what is there.
        store: may lack some, and hold more.
        told: of each object.
        kinds: all that the store may hold.
        namespaces: only these; none: all.
    """

    def __init__(
        self, cluster: Cluster, store: Store, told: Told, kinds: Sequence[Watched], namespaces: Sequence[str]
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._told = told
        self._kinds = tuple(kinds)
        self._namespaces = tuple(namespaces)
        self._asked: set[Watched] = set()
        self._woken = asyncio.Event()

    async def complete(self, kinds: Sequence[Watched]) -> None:
        """Have the store hold all objects of the kinds that are served, and only then tell of any.

        So each sees all the others.
        """
        self._store.has_kinds((kind.api_version, kind.kind) for kind in kinds)
        await self._look_through(kinds)

    async def _look_through(self, kinds: Sequence[Watched]) -> None:
        found = [document for kind in kinds for document in await self._refreshed(kind)]
        for document in found:
            self._told.changed(document)

    def ask(self, kind: Watched) -> None:
        """Look through a kind soon."""
        self._asked.add(kind)
        self._woken.set()

    async def run(self) -> None:
        """Do what is asked, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_PERIOD_S):  # wait_for may lose a cancellation that comes with the event
                    await self._woken.wait()
            except TimeoutError:
                self._asked.update(self._kinds)
            await asyncio.sleep(_REST_S)
            self._woken.clear()
            asked, self._asked = self._asked, set()
            await self._look_through([kind for kind in self._kinds if kind in asked])

    async def _refreshed(self, kind: Watched) -> Sequence[Document]:
        """All objects of a kind that concern us, put into the store; the others are dropped from it."""
        before = self._held(kind)
        try:
            found = [document async for document in self._cluster.listed(kind.api_version, kind.kind, self._namespaces)]
        except (NotYet, Refused) as error:
            _LOG.warning("not_listed", extra={"kind": kind.kind, "why": str(error)})
            return ()
        for document in found:
            uid = before.get(Key.of(document))
            if uid == document["metadata"]["uid"]:
                del before[Key.of(document)]
        for key, uid in before.items():
            self._told.gone(key, uid)
        concerned = [document for document in found if kind.concerns(document)]
        for document in concerned:
            self._store.put(document)
        return concerned

    def _held(self, kind: Watched) -> dict[Key, str]:
        held: dict[Key, str] = {}
        for key in self._store.keys(kind.api_version, kind.kind):
            document = self._store.get(key)
            if document is not None:
                held[key] = str(document["metadata"]["uid"])
        return held
