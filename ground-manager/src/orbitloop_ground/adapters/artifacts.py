"""What satellites fetch, as files that are about to be served: whole, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from orbitloop.adapters.durable import naming_full_disk, write_durably
from orbitloop.domain.digests import digest_of_parts, hexadecimal
from orbitloop.domain.errors import NotYet
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.node_ledger import Artifact, DesiredDocument
from orbitloop.ports.updates import PublishedUpdate

_Stamp = tuple[int, int, int]


class Published(Protocol):
    """The ledger, where it says what a satellite may fetch."""

    def update(self, satellite: str, digest: Digest) -> PublishedUpdate | None:
        """A published update."""
        ...

    def desired(self, node: str) -> DesiredDocument | None:
        """What is wanted of a node, if anything is."""
        ...


class Artifacts:
    """Finds updates, desired states and what else there is, and looks whether their files are what was published; again
    when one changed.

    Args:
        ledger: what was published.
        folder: where desired states become files, which the ledger keeps as bytes; made when the first does.
        others: what else a satellite may fetch: chunks of models that were laid out for it, its selection logic.
    """

    def __init__(self, ledger: Published, folder: Path, *others: Callable[[str, Digest], Artifact | None]) -> None:
        self._others = others
        self._ledger = ledger
        self._folder = folder
        self._seen: dict[Digest, _Stamp] = {}
        self._guard = threading.Lock()

    def find(self, satellite: str, digest: Digest) -> Artifact | None:
        """What a satellite may fetch, ready to be served; ``None`` if no such thing was published for it.

        Raises:
            NotYet: an update's file is gone, or no longer what was published.
            NoSpace: the disk is full.
        """
        update = self._ledger.update(satellite, digest)
        if update is None:
            found_there = (find(satellite, digest) for find in (self._desired, *self._others))
            return next((found for found in found_there if found is not None), None)
        found = Artifact(digest=update.digest, size=update.size, path=update.path)
        if not self._is_whole(found):
            raise NotYet(f"the file of update {digest} is gone or has changed; publish the update again")
        return found

    def _desired(self, node: str, digest: Digest) -> Artifact | None:
        wanted = self._ledger.desired(node)
        if wanted is None or wanted.digest != digest:
            return None
        path = self._folder / node / f"{hexadecimal(digest)}.json"
        found = Artifact(digest=digest, size=Bytes(len(wanted.content)), path=path)
        if not self._is_whole(found):
            with naming_full_disk(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            for before in path.parent.glob("*.json"):
                before.unlink(missing_ok=True)
            write_durably(path, wanted.content)
        return found

    def _is_whole(self, artifact: Artifact) -> bool:
        try:
            stamp = _stamp(artifact.path)
            with self._guard:
                if self._seen.get(artifact.digest) == stamp:
                    return True
            with artifact.path.open("rb") as file:
                whole = digest_of_parts(iter(lambda: file.read(2**20), b"")) == artifact.digest
        except FileNotFoundError:
            return False
        if whole:
            with self._guard:
                self._seen[artifact.digest] = stamp
        return whole


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
