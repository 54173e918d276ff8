"""Bundles on their way in, as files: what arrived survives the end of the connection and of the gateway."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path

from orbitloop.adapters.durable import naming_full_disk
from orbitloop.adapters.partial import PartialFile
from orbitloop.domain.digests import hexadecimal
from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.uploads import Upload


class FolderUploads:
    """The :class:`~orbitloop.ports.uploads.Uploads` of one gateway, or of several on one folder.

    Each upload is a :class:`~orbitloop.adapters.partial.PartialFile`.

    Args:
        folder: one subfolder for each satellite is made in it.
        most: uploads that one satellite may have open at a time.
        idle: how long after its last byte an upload is given up when another needs its place.
    """

    def __init__(self, folder: Path, clock: Clock, *, most: int = 4, idle: timedelta = timedelta(days=2)) -> None:
        self._folder = folder
        self._clock = clock
        self._most = most
        self._idle = idle
        self._guard = threading.Lock()

    def open(self, satellite: str, digest: Digest, size: Bytes) -> Upload:
        """Begin an upload, or find the one that was begun, which may have another size.

        Raises:
            NotYet: the satellite has too many open.
            NoSpace: the disk is full.
        """
        with self._guard:
            if (begun := self.find(satellite, digest)) is not None:
                return begun
            part = self._part(satellite, digest)
            with naming_full_disk(part.path):
                part.path.parent.mkdir(parents=True, exist_ok=True)
                self._make_room(satellite)
            part.begin(size)
            self._mark(part.path)
            return Upload(satellite=satellite, digest=digest, size=size)

    def find(self, satellite: str, digest: Digest) -> Upload | None:
        """An upload that was begun, what it holds durable when this returns."""
        part = self._part(satellite, digest)
        if not part.begun or (size := part.size) is None:
            return None
        return Upload(satellite=satellite, digest=digest, size=size, held=part.settle())

    def write(self, upload: Upload, start: int, data: bytes) -> Upload:
        """Write ``data`` at ``start``; a kill does not lose it, and after the next :meth:`find` nothing does.

        Raises:
            BadInput: bytes behind the announced size.
            NoSpace: the disk is full; what was written of ``data`` counts.
            NotYet: the upload was finished or given up meanwhile.
        """
        end = start + len(data)
        if start < 0 or end > upload.size:
            raise BadInput(f"bundle {upload.digest} was announced with {upload.size} bytes, {end} came")
        part = self._part(upload.satellite, upload.digest)
        part.write(start, data)
        self._mark(part.path)
        held = upload.held.add(start, end)
        return Upload(satellite=upload.satellite, digest=upload.digest, size=upload.size, held=held)

    def content(self, upload: Upload) -> bytes:
        """Every byte that arrived. Raises ``NotYet`` if the upload was finished or given up meanwhile."""
        try:
            return self._part(upload.satellite, upload.digest).path.read_bytes()
        except FileNotFoundError:
            raise NotYet(f"bundle {upload.digest} was finished or given up elsewhere; ask where it stands") from None

    def discard(self, upload: Upload) -> None:
        """Forget an upload; idempotent."""
        self._part(upload.satellite, upload.digest).remove()

    def _make_room(self, satellite: str) -> None:
        opened = sorted((self._folder / satellite).glob("*.part"))
        now = self._clock.now().timestamp()
        alive = [path for path in opened if now - path.stat().st_mtime < self._idle.total_seconds()]
        if len(alive) >= self._most:
            raise NotYet(
                f"{satellite} has {len(alive)} unfinished bundles here, the most is {self._most}; finish or delete one",
                retry_after=timedelta(minutes=1),
            )
        for path in set(opened) - set(alive):
            PartialFile(path).remove()

    def _mark(self, path: Path) -> None:
        now = self._clock.now().timestamp()
        if path.exists():
            os.utime(path, (now, now))

    def _part(self, satellite: str, digest: Digest) -> PartialFile:
        return PartialFile(self._folder / satellite / f"{hexadecimal(digest)}.part")
