"""Datasets that the ground wants watched: their samples are counted, and what changes is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from orbitloop.domain.errors import BadInput, OrbitloopError
from orbitloop.domain.index_lines import IndexCount, IndexFormat
from orbitloop.ports.clock import Clock
from orbitloop.wire.desired_state import WantedDataset, read_desired_state
from orbitloop_edge.usecases.node_events import NodeEvents, Value
from orbitloop_edge.usecases.node_paths import path_on_node

_log = logging.getLogger(__name__)

QUIET = timedelta(seconds=2)
"""How long a last line without line feed, or a fault, has to stay before it counts: others write while we look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An index at one moment: what was counted, and the size in bytes up to which."""

    count: IndexCount
    size: int


class Index(Protocol):
    """The index of one dataset."""

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    def look(self) -> Seen:
        """Count what has come since the last look.

        Raises:
            BadInput: it is missing, no file, or cannot be read; as a sentence without its path.
        """
        ...


@dataclass(slots=True, kw_only=True)
class _Watched:
    wanted: WantedDataset
    index: Index | None
    fault: str = ""
    seen: Seen | str | None = None
    since: float = 0.0
    told: int | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Datasets:
    """Looks at the datasets of a node.

    :meth:`apply` may be called by another thread than :meth:`look`.

    Args:
        events: takes counts that changed, as ``dataset/NAMESPACE/NAME``.
        opened: gives the index at a path.
        clock: when it was counted.
        root: folder below which the node's paths are, where this process has a root of its own.
    """

    events: NodeEvents
    opened: Callable[[Path, IndexFormat], Index]
    clock: Clock
    root: Path = Path("/")
    _wanted: Mapping[str, WantedDataset] = field(default_factory=dict)
    _watched: dict[str, _Watched] = field(default_factory=dict)

    def apply(self, document: bytes) -> None:
        """Watch what a desired state names, and nothing else; the same again changes nothing.

        Raises:
            BadInput: it is no desired state.
        """
        wanted = read_desired_state(document).datasets
        if wanted != self._wanted:
            _log.info("datasets_wanted", extra={"datasets": sorted(wanted)})
            self._wanted = wanted

    def names(self) -> tuple[str, ...]:
        """The datasets that are wanted, ``NAMESPACE/NAME``."""
        return tuple(sorted(self._wanted))

    def paths(self) -> frozenset[Path]:
        """The indexes that are watched."""
        return frozenset(one.index.path for one in self._watched.values() if one.index is not None)

    def look(self, now: float) -> bool:
        """Count, and tell what changed; returns whether something has to be looked at again soon.

        Args:
            now: seconds of a clock that only grows.
        """
        self._follow()
        soon = [self._look(name, one, now) for name, one in self._watched.items()]
        return any(soon)

    def _follow(self) -> None:
        wanted = self._wanted
        for name in [name for name, one in self._watched.items() if wanted.get(name) != one.wanted]:
            del self._watched[name]
        for name, dataset in wanted.items():
            if name not in self._watched:
                self._watched[name] = self._begun(name, dataset)

    def _begun(self, name: str, dataset: WantedDataset) -> _Watched:
        try:
            path = path_on_node(dataset.url)
            index = self.opened(self.root / path.relative_to("/"), IndexFormat.of(dataset.format))
        except BadInput as error:
            return _Watched(wanted=dataset, index=None, fault=str(error))
        before = self.events.last(_subject(name)) or {}
        told = before.get("numberOfSamples") if before.get("url") == dataset.url else None
        return _Watched(wanted=dataset, index=index, told=told if isinstance(told, int) else None)

    def _look(self, name: str, one: _Watched, now: float) -> bool:
        """Look at one of them; returns whether to look again soon."""
        if one.index is None:
            return not self._tell(name, one, {"error": one.fault})
        try:
            seen: Seen | str = one.index.look()
        except BadInput as error:
            seen = str(error)
        if seen != one.seen:
            one.seen, one.since = seen, now
        settled = now - one.since >= QUIET.total_seconds()
        match seen:
            case str(fault):
                return not (settled and self._tell(name, one, {"error": fault}))
            case Seen(count=count):
                samples = _samples(count, one.told, settled=settled)
                if not self._tell(name, one, {"numberOfSamples": samples, "error": ""}):
                    return True
                one.told = samples
                return count.begun and not settled

    def _tell(self, name: str, one: _Watched, said: Value) -> bool:
        """Tell it unless it was the last that was told; returns whether that is on disk."""
        subject = _subject(name)
        value: dict[str, JsonValue] = {**said, "url": one.wanted.url}
        before = dict(self.events.last(subject) or {})
        before.pop("updateTime", None)
        if value == before:
            return True
        try:
            self.events.record(subject, {**value, "updateTime": self.clock.now().isoformat()})
        except OrbitloopError as error:
            _log.warning("dataset_not_told", extra={"dataset": name, "why": str(error)})
            return isinstance(error, BadInput)  # which will not be better the next time
        _log.info("dataset_changed", extra={"dataset": name, **said})
        return True


def _subject(name: str) -> str:
    return f"dataset/{name}"


def _samples(count: IndexCount, told: int | None, *, settled: bool) -> int:
    """How many there are. A last line that counted once goes on to count while more is written to it."""
    with_last = count.samples(with_last=True)
    return with_last if settled or with_last == told else count.samples(with_last=False)
