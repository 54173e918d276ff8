"""An index on disk, of which only what is new is read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from orbitloop.domain.errors import BadInput
from orbitloop.domain.index_lines import IndexCount, IndexFormat
from orbitloop_edge.usecases.datasets import Seen

_CHUNK = 2**18
_TAIL = 256
"""Bytes before the end that are compared, to tell a file that has grown from one that was written anew."""


class IndexFile:
    """The :class:`~orbitloop_edge.usecases.datasets.Index` that is a file.

    What was appended is read, and nothing twice. A file that became shorter, was replaced by another, or was changed in
    place, as far as its size, its time or the bytes before its old end show, is read from the start.

    Args:
        path: absolute.
        format: how it is written.
    """

    def __init__(self, path: Path, format: IndexFormat) -> None:  # noqa: A002  # as manifests call it
        self._path = path
        self._empty = IndexCount(format=format)
        self._forget()

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._path

    def look(self) -> Seen:
        """Count what has come since the last look.

        Raises:
            BadInput: it is missing, no file, or cannot be read.
        """
        try:
            found = self._path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise BadInput("it is no file; name the file that lists one sample a line")
            if _state(found) != self._state:
                self._read()
        except FileNotFoundError:
            self._forget()
            raise BadInput("there is no such file; create it, or correct the url of the Dataset") from None
        except OSError as error:
            self._forget()
            raise BadInput(f"it cannot be read: {error.strerror}; check its permissions and its disk") from None
        return Seen(count=self._count, size=self._size)

    def _forget(self) -> None:
        self._state: tuple[int, int, int, int] | None = None
        self._count, self._size, self._tail = self._empty, 0, b""

    def _read(self) -> None:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)  # whatever took its place since, it does not wait
        try:
            found = os.fstat(descriptor)
            if not self._has_grown(descriptor, found):
                self._forget()
            while chunk := os.pread(descriptor, _CHUNK, self._size):
                self._count = self._count.after(chunk)
                self._size += len(chunk)
                self._tail = (self._tail + chunk)[-_TAIL:]
            self._state = _state(found)
        finally:
            os.close(descriptor)

    def _has_grown(self, descriptor: int, found: os.stat_result) -> bool:
        """Whether it is the file that was read before, and more."""
        if self._state is None or self._state[:2] != (found.st_dev, found.st_ino) or found.st_size <= self._size:
            return False
        return os.pread(descriptor, len(self._tail), self._size - len(self._tail)) == self._tail


def _state(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
