"""What has been watched, in memory."""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from orbitloop_operators.handlers.changes import Document, Key

_SHARED = 64
"""Longest text that is kept once for all objects that say it."""
_REMEMBERED = 4096
"""How many deleted objects are remembered, so that a late answer does not bring them back."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Store:
    """The :class:`~orbitloop_operators.handlers.changes.View` that watches and answers to writes fill.

    An older version of an object never replaces a newer one, nor does it bring back a deleted one. Bookkeeping of the
    API server and of kubectl (``managedFields``, the last applied configuration) is left out.
    """

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], dict[Key, Document]] = {}
        self._order: dict[tuple[str, str], list[Key]] = {}
        self._owned: dict[str, set[Key]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._served: frozenset[tuple[str, str]] = frozenset()

    def get(self, key: Key) -> Document | None:
        """One object, as last seen."""
        return self._objects.get((key.api_version, key.kind), {}).get(key)

    def all(self, api_version: str, kind: str, namespace: str | None = None) -> Sequence[Document]:
        """All objects of a kind, in one namespace or in all, by namespace and name."""
        found = self._objects.get((api_version, kind), {})
        order = self._order.get((api_version, kind), [])
        return [found[key] for key in order if namespace is None or key.namespace == namespace]

    def owned(self, uid: str, api_version: str, kind: str) -> Sequence[Document]:
        """The objects of a kind whose controller has this uid, by name."""
        keys = sorted(key for key in self._owned.get(uid, ()) if (key.api_version, key.kind) == (api_version, kind))
        return [self._objects[api_version, kind][key] for key in keys]

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether the cluster has a kind, of those that are watched."""
        return (api_version, kind) in self._served

    def has_kinds(self, served: Iterable[tuple[str, str]]) -> None:
        """These are the kinds, with their API versions, that the cluster has of those that are watched."""
        self._served = frozenset(served)

    def keys(self, api_version: str, kind: str) -> Sequence[Key]:
        """Where the objects of a kind are, in order."""
        return list(self._order.get((api_version, kind), ()))

    def put(self, document: Document) -> bool:
        """Take one object as the API server gave it; whether that was news."""
        key = Key.of(document)
        known = self.get(key)
        if document["metadata"]["uid"] in self._gone or (known is not None and not _is_newer(document, known)):
            return False
        if known is not None:
            self._disown(key, known)
        else:
            insort(self._order.setdefault((key.api_version, key.kind), []), key)
        kept = _compact(document)
        self._objects.setdefault((key.api_version, key.kind), {})[key] = kept
        if (owner := controller_of(kept)) is not None:
            self._owned.setdefault(owner, set()).add(key)
        return True

    def drop(self, key: Key, uid: str) -> bool:
        """Forget one object for good; whether it was there. A successor of the same name, with another uid, stays."""
        self._gone[uid] = None
        if len(self._gone) > _REMEMBERED:
            self._gone.popitem(last=False)
        known = self.get(key)
        if known is None or known["metadata"]["uid"] != uid:
            return False
        self._disown(key, known)
        del self._objects[key.api_version, key.kind][key]
        order = self._order[key.api_version, key.kind]
        del order[bisect_left(order, key)]
        return True

    def _disown(self, key: Key, document: Document) -> None:
        owner = controller_of(document)
        if owner is None:
            return
        self._owned[owner].discard(key)
        if not self._owned[owner]:
            del self._owned[owner]


def controller_of(document: Document) -> str | None:
    """The uid of the object that controls this one."""
    for owner in document["metadata"].get("ownerReferences", ()):
        if owner.get("controller"):
            return str(owner["uid"])
    return None


def _is_newer(document: Document, known: Document) -> bool:
    """Whether to take it; of one object the API server's versions are numbers that grow."""
    new, old = document["metadata"], known["metadata"]
    if new["uid"] != old["uid"]:
        return True
    return int(new["resourceVersion"]) > int(old["resourceVersion"])


def _compact(document: Document) -> Document:
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    if _LAST_APPLIED in metadata.get("annotations", {}):
        metadata["annotations"] = {
            name: value for name, value in metadata["annotations"].items() if name != _LAST_APPLIED
        }
    shared: Document = _share({**document, "metadata": metadata})
    return shared


def _share(value: Any) -> Any:
    """The same value, in which equal short texts are one object."""
    if isinstance(value, dict):
        return {sys.intern(name): _share(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_share(entry) for entry in value]
    if isinstance(value, str) and len(value) <= _SHARED:
        return sys.intern(value)
    return value
