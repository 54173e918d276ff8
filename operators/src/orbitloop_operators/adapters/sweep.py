"""Deletions that a watch missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from orbitloop.domain.errors import NotYet, Refused
from orbitloop_operators.adapters.cluster import Cluster
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Key

_LOG = logging.getLogger(__name__)
_REST_S = 5.0
"""Listings come one object at a time: all of a kind have come by then, or are asked for again."""
_PERIOD_S = 3600.0
"""A kind that became empty while its watch was lost is not seen to be listed again."""


class Sweep:
    """Forgets what is no longer there, of a kind that was listed again, and of every kind once in a long while.

    Args:
        cluster: knows what is there.
        store: may hold more.
        gone: told of each object that is not there any more.
        kinds: all that the store may hold.
    """

    def __init__(
        self, cluster: Cluster, store: Store, gone: Callable[[Key, str], object], kinds: Iterable[tuple[str, str]]
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._gone = gone
        self._kinds = tuple(kinds)
        self._asked: set[tuple[str, str]] = set()
        self._woken = asyncio.Event()

    def ask(self, api_version: str, kind: str) -> None:
        """Look through a kind soon."""
        self._asked.add((api_version, kind))
        self._woken.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_PERIOD_S):
                    await self._woken.wait()
            except TimeoutError:
                self._asked.update(self._kinds)
            await asyncio.sleep(_REST_S)
            self._woken.clear()
            asked, self._asked = self._asked, set()
            for api_version, kind in sorted(asked):
                await self.sweep(api_version, kind)

    async def sweep(self, api_version: str, kind: str) -> None:
        """Forget what is not there of one kind."""
        before = {key: document["metadata"]["uid"] for key, document in self._held(api_version, kind)}
        if not before:
            return
        try:
            there = await self._cluster.names(api_version, kind)
        except (NotYet, Refused) as error:
            _LOG.warning("not_swept", extra={"kind": kind, "why": str(error)})
            return
        for key, uid in before.items():
            if there.get(key) != uid:
                self._gone(key, uid)

    def _held(self, api_version: str, kind: str) -> Iterable[tuple[Key, dict[str, dict[str, str]]]]:
        for key in self._store.keys(api_version, kind):
            document = self._store.get(key)
            if document is not None:
                yield key, dict(document)
