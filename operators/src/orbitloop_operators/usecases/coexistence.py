"""Sedna's own Global Manager in the same cluster: two that write one status would fight for ever."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from orbitloop_operators.handlers.changes import Document, Key, View
from orbitloop_operators.handlers.watched import is_rival

_LOG = logging.getLogger(__name__)
_DEPLOYMENT = ("apps/v1", "Deployment")
_SEDNA = "sedna.io/"


class Rivals:
    """Knows whether a Global Manager of Sedna runs; while it does, its kinds are left alone."""

    def __init__(self) -> None:
        self._rival: Key | None = None

    def changed(self, document: Document, view: View) -> bool:
        """Take note of an object that changed; whether what is contested is so no longer."""
        if (document["apiVersion"], document["kind"]) != _DEPLOYMENT:
            return False
        before, self._rival = self._rival, _first(view)
        if before == self._rival:
            return False
        if self._rival is None:
            _LOG.warning("takes_over_from_sedna", extra={"rival": str(before)})
            return True
        remedy = "delete it, or scale it to 0, and orbitloop takes over"
        extra = {"rival": f"{self._rival.namespace}/{self._rival.name}", "what_to_do": remedy}
        _LOG.warning("stands_aside_for_sedna", extra=extra)
        return False

    def contests(self, key: Key) -> bool:
        """Whether an object is Sedna's to look after."""
        return self._rival is not None and key.api_version.startswith(_SEDNA)

    def contested(self, view: View, kinds: Sequence[tuple[str, str]]) -> Sequence[Key]:
        """All objects of Sedna's kinds."""
        return [
            Key.of(document)
            for version, kind in kinds
            if version.startswith(_SEDNA)
            for document in view.all(version, kind)
        ]


def _first(view: View) -> Key | None:
    for document in view.all(*_DEPLOYMENT):
        if is_rival(document):
            return Key.of(document)
    return None
