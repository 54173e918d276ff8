"""Selection logics that satellites are offered: one file each, in a folder of the gateway's."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from orbitloop.adapters.durable import naming_full_disk, sync_folder, write_durably
from orbitloop.domain.digests import digest_of, digest_of_parts
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.node_ledger import Artifact
from orbitloop.wire.messages import MOST_SELECTION
from orbitloop.wire.selection_file import unpack_selection
from orbitloop.wire.update import Verify
from orbitloop_ground.usecases.nodes import TooLarge
from orbitloop_ground.usecases.selections import OnOffer

_log = logging.getLogger(__name__)

_SUFFIX, _NOTE = ".ols", ".json"
_note: TypeAdapter[OnOffer] = TypeAdapter(OnOffer)


class FolderSelections:
    """What each satellite is offered; beside it, in a note, what operators had offered last.

    The note is written first: what it does not speak of was offered by a person, and operators let it be.

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
            BadInput: it is no selection logic, or no newer than the one that is offered.
            TooLarge: it is larger than a satellite fetches.
            NoSpace: the disk is full; what was offered before stays.
        """
        target = self._path(satellite, _SUFFIX)
        data = read_selection(path)
        version = unpack_selection(data, verify).version
        if target.exists() and (before := target.read_bytes()) != data:
            offered = unpack_selection(before, verify).version
            if version <= offered:
                raise BadInput(
                    f"{path}: version {version} is no newer than {offered}, which {satellite} is offered; transform "
                    "again with a higher --version"
                )
        self._make_folder()
        write_durably(target, data)
        return digest_of(data)

    def offered(self, satellite: str) -> Artifact | None:
        """What a satellite is offered, if anything."""
        path = self._path(satellite, _SUFFIX)
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

    def content(self, satellite: str) -> bytes | None:
        """The file that a satellite is offered, whoever had it offered."""
        try:
            return self._path(satellite, _SUFFIX).read_bytes()
        except FileNotFoundError:
            return None

    def noted(self, satellite: str) -> OnOffer | None:
        """What operators had offered last, whether it is on offer still or not; ``None`` where the note is damaged."""
        path = self._path(satellite, _NOTE)
        try:
            return _note.validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            _log.warning("selection_note_damaged", extra={"path": str(path)})
            return None

    def commissioned(self, satellite: str) -> OnOffer | None:
        """The same, if it is on offer now."""
        note = self.noted(satellite) if _is_name(satellite) else None
        return note if note is not None and self.find(satellite, note.digest) is not None else None

    def commission(self, satellite: str, data: bytes, note: OnOffer) -> None:
        """Offer ``data`` from the next contact on, durably. Raises ``NoSpace``; what was offered before stays."""
        self._make_folder()
        write_durably(self._path(satellite, _NOTE), json.dumps(asdict(note)).encode())
        write_durably(self._path(satellite, _SUFFIX), data)

    def withdraw(self, satellite: str) -> bool:
        """Offer it no more, if operators had it offered; whether that was so. The note stays, for its version."""
        if self.commissioned(satellite) is None:
            return False
        self._path(satellite, _SUFFIX).unlink(missing_ok=True)
        sync_folder(self._folder)
        return True

    def _make_folder(self) -> None:
        with naming_full_disk(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)

    def _path(self, satellite: str, suffix: str) -> Path:
        if not _is_name(satellite):
            raise BadInput(f"{satellite!r} cannot be a satellite's name")
        return self._folder / f"{satellite}{suffix}"


def _is_name(satellite: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", satellite) is not None


def read_selection(path: Path) -> bytes:
    """The bytes of a selection logic's file.

    Raises:
        BadInput: there is none, or it cannot be read.
        TooLarge: it is larger than a satellite fetches.
    """
    try:
        if not path.is_file():
            raise BadInput(f"{path}: cannot be read (there is no such file here); give the file that transform wrote")
        if (size := path.stat().st_size) > MOST_SELECTION:
            raise TooLarge(f"{path}: {size} bytes are more than the {MOST_SELECTION} that a satellite fetches")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); let the gateway read it") from error
