"""What the ground knows of its nodes, and what it wants of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest
from orbitloop.wire.messages import LogicOnBoard
from orbitloop.wire.node_messages import NodeEvent, NodeEvents


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that one satellite may fetch: ``size`` bytes at ``path``, whose digest is ``digest``."""

    digest: Digest
    size: Bytes
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredDocument:
    """What is wanted of a node: JSON bytes, and their digest."""

    digest: Digest
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An update that brings a model file to a satellite.

    Args:
        model: digest of the file.
        base: digest of the weights that must fly.
        update: digest of the update.
        result: digest of the weights that fly afterwards.
    """

    satellite: str
    model: Digest
    base: Digest
    update: Digest
    result: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Samples of a satellite that lie on the ground: ``lines`` of the index at ``path``, counted ``at``."""

    path: str
    lines: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """All that is known of a node.

    Args:
        sequence: the position in the ledger at which anything of this moved last.
        last_contact: when its last session began; ``None`` before the first.
        flying: digest of the weights in service, by its own latest word.
        model: digest of the model file that they come from, if an update was made of one.
        queued_samples, queued_bytes: what waited on board when that session began.
        samples: samples of it that are here.
        waiting: those of them that no training round has used.
        drift: how far what it sees has moved, see :mod:`orbitloop.domain.drift`; ``None``: it has not said enough.
        wanted: digest of the desired state that the ground holds for it.
        taken: digest of the desired state that it has, by its own latest word.
        outcomes: the last word on each update, by the update's digest and, where it was made of a model file, by that
            file's.
        fetched: digest of the selection logic that it fetched last.
        logic: what became of selection logics on board; ``None``: it does not say.
        events: the last event of each subject, by subject.
        exports: where its samples were exported to, by path.
    """

    node: str
    sequence: int
    last_contact: datetime | None = None
    flying: Digest | None = None
    model: Digest | None = None
    queued_samples: int = 0
    queued_bytes: Bytes = Bytes(0)
    samples: int = 0
    waiting: int = 0
    drift: float | None = None
    wanted: Digest | None = None
    taken: Digest | None = None
    fetched: Digest | None = None
    logic: LogicOnBoard | None = None
    outcomes: Mapping[Digest, Outcome]
    events: Mapping[str, NodeEvent]
    exports: tuple[Export, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearings:
    """How far a ledger is: its random name, and how often anything about a node has moved since it was made.

    A ledger that was made anew has another name; what was heard from the one before counts from the start.
    """

    ledger: str
    sequence: int


class NodeKeeper(Protocol):
    """The ledger, as those see it who look after nodes."""

    def set_desired(self, node: str, content: bytes) -> DesiredDocument:
        """Want a node to be like ``content``, durably; the same again changes nothing."""
        ...

    def desired(self, node: str) -> DesiredDocument | None:
        """What is wanted of a node, if anything is."""
        ...

    def bearings(self) -> Bearings:
        """How far the ledger is."""
        ...

    def node_reports(self, after: int) -> list[NodeReport]:
        """Every node of which anything moved behind position ``after``, in that order."""
        ...


class EventLedger(Protocol):
    """Where node events go."""

    def record_events(self, events: NodeEvents, at: datetime) -> int:
        """Keep the last event of each subject, heard at ``at``; returns how many were news. Idempotent."""
        ...


class BuiltLedger(Protocol):
    """Which updates were made of which model files."""

    def flying(self, satellite: str) -> Digest | None:
        """Digest of the weights in service, by the satellite's own latest word."""
        ...

    def record_built(self, built: Built) -> None:
        """An update was made. Idempotent."""
        ...

    def built(self, satellite: str, model: Digest) -> list[Built]:
        """The updates that bring a model file to a satellite, one for each base."""
        ...


class ExportLedger(Protocol):
    """Where samples were exported to."""

    def record_export(self, satellite: str, export: Export) -> None:
        """Samples were exported; the same count again moves nothing."""
        ...
