"""Whom the gateway turns away although their certificate is the authority's, and the link keys of those it does not."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.errors import BadInput
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.messages import Name

_LINK_KEY = 32
_name: TypeAdapter[str] = TypeAdapter(Name)


class Revocation(BaseModel):
    """A certificate that is not taken any more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    satellite: Name
    at: AwareDatetime


_entries: TypeAdapter[dict[str, Revocation]] = TypeAdapter(dict[str, Revocation])


class RevocationList:
    """Serial numbers in a JSON file, by lower-case hexadecimal; read again whenever the file changes.

    Raises:
        BadInput: on use, the file is damaged: nobody is let in on the strength of a list that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._entries: dict[str, Revocation] = {}

    def __contains__(self, serial: object) -> bool:
        return f"{serial:x}" in self._read()

    def add(self, satellite: str, serials: Iterable[int], at: datetime) -> None:
        """Revoke certificates, durably."""
        new = {f"{serial:x}": Revocation(satellite=satellite, at=at) for serial in serials}
        write_durably(self._path, _entries.dump_json(self._read() | new, indent=2))

    def _read(self) -> dict[str, Revocation]:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return {}
        now = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if now != self._seen:
            try:
                self._entries = _entries.validate_json(self._path.read_bytes())
            except ValidationError as error:
                raise BadInput(f"{self._path}: {first_complaint(error)}; restore it from a copy") from error
            except OSError as error:
                raise BadInput(f"{self._path}: {error.strerror}; let the gateway read it") from error
            self._seen = now
        return self._entries


class LinkKeys:
    """The keys of the satellites' datagram links, as they are at the moment.

    Args:
        folder: one file of 32 bytes for each satellite.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, satellite: str) -> bytes | None:
        """The key that is shared with ``satellite``; ``None`` for strangers and the revoked.

        Raises:
            BadInput: its file is damaged, or cannot be read.
        """
        try:
            key = (self._folder / f"{_name.validate_python(satellite)}.key").read_bytes()
        except (ValidationError, FileNotFoundError):
            return None
        except OSError as error:
            raise BadInput(f"the link key of {satellite}: {error.strerror}; let the gateway read it") from error
        if len(key) != _LINK_KEY:
            raise BadInput(f"the link key of {satellite} has {len(key)} bytes instead of {_LINK_KEY}; renew its keys")
        return key
