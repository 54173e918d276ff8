"""Where received files lie: partial ones in quarantine, whole ones under the name of their digest."""

from __future__ import annotations

from pathlib import Path

from orbitloop.adapters.cfdp.reception import Reception
from orbitloop.adapters.cfdp.values import Listener, ReceivedFile, TransactionKey
from orbitloop.adapters.durable import naming_full_disk, sync_folder
from orbitloop.domain.digests import digest_of_parts, hexadecimal
from orbitloop.domain.errors import OrbitloopError
from orbitloop.domain.paths import contained_path
from orbitloop.domain.units import Bytes

_CHUNK = 2**20


class Inbox:
    """A folder of received files. Made if it is not there; what a killed process left in quarantine is removed.

    Args:
        folder: the folder.
        listener: who is handed a whole file.
    """

    def __init__(self, folder: Path, listener: Listener) -> None:
        self._folder = folder
        self._listener = listener
        self._quarantine = folder / ".quarantine"
        with naming_full_disk(folder):
            self._quarantine.mkdir(parents=True, exist_ok=True)
        for part in self._quarantine.glob("*.part"):
            part.unlink()

    @property
    def sequence(self) -> Path:
        """Where the entity's sequence number is kept."""
        return self._folder / ".sequence"

    def part(self, key: TransactionKey) -> Path:
        """Where a file lies until it is whole and checked."""
        return contained_path(self._quarantine, f"{key}.part")

    def deliver(self, reception: Reception, part: Path) -> None:
        """Move a whole file out of quarantine and hand it over. Raises what the listener refuses it with."""
        with part.open("rb") as file:
            digest = digest_of_parts(iter(lambda: file.read(_CHUNK), b""))
        size = Bytes(part.stat().st_size)
        path = contained_path(self._folder, hexadecimal(digest))
        with naming_full_disk(path):
            part.replace(path)
            sync_folder(self._folder)
        announced = "" if reception.identity.announced is None else reception.identity.announced[1]
        try:
            self._listener.received(
                ReceivedFile(key=reception.key, path=path, size=size, digest=digest, announced=announced)
            )
        except OrbitloopError:
            path.unlink(missing_ok=True)
            raise
