"""Blobs in a folder: one file for each, named by its digest."""

from __future__ import annotations

import ctypes
import fcntl
import os
import secrets
import weakref
from collections.abc import Mapping
from pathlib import Path

from orbitloop.adapters.durable import discard_unfinished, naming_full_disk, sync_folder, write_unlisted
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, Untrusted
from orbitloop.domain.units import Digest

_MANY = 16
"""Files from which on flushing the whole volume is quicker than flushing each."""


class FolderBlobs:
    """The :class:`~orbitloop.ports.sample_store.Blobs` of one machine; spread over 256 subfolders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with naming_full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            in_use = os.open(folder / ".in-use", os.O_RDWR | os.O_CREAT, 0o600)
        weakref.finalize(self, os.close, in_use)
        try:
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for shelf in folder.glob("??"):
                discard_unfinished(shelf)
        except BlockingIOError:
            pass  # another gateway is writing here
        fcntl.flock(in_use, fcntl.LOCK_SH)

    def put(self, blobs: Mapping[Digest, bytes]) -> None:
        """Store all of ``blobs`` durably; what is there already stays.

        Raises:
            NoSpace: the disk is full; some of the blobs may be there, under their right names.
        """
        missing = {path: data for digest, data in blobs.items() if not (path := self.path(digest)).exists()}
        shelves = {path.parent for path in missing}
        with naming_full_disk(self._folder):
            for shelf in shelves:
                shelf.mkdir(exist_ok=True)
            if len(missing) < _MANY:
                for path, data in missing.items():
                    write_unlisted(path, data)
                for folder in [*shelves, self._folder]:
                    sync_folder(folder)
            else:
                self._put_many(missing)

    def _put_many(self, missing: Mapping[Path, bytes]) -> None:
        """All of them by two flushes of the volume instead of one a file, each of which would wait for the disk."""
        unfinished = {path: path.parent / f".{secrets.token_hex(8)}.unfinished" for path in missing}
        try:
            for path, data in missing.items():
                unfinished[path].write_bytes(data)
            _sync_volume(self._folder)  # bytes first: a name must never stand for less than all of them
            for path, written in unfinished.items():
                written.replace(path)
        except BaseException:
            for written in unfinished.values():
                written.unlink(missing_ok=True)
            raise
        _sync_volume(self._folder)

    def get(self, digest: Digest) -> bytes:
        """The bytes of ``digest``.

        Raises:
            BadInput: there are none.
            Untrusted: the disk has damaged them.
        """
        path = self.path(digest)
        if not path.is_file():
            raise BadInput(f"no blob {digest} in {self._folder}")
        data = path.read_bytes()
        if digest_of(data) != digest:
            raise Untrusted(f"{path} is damaged: it does not match its name; restore it from a backup")
        return data

    def path(self, digest: Digest) -> Path:
        """Where the bytes of ``digest`` lie, if they are there."""
        name = hexadecimal(digest)
        return self._folder / name[:2] / name


def _sync_volume(folder: Path) -> None:
    """syncfs(2): everything that was written to the volume of ``folder`` is on disk."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
