"""The model that flies, as files for inference workers of the user's own, once the detector on board has proved it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orbitloop.domain.errors import NotYet, OrbitloopError, Refused
from orbitloop.domain.units import Digest
from orbitloop.ports.clock import Clock
from orbitloop.wire.desired_state import HotUpdate, WantedModel, read_desired_state
from orbitloop_edge.usecases.node_events import NodeEvents, Value
from orbitloop_edge.usecases.node_paths import path_on_node

_log = logging.getLogger(__name__)


class FlyingModel(Protocol):
    """What flies."""

    def updated(self) -> Digest | None:
        """Digest of the weights that fly by the last update; ``None``: no update, or the last one did not fly."""
        ...

    def file(self, format: str) -> bytes:  # noqa: A002  # as manifests call it
        """All of it in one file.

        Raises:
            BadInput: it cannot be had in this format, or is damaged.
            NotYet: it is being replaced.
        """
        ...


class ModelFiles(Protocol):
    """Where workers load models from."""

    def replace(self, path: Path, data: bytes) -> Digest:
        """Replace a file, whole and durably; returns its digest. Raises ``NoSpace`` or ``BadInput``."""
        ...

    def announce(self, hot: HotUpdate, name: str, data: bytes, updated: str) -> Digest:
        """Have running workers take it over, unless that is under way; else as :meth:`replace`."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class ServedModels:
    """Keeps the files that the ground wants at what flies. :meth:`apply` may be called by another thread.

    A model that an update has brought is written; what was launched is not, for the workers begin with a file of their
    own. A file is written once for each model, and again after a restart, which changes nothing.

    Args:
        events: is told what was written, as ``model/NAMESPACE/NAME``.
        flying: the model.
        files: where it goes.
        clock: when it was announced.
    """

    events: NodeEvents
    flying: FlyingModel
    files: ModelFiles
    clock: Clock
    _wanted: Mapping[str, WantedModel] = field(default_factory=dict)
    _done: dict[str, tuple[WantedModel, Digest]] = field(default_factory=dict)
    _warned: dict[str, str] = field(default_factory=dict)

    def apply(self, document: bytes) -> None:
        """Keep what a desired state names up to date, and nothing else. Raises ``BadInput``."""
        self._wanted = read_desired_state(document).models

    def names(self) -> tuple[str, ...]:
        """The models that are wanted, ``NAMESPACE/NAME`` of their job."""
        return tuple(sorted(self._wanted))

    def look(self) -> bool:
        """Write what is not up to date; returns whether something has to be tried again soon."""
        wanted = self._wanted
        digest = self.flying.updated() if wanted else None
        if digest is None:
            return False
        late = [name for name, model in wanted.items() if self._done.get(name) != (model, digest)]
        written = [self._write(name, wanted[name], digest) for name in late]
        return not all(written)

    def _write(self, name: str, model: WantedModel, digest: Digest) -> bool:
        """Write one of them; returns whether there is no use in trying it again soon."""
        try:
            file = self._put(model)
        except NotYet as error:
            self._warn(name, str(error))
            return False
        except Refused as error:
            self._warn(name, str(error))
            return self._tell(name, {"flying": digest, "error": str(error)})
        if not self._tell(name, {"flying": digest, "file": file, "error": ""}):
            return False
        self._done[name] = (model, digest)
        self._warned.pop(name, None)
        _log.info("model_served", extra={"model": name, "flying": digest, "file": file})
        return True

    def _tell(self, name: str, said: Value) -> bool:
        try:
            self.events.record(f"model/{name}", said)
        except OrbitloopError as error:
            self._warn(name, str(error))
            return False
        return True

    def _warn(self, name: str, why: str) -> None:
        if self._warned.get(name) != why:  # the same again is no event
            _log.warning("model_not_served", extra={"model": name, "why": why})
            self._warned[name] = why

    def _put(self, model: WantedModel) -> Digest:
        path = path_on_node(model.url)
        data = self.flying.file(model.format)
        if model.hot_update is None:
            return self.files.replace(path, data)
        return self.files.announce(model.hot_update, path.name, data, self.clock.now().isoformat())
