"""Files that arrive in pieces, in any order, over many contacts, by one process or several."""

from __future__ import annotations

import fcntl
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orbitloop.adapters.durable import naming_full_disk, sync_folder, write_durably
from orbitloop.domain.errors import NotYet
from orbitloop.domain.ranges import Span, Spans
from orbitloop.domain.units import Bytes

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_DURABLE = "durable"
_LONGEST_LOG = 128 * 2**10


@functools.cache
def _this_boot() -> str:
    """Names the page cache that written bytes are in; without a name none of them is believed after a restart."""
    return _BOOT.read_text().strip() if _BOOT.exists() else f"process-{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """What the sidecar says: the announced size, what is on disk, and what was written since."""

    size: Bytes | None
    durable: Spans
    written: Spans


class PartialFile:
    """The bytes of one file that are here, and a sidecar that says which.

    A kill loses nothing that was written: every piece is noted as soon as the page cache has it. A power cut loses
    nothing that :meth:`settle` returned: bytes are on disk before the sidecar says so, and notes of another boot that
    no :meth:`settle` followed are not believed. Several processes may write one file; the same bytes at the same place
    do no harm, and the sidecar is changed under a file lock.

    Args:
        path: of the bytes; the sidecar lies beside it, with the suffix ``.spans``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sidecar = path.with_suffix(".spans")

    def begin(self, size: Bytes | None = None) -> None:
        """Start afresh with nothing, durably; ``size`` is what :attr:`size` will say. Raises ``NoSpace``."""
        with naming_full_disk(self.path):
            self.path.touch()
            write_durably(self._sidecar, _sidecar(size, Spans()))

    @property
    def begun(self) -> bool:
        """Whether there is such a file, and its sidecar can be read."""
        return self.path.exists() and self._read() is not None

    @property
    def size(self) -> Bytes | None:
        """The size that was announced, if any was."""
        log = self._read()
        return None if log is None else log.size

    def write(self, start: int, data: bytes | memoryview) -> None:
        """Put ``data`` at ``start``; safe from a kill now, from a power cut after :meth:`settle`.

        Raises:
            NoSpace: the disk is full; what was written before counts.
            NotYet: the file has gone, finished or given up by another process.
        """
        if not len(data):
            return
        with self._locked() as descriptor, naming_full_disk(self.path):
            position = start
            try:
                left = memoryview(data)
                while left:
                    count = os.pwrite(descriptor, left, position)
                    position, left = position + count, left[count:]
            finally:
                if position > start:
                    self._note(start, position)
            if self._sidecar.stat().st_size > _LONGEST_LOG:
                self._settle(descriptor)

    def settle(self) -> Spans:
        """Which bytes are here, all of them durable when this returns; none if it was never begun."""
        try:
            with self._locked() as descriptor:
                return self._settle(descriptor)
        except NotYet:
            return Spans()

    def remove(self) -> None:
        """Forget all of it, durably; idempotent."""
        self.path.unlink(missing_ok=True)
        self._sidecar.unlink(missing_ok=True)
        if self.path.parent.exists():
            sync_folder(self.path.parent)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        try:
            descriptor = os.open(self.path, os.O_RDWR)
        except FileNotFoundError:
            raise NotYet(f"{self.path.name} has gone, finished or given up elsewhere; ask where it stands") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _note(self, start: int, end: int) -> None:
        """Append one line; a line that a full disk cut short is not one, and ends no other."""
        try:
            log = os.open(self._sidecar, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            raise NotYet(f"{self.path.name} has gone, finished or given up elsewhere; ask where it stands") from None
        try:
            os.write(log, f"\n{start} {end} {_this_boot()}\n".encode())
        finally:
            os.close(log)

    def _settle(self, descriptor: int) -> Spans:
        log = self._read()
        if log is None:
            return Spans()
        if not log.written:
            return log.durable
        here = Spans.of((*log.durable, *log.written))
        with naming_full_disk(self.path):
            os.fsync(descriptor)
            write_durably(self._sidecar, _sidecar(log.size, here))
        return here

    def _read(self) -> _Log | None:
        try:
            lines = self._sidecar.read_text(encoding="ascii", errors="replace").splitlines()
            length = self.path.stat().st_size
        except FileNotFoundError:
            return None
        kind, _, size = lines[0].partition(" ") if lines else ("", "", "")
        if kind != "size" or not (size == "unknown" or size.isdecimal()):
            return None  # damaged: what is here cannot be known, and is fetched again
        noted = [words for line in lines[1:] if len(words := line.split()) == 3 and words[0].isdecimal()]
        boot = _this_boot()
        return _Log(
            size=None if size == "unknown" else Bytes(int(size)),
            durable=_union(noted, _DURABLE, length),
            written=_union(noted, boot, length),
        )


def _union(noted: list[list[str]], mark: str, length: int) -> Spans:
    marked = ((int(start), int(end)) for start, end, said in noted if said == mark and end.isdecimal())
    return Spans.of(Span(start, end) for start, end in marked if start < end <= length)


def _sidecar(size: Bytes | None, durable: Spans) -> bytes:
    lines = [f"size {'unknown' if size is None else size}"]
    lines += [f"{span.start} {span.end} {_DURABLE}" for span in durable]
    return ("\n".join(lines) + "\n").encode()
