"""Bundles on their way in, as files: what arrived survives the end of the connection and of the gateway."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path

from orbitloop.adapters.durable import naming_full_disk, sync_file, sync_folder, write_durably
from orbitloop.domain.digests import hexadecimal
from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.uploads import Upload


class FolderUploads:
    """The :class:`~orbitloop.ports.uploads.Uploads` of one gateway.

    A file of the bytes that arrived, and beside it one with the size that was announced.

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
            path = self._path(satellite, digest)
            with naming_full_disk(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._make_room(satellite)
                path.touch()
                self._mark(path)
            write_durably(self._announced(path), str(size).encode())
            return Upload(satellite=satellite, digest=digest, size=size, offset=Bytes(0))

    def find(self, satellite: str, digest: Digest) -> Upload | None:
        """An upload that was begun, its offset durable when this returns."""
        path = self._path(satellite, digest)
        announced = self._announced(path)
        if not (path.exists() and announced.exists()):
            return None
        sync_file(path)
        size = int(announced.read_bytes())
        return Upload(satellite=satellite, digest=digest, size=Bytes(size), offset=Bytes(path.stat().st_size))

    def append(self, upload: Upload, data: bytes) -> Upload:
        """Write ``data`` behind ``upload.offset``.

        Raises:
            BadInput: more bytes than were announced.
            NoSpace: the disk is full; what was written of ``data`` counts.
        """
        end = upload.offset + len(data)
        if end > upload.size:
            raise BadInput(f"bundle {upload.digest} was announced with {upload.size} bytes, {end} came")
        path = self._path(upload.satellite, upload.digest)
        with naming_full_disk(path), path.open("r+b", buffering=0) as file:
            file.seek(upload.offset)
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
        self._mark(path)
        return Upload(satellite=upload.satellite, digest=upload.digest, size=upload.size, offset=Bytes(end))

    def content(self, upload: Upload) -> bytes:
        """Every byte that arrived."""
        return self._path(upload.satellite, upload.digest).read_bytes()

    def discard(self, upload: Upload) -> None:
        """Forget an upload; idempotent."""
        self._remove(self._path(upload.satellite, upload.digest))

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
            self._remove(path)

    def _mark(self, path: Path) -> None:
        now = self._clock.now().timestamp()
        os.utime(path, (now, now))

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._announced(path).unlink(missing_ok=True)
        if path.parent.exists():
            sync_folder(path.parent)

    def _path(self, satellite: str, digest: Digest) -> Path:
        return self._folder / satellite / f"{hexadecimal(digest)}.part"

    @staticmethod
    def _announced(path: Path) -> Path:
        return path.with_suffix(".size")
