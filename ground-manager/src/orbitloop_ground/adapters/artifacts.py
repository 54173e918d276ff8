"""Updates as files that are about to be served: whole, or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

from orbitloop.domain.digests import digest_of_parts
from orbitloop.domain.errors import NotYet
from orbitloop.domain.units import Digest
from orbitloop.ports.updates import PublishedUpdate, UpdateLedger

_Stamp = tuple[int, int, int]


class Artifacts:
    """Finds updates, and looks whether their files are what was published; again when a file has changed."""

    def __init__(self, ledger: UpdateLedger) -> None:
        self._ledger = ledger
        self._seen: dict[Digest, _Stamp] = {}
        self._guard = threading.Lock()

    def find(self, satellite: str, digest: Digest) -> PublishedUpdate | None:
        """An update of a satellite, ready to be served; ``None`` if none was published.

        Raises:
            NotYet: its file is gone, or no longer what was published.
        """
        update = self._ledger.update(satellite, digest)
        if update is not None and not self._is_whole(update):
            raise NotYet(f"the file of update {digest} is gone or has changed; publish the update again")
        return update

    def _is_whole(self, update: PublishedUpdate) -> bool:
        try:
            stamp = _stamp(update.path)
            with self._guard:
                if self._seen.get(update.digest) == stamp:
                    return True
            with update.path.open("rb") as file:
                whole = digest_of_parts(iter(lambda: file.read(2**20), b"")) == update.digest
        except FileNotFoundError:
            return False
        if whole:
            with self._guard:
                self._seen[update.digest] = stamp
        return whole


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
