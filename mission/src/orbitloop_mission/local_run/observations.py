"""What this machine, as each of the nodes that it plays, says of datasets and workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orbitloop.ports.clock import Clock
from orbitloop_operators.handlers.changes import Document
from orbitloop_operators.handlers.node_reports import report_document


class Observations:
    """The last word about each subject, by node.

    Args:
        clock: when a node was heard.
        tell: given the whole report of a node whenever it has something new.
    """

    def __init__(self, clock: Clock, tell: Callable[[Document], object]) -> None:
        self._clock = clock
        self._tell = tell
        self._said: dict[str, dict[str, dict[str, Any]]] = {}
        self._version = 0

    def dataset(self, node: str, name: str, said: Mapping[str, Any]) -> None:
        """A node says something of a dataset, ``NAMESPACE/NAME``."""
        self._put(node, "datasets", name, said)

    def worker(self, node: str, name: str, said: Mapping[str, Any]) -> None:
        """A worker on a node, ``NAMESPACE/NAME``, has reported."""
        self._put(node, "workers", name, said)

    def _put(self, node: str, subject: str, name: str, said: Mapping[str, Any]) -> None:
        self._said.setdefault(node, {}).setdefault(subject, {})[name] = dict(said)
        self._version += 1
        observed: dict[str, Any] = {part: dict(entries) for part, entries in self._said[node].items()}
        self._tell(report_document(node, self._version, observed | {"lastContact": self._clock.now().isoformat()}))
