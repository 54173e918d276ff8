"""The last words of a worker: its result, in the file from which Kubernetes takes a container's termination message.

``{"kind", "status", "results": [{"format", "url", "digest", "metrics"}], "message"}``, in at most 4,096 bytes, which
is what the kubelet reads of a container's; see :func:`orbitloop.wire.results.fitted` for what goes where that is too
little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orbitloop.wire.results import as_json, fitted
from orbitloop.wire.worker_messages import WorkerKind, WorkerStatus
from orbitloop.worker.log import LOGGER

LONGEST = 4096
"""Bytes of a termination message that the kubelet reads."""
_PARTS = ("format", "url", "digest", "metrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastWords:
    """What a worker did.

    Args:
        kind: of work.
        status: completed or failed.
        results: models, newest first, each with ``format``, ``url``, and where they are known ``digest``, ``metrics``.
        message: why it failed.
    """

    kind: WorkerKind
    status: WorkerStatus
    results: Sequence[Mapping[str, Any]] = ()
    message: str = ""

    def body(self) -> bytes:
        """The JSON, in at most :data:`LONGEST` bytes."""
        results = [{part: result[part] for part in _PARTS if part in result} for result in self.results]
        said = {"kind": self.kind, "status": self.status, "results": results, "message": self.message}
        return as_json(fitted(said, LONGEST))

    def leave(self, path: str) -> None:
        """Write them to ``path``; none where it is empty. What goes wrong is logged: the work is done all the same.

        The file is written in place: in a container it is a mount of its own, which nothing can be renamed over.
        """
        if not path:
            return
        try:
            Path(path).write_bytes(self.body())
        except OSError as error:
            LOGGER.error("the result was not left in %s: %s; check ORBITLOOP_TERMINATION_LOG", path, error)
