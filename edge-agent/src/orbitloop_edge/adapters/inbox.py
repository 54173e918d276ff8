"""Updates on their way up, one file at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from orbitloop.adapters.durable import discard_unfinished, naming_full_disk
from orbitloop.adapters.partial import PartialFile
from orbitloop.domain.digests import digest_of_parts, hexadecimal
from orbitloop.domain.errors import Untrusted
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import Bytes, Digest

_SETTLE_S = 1.0
"""A power cut costs at most what arrived in this time."""
_CHUNK = 2**20


class FolderInbox:
    """The :class:`~orbitloop.ports.gateway.Inbox` on the satellite's disk.

    Args:
        folder: made if it is not there.
        arrivals: where whole updates lie that came another way, each named by its digest; they are taken over from
            there once they are asked for.
    """

    def __init__(self, folder: Path, arrivals: Path | None = None) -> None:
        self._folder = folder
        self._arrivals = arrivals
        with naming_full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
        discard_unfinished(folder)

    def held(self, update: Digest) -> Spans:
        """Which bytes of an update are here; what is here of any other is forgotten. Raises ``NoSpace``."""
        part = self._part(update)
        for other in self._folder.glob("*.update"):
            if other != part.path:
                PartialFile(other).remove()
        if self._arrivals is not None:
            self._take_over(update, self._arrivals / hexadecimal(update))
        return part.settle()

    def keep(self, update: Digest, pieces: Iterable[tuple[int, bytes]]) -> None:
        """Write ``pieces``, each at its offset; what came before an error is kept, durably. Raises ``NoSpace``."""
        part = self._part(update)
        if not part.begun:
            part.begin()
        settled = time.monotonic()
        try:
            for start, piece in pieces:
                part.write(start, piece)
                if time.monotonic() - settled > _SETTLE_S:
                    part.settle()
                    settled = time.monotonic()
        finally:
            part.settle()

    def beginning(self, update: Digest) -> tuple[Path, Bytes]:
        """The file of an update, and how many of its first bytes are here without a gap."""
        part = self._part(update)
        first = next(iter(part.settle()), None)
        return part.path, Bytes(first.end if first is not None and first.start == 0 else 0)

    def take(self, update: Digest) -> Path:
        """The whole update. Raises ``Untrusted``, and forgets it, if its bytes do not match its digest."""
        part = self._part(update)
        with part.path.open("rb") as file:
            actual = digest_of_parts(iter(lambda: file.read(_CHUNK), b""))
        if actual != update:
            part.remove()
            raise Untrusted(f"update {update} arrived as {actual}; it was thrown away")
        return part.path

    def discard(self, update: Digest) -> None:
        """Forget an update; idempotent."""
        self._part(update).remove()

    def _take_over(self, update: Digest, arrived: Path) -> None:
        try:
            file = arrived.open("rb")
        except FileNotFoundError:
            return
        with file:
            self.keep(update, ((file.tell() - len(piece), piece) for piece in iter(lambda: file.read(_CHUNK), b"")))
        arrived.unlink(missing_ok=True)

    def _part(self, update: Digest) -> PartialFile:
        return PartialFile(self._folder / f"{hexadecimal(update)}.update")
