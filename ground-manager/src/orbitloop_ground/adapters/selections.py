"""Selection logics that satellites are offered: one file each, in a folder of the gateway's."""

from __future__ import annotations

from pathlib import Path

from orbitloop.adapters.durable import naming_full_disk, write_durably
from orbitloop.domain.digests import digest_of, digest_of_parts
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.node_ledger import Artifact
from orbitloop.wire.messages import MOST_SELECTION
from orbitloop.wire.selection_file import unpack_selection
from orbitloop.wire.update import Verify

_SUFFIX = ".ols"


class FolderSelections:
    """What each satellite is offered.

    Gateways that share a ledger but no folder have to be given a logic each.

    Args:
        folder: made when the first logic is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[int, int, Artifact]] = {}

    def offer(self, satellite: str, path: Path, verify: Verify) -> Digest:
        """Offer a file to a satellite from its next contact on; returns its digest. Idempotent.

        Raises:
            Untrusted: it was not signed by the ground's key: the satellite would not fly it.
            BadInput: it is no selection logic, too large to be fetched, or no newer than the one that is offered.
            NoSpace: the disk is full; what was offered before stays.
        """
        target = self._path(satellite)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadInput(f"{path}: cannot be read ({error.strerror}); give the file that transform wrote") from error
        if len(data) > MOST_SELECTION:
            raise BadInput(f"{path}: {len(data)} bytes are more than the {MOST_SELECTION} that a satellite fetches")
        version = unpack_selection(data, verify).version
        if target.exists() and (before := target.read_bytes()) != data:
            offered = unpack_selection(before, verify).version
            if version <= offered:
                raise BadInput(
                    f"{path}: version {version} is no newer than {offered}, which {satellite} is offered; transform "
                    "again with a higher --version"
                )
        with naming_full_disk(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        write_durably(target, data)
        return digest_of(data)

    def offered(self, satellite: str) -> Artifact | None:
        """What a satellite is offered, if anything."""
        path = self._path(satellite)
        try:
            stat = path.stat()
            known = self._known.get(satellite)
            if known is not None and known[:2] == (stat.st_mtime_ns, stat.st_ino):
                return known[2]
            with path.open("rb") as file:
                digest = digest_of_parts(iter(lambda: file.read(2**20), b""))
        except FileNotFoundError:
            return None
        found = Artifact(digest=digest, size=Bytes(stat.st_size), path=path)
        self._known[satellite] = (stat.st_mtime_ns, stat.st_ino, found)
        return found

    def find(self, satellite: str, digest: Digest) -> Artifact | None:
        """The logic that a satellite is offered, if it is the one that it asks for."""
        found = self.offered(satellite)
        return found if found is not None and found.digest == digest else None

    def _path(self, satellite: str) -> Path:
        if not satellite or "/" in satellite or satellite.startswith("."):
            raise BadInput(f"{satellite!r} cannot be a satellite's name")
        return self._folder / f"{satellite}{_SUFFIX}"
