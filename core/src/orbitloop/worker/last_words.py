"""The last words of a worker: its result, in the file from which Kubernetes takes a container's termination message.

``{"kind", "status", "results": [{"format", "url", "digest", "metrics"}], "message"}``, in at most 4,096 bytes, which
is what the kubelet reads of a container's. Where that is too little, metrics are left out first, the longest ones
before others and always in all results, and ``message`` says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orbitloop.wire.worker_messages import WorkerKind, WorkerStatus
from orbitloop.worker.log import LOGGER

LONGEST = 4096
"""Bytes of a termination message that the kubelet reads."""
_LONGEST_MESSAGE = 1024
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
        message = self.message
        body = self._written(results, message)
        left_out: list[str] = []
        while len(body) > LONGEST and (name := _longest_metric(results)):
            results = [_without(result, name) for result in results]
            left_out.append(name)
            body = self._written(results, _with_note(message, left_out))
        if len(body) > LONGEST:
            message = _shortened(message)
            body = self._written(results, _with_note(message, left_out))
        while len(body) > LONGEST and results:
            results = results[:-1]
            body = self._written(results, _shortened(f"models were left out for lack of room; {message}"))
        return body

    def _written(self, results: Sequence[Mapping[str, Any]], message: str) -> bytes:
        said = {"kind": self.kind, "status": self.status, "results": list(results), "message": message}
        return json.dumps(said, separators=(",", ":")).encode()

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


def _longest_metric(results: Sequence[Mapping[str, Any]]) -> str:
    lengths: dict[str, int] = {}
    for result in results:
        for name, value in (result.get("metrics") or {}).items():
            lengths[name] = lengths.get(name, 0) + len(json.dumps([name, value]))
    return max(lengths, key=lambda name: (lengths[name], name), default="")


def _without(result: Mapping[str, Any], name: str) -> dict[str, Any]:
    metrics = {key: value for key, value in (result.get("metrics") or {}).items() if key != name}
    return {**result, "metrics": metrics} if "metrics" in result else dict(result)


def _with_note(message: str, left_out: Sequence[str]) -> str:
    if not left_out:
        return message
    names = ", ".join(left_out)
    shown = names if len(names) <= 200 else f"{names[:200]}… ({len(left_out)} in all)"
    note = f"metrics left out, because a termination message takes {LONGEST} bytes: {shown}"
    return f"{message}; {note}" if message else note


def _shortened(message: str) -> str:
    """As much of the message as fits, written as JSON."""
    lean = message
    while len(json.dumps(lean)) > _LONGEST_MESSAGE:
        lean = lean[: len(lean) * 3 // 4]
    return lean if lean == message else f"{lean}…"
