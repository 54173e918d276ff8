"""Updates that arrive as CFDP files: under their digest in the same inbox as those that a contact session fetches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orbitloop.adapters.cfdp.values import ReceivedFile
from orbitloop.domain.units import Digest
from orbitloop_edge.adapters.inbox import FolderInbox

_CHUNK = 2**20


def keep_update(inbox: FolderInbox, file: ReceivedFile) -> Digest:
    """Keep a received file as the one update on board, and remove it from where CFDP left it.

    Whether it may fly is decided later, by its signature and its trial, as for every update.

    Raises:
        NoSpace: the disk is full; the file stays where it is.
    """
    here = inbox.held(file.digest)
    if file.size == 0 or not here.holds(0, file.size):
        inbox.keep(file.digest, _pieces(file.path))
    file.path.unlink(missing_ok=True)
    return file.digest


def _pieces(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as arrived:
        while piece := arrived.read(_CHUNK):
            yield arrived.tell() - len(piece), piece
