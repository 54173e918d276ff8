"""Sedna's own Global Manager in the same cluster: two that write one status would fight for ever."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

from orbitloop_operators.handlers.changes import Document, Key, View
from orbitloop_operators.handlers.watched import is_sednas_manager

_LOG = logging.getLogger(__name__)
_DEPLOYMENT = ("apps/v1", "Deployment")
_SEDNA = "sedna.io/"


class Rivals:
    """Knows whether a Global Manager of Sedna runs; while it does, its kinds are left alone."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._rival: Key | None = None
        self._looked = False

    def changed(self, document: Document) -> bool:
        """Take note of an object that changed; whether what was contested is so no longer."""
        if (document["apiVersion"], document["kind"]) != _DEPLOYMENT:
            return False
        before = self._rival
        self._look()
        if before is None or self._rival is not None:
            return False
        _LOG.warning("takes_over_from_sedna", extra={"rival": f"{before.namespace}/{before.name}"})
        return True

    def contests(self, key: Key) -> bool:
        """Whether an object is Sedna's to look after."""
        if not self._looked:
            self._look()
        return self.claims(key.api_version)

    def claims(self, api_version: str) -> bool:
        """Whether the kinds of an API version are Sedna's, as far as has been looked; any thread may ask."""
        return self._rival is not None and api_version.startswith(_SEDNA)

    def contested(self, kinds: Iterable[tuple[str, str]]) -> Sequence[Key]:
        """All objects of Sedna's among these kinds."""
        return [
            Key.of(document)
            for version, kind in kinds
            if version.startswith(_SEDNA)
            for document in self._view.all(version, kind)
        ]

    def _look(self) -> None:
        before, self._rival = self._rival, next(self._running(), None)
        self._looked = True
        if self._rival is not None and self._rival != before:
            remedy = "delete it, or scale it to 0, and orbitloop takes over"
            rival = f"{self._rival.namespace}/{self._rival.name}"
            _LOG.warning("stands_aside_for_sedna", extra={"rival": rival, "what_to_do": remedy})

    def _running(self) -> Iterator[Key]:
        for document in self._view.all(*_DEPLOYMENT):
            if is_sednas_manager(document) and document["spec"].get("replicas", 1) > 0:
                yield Key.of(document)
