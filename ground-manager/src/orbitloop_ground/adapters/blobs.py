"""Blobs in a folder: one file for each, named by its digest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orbitloop.adapters.durable import discard_unfinished, naming_full_disk, sync_folder, write_unlisted
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, Untrusted
from orbitloop.domain.units import Digest


class FolderBlobs:
    """The :class:`~orbitloop.ports.sample_store.Blobs` of one machine; spread over 256 subfolders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with naming_full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for shelf in folder.iterdir():
            discard_unfinished(shelf)

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
            for path, data in missing.items():
                write_unlisted(path, data)
            for folder in [*shelves, self._folder]:
                sync_folder(folder)

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
