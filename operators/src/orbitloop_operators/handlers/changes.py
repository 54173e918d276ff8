"""What a reconciler sees, and what it wants changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from orbitloop.domain.errors import Refused

Document = Mapping[str, Any]
"""A Kubernetes object as JSON has it."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Key:
    """Where an object is: its kind, with the group and version that it is served by, its namespace and its name.

    Args:
        api_version: as in manifests: ``sedna.io/v1alpha1``, ``v1``.
        namespace: empty for what has none.
    """

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, document: Document) -> Key:
        """The key of an object that the API server gave."""
        metadata = document["metadata"]
        return cls(
            api_version=document["apiVersion"],
            kind=document["kind"],
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
        )


class View(Protocol):
    """What has been watched so far; reading it costs no request."""

    def get(self, key: Key) -> Document | None:
        """One object, as last seen."""
        ...

    def all(self, api_version: str, kind: str, namespace: str | None = None) -> Sequence[Document]:
        """All objects of a kind, in one namespace or in all, by name."""
        ...

    def owned(self, uid: str, api_version: str, kind: str) -> Sequence[Document]:
        """The objects of a kind whose controller has this uid, by name."""
        ...

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether the cluster has a kind, of those that are watched."""
        ...


class Severity(StrEnum):
    """The two types of Kubernetes Events."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An Event on the object that was reconciled.

    Args:
        reason: one word in camel case, for machines.
        message: what happened, where, and what to do.
    """

    severity: Severity
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What should change; applied in this order, each part idempotent.

    Args:
        create: objects that should exist; one of that name with another owner is left alone and reported.
        replace: objects that should exist with exactly this spec.
        delete: objects that should not exist.
        status: the whole status as it should be, or ``None`` to leave it; written only where it differs.
        notices: Events, sent only if the status was written: what is said once is not said again.
        again: ask again after so long, though nothing changes; ``None``: when something changes.
    """

    create: tuple[Document, ...] = ()
    replace: tuple[Document, ...] = ()
    delete: tuple[Key, ...] = ()
    status: Document | None = None
    notices: tuple[Notice, ...] = ()
    again: timedelta | None = None


class Reconciler(Protocol):
    """What is done about one kind."""

    def related(self, document: Document, view: View) -> Sequence[Key]:
        """Objects of this reconciler's kind to look at again because ``document``, of any kind, changed."""
        ...

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:
        """What should change about an object. Pure: the same input gives the same answer.

        Raises:
            Refused: the object cannot be worked with as it is; :meth:`refused` says how it shows that.
            NotYet: ask again later.
        """
        ...

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """How an object shows that it cannot be worked with: a condition and a notice with the cause and the remedy."""
        ...
