"""The composition root of what a satellite looks after beside its own detector: workers, their models, datasets."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from orbitloop.ports.clock import Clock
from orbitloop_edge.adapters.file_changes import FileChanges
from orbitloop_edge.adapters.host import Patience
from orbitloop_edge.adapters.index_file import IndexFile
from orbitloop_edge.adapters.model_files import AnnouncedUpdates, NodeModelFiles, SlotsModel
from orbitloop_edge.adapters.node_events import NodeEventsFile
from orbitloop_edge.controller import Node
from orbitloop_edge.http.local_controller import LocalControllerServer, Routes
from orbitloop_edge.satellite_file import LocalControllerTable
from orbitloop_edge.usecases.datasets import QUIET, Datasets
from orbitloop_edge.usecases.node_channel import ToldState
from orbitloop_edge.usecases.served_models import ServedModels
from orbitloop_edge.usecases.worker_reports import WorkerReports

_BETWEEN_LOOKS_S = 0.2
"""So often at most, however fast an index grows, or other files in its folder come and go."""


class LocalNode:
    """Keeps what happens at the node; while its block lasts, workers report to it, and get the model that flies.

    Args:
        folder: of the satellite.
        table: where it listens, and how often it looks.
        clock: what time it is on board.
        patience: seconds that only grow.

    Raises:
        BadInput: its port is taken.
        NoSpace: the disk is full.
    """

    def __init__(self, folder: Path, table: LocalControllerTable, clock: Clock, patience: Patience) -> None:
        self._table = table
        self._patience = patience
        self._end = threading.Event()
        self.events = NodeEventsFile(folder / "node" / "events.db", clock)
        self._changes = FileChanges.best()
        self._datasets = Datasets(events=self.events, opened=IndexFile, clock=clock, root=table.root)
        self._slots = SlotsModel(folder / "slots")
        self._models = ServedModels(
            events=self.events, flying=self._slots, files=NodeModelFiles(table.root, table.model_folders), clock=clock
        )
        reports = WorkerReports(events=self.events, answers=AnnouncedUpdates(table.root), mode=table.mode)
        routes = Routes(reports=reports, state=self._state)
        try:
            self._server = LocalControllerServer(table.listen, table.port, routes)
        except BaseException:
            self._close()
            raise
        self._keeper = threading.Thread(target=self._look_after, name="node")

    def __enter__(self) -> Self:
        self._server.__enter__()
        self._keeper.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end.set()
        self._changes.wake()
        self._keeper.join()
        self._server.__exit__()
        self._close()

    def _close(self) -> None:
        self._changes.close()
        self.events.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    @property
    def node(self) -> Node:
        """What contact sessions carry of it."""
        return Node(events=self.events, desired=ToldState(self, self.events))

    def apply(self, document: bytes) -> None:
        """Bring the node towards a desired state. Raises ``BadInput``."""
        self._models.apply(document)
        self._datasets.apply(document)
        self._changes.wake()

    def _look_after(self) -> None:
        while not self._end.is_set():
            soon = self._datasets.look(self._patience.monotonic())
            soon = self._models.look() or soon
            if not self._changes.follow({*self._datasets.paths(), self._slots.state}):
                self._rest(QUIET.total_seconds() if soon else self._table.poll_seconds)

    def _rest(self, seconds: float) -> None:
        """Wait for news, at most so long."""
        until = self._patience.monotonic() + seconds
        while (left := until - self._patience.monotonic()) > 0 and not self._changes.wait(left):
            if self._end.wait(_BETWEEN_LOOKS_S):  # other files changed, or the time is over
                return
        self._end.wait(_BETWEEN_LOOKS_S)

    def _state(self) -> Mapping[str, Any]:
        return {
            "datasets": {name: self.events.last(f"dataset/{name}") for name in self._datasets.names()},
            "models": {name: self.events.last(f"model/{name}") for name in self._models.names()},
            "eventsWaiting": len(self.events.pending(0)),
        }
