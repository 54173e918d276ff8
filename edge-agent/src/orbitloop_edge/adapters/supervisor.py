"""The inference worker as a child process: started again whenever it ends, and never left behind."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from orbitloop_edge.adapters.host import Patience

_log = logging.getLogger(__name__)

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_SETTLED_S = 60.0
"""A worker that lived so long was well: the next one starts at once."""
_GRACE_S = 10.0


class Supervisor:
    """Keeps one child process running while the ``with`` block lasts.

    The child's standard input is a pipe that is never written to: whatever becomes of the parent, it ends there.

    Args:
        command: program and arguments.
        folder: its working folder.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._command = tuple(command)
        self._folder = folder
        self._patience = Patience()
        self._child: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="supervisor")
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """The child that runs, if one does."""
        with self._guard:
            return self._child.pid if self._child is not None and self._child.poll() is None else None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patience.stop()
        with self._guard:
            child = self._child
        if child is not None:
            _end(child)
        self._thread.join()

    def _keep(self) -> None:
        wait = _FIRST_WAIT_S
        while not self._patience.stopped:
            begun = self._patience.monotonic()
            child = self._started()
            if child is not None:
                code = child.wait()
                if child.stdin is not None:
                    child.stdin.close()
                _log.warning("worker_ended", extra={"code": code, "seconds": round(self._patience.monotonic() - begun)})
            if self._patience.monotonic() - begun > _SETTLED_S:
                wait = _FIRST_WAIT_S
            if self._patience.wait(wait):
                return
            wait = min(2 * wait, _LONGEST_WAIT_S)

    def _started(self) -> subprocess.Popen[bytes] | None:
        with self._guard:
            if self._patience.stopped:
                return None
            try:
                self._child = subprocess.Popen(  # noqa: S603  # the command is the operator's own
                    self._command, stdin=subprocess.PIPE, cwd=self._folder
                )
            except OSError as error:
                _log.error("worker_not_started", extra={"command": self._command[0], "why": str(error)})
                return None
            self.starts += 1
            _log.info("worker_started", extra={"worker_pid": self._child.pid, "starts": self.starts})
            return self._child


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
