"""Updates on their way up, one file at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from orbitloop.adapters.durable import naming_full_disk
from orbitloop.domain.digests import digest_of_parts, hexadecimal
from orbitloop.domain.errors import Untrusted
from orbitloop.domain.units import Bytes, Digest


class FolderInbox:
    """The :class:`~orbitloop.ports.gateway.Inbox` on the satellite's disk.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with naming_full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def held(self, update: Digest) -> Bytes:
        """How many bytes of an update are here; what is here of any other is forgotten."""
        path = self._path(update)
        for other in self._folder.glob("*.update"):
            if other != path:
                other.unlink()
        return Bytes(path.stat().st_size if path.exists() else 0)

    def keep(self, update: Digest, start: Bytes, parts: Iterable[bytes]) -> None:
        """Write ``parts`` from ``start`` on, and nothing of what was there before behind it. Raises ``NoSpace``."""
        path = self._path(update)
        with naming_full_disk(path):
            path.touch()
            with path.open("r+b", buffering=0) as file:
                file.truncate(start)
                file.seek(start)
                try:
                    for part in parts:
                        left = memoryview(part)
                        while left:
                            left = left[file.write(left) :]
                finally:
                    os.fsync(file.fileno())

    def take(self, update: Digest) -> Path:
        """The whole update. Raises ``Untrusted``, and forgets it, if its bytes do not match its digest."""
        path = self._path(update)
        with path.open("rb") as file:
            actual = digest_of_parts(iter(lambda: file.read(2**20), b""))
        if actual != update:
            path.unlink()
            raise Untrusted(f"update {update} arrived as {actual}; it was thrown away")
        return path

    def discard(self, update: Digest) -> None:
        """Forget an update; idempotent."""
        self._path(update).unlink(missing_ok=True)

    def _path(self, update: Digest) -> Path:
        return self._folder / f"{hexadecimal(update)}.update"
