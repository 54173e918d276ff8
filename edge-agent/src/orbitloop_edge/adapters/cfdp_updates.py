"""Updates that arrive as CFDP files: kept under their digests until the ground offers one of them in a contact."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from orbitloop.adapters.cfdp.values import ReceivedFile, SendResult, TransactionKey
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Bytes
from orbitloop.wire.update import MAGIC, MAGICS

_log = logging.getLogger(__name__)

_MOST = 4
_ARRIVED = re.compile(r"[0-9a-f]{64}")


class CfdpUpdates:
    """A :class:`~orbitloop.adapters.cfdp.values.Listener` that keeps updates, and refuses everything else.

    CFDP authenticates nobody. So a file changes nothing on board until the ground, in a contact session, offers an
    update of that digest: then :class:`~orbitloop_edge.adapters.inbox.FolderInbox` takes it from here, and it is proved
    like any other. Of updates that nobody offers, the last four stay.

    Args:
        folder: the entity's inbox.
        largest: length of the largest update.
    """

    def __init__(self, folder: Path, largest: Bytes) -> None:
        self._folder = folder
        self._largest = largest

    def received(self, file: ReceivedFile) -> None:
        """Keep it. Raises ``BadInput`` if it is no update, or too large a one: the sender is told."""
        if file.size > self._largest:
            raise BadInput(f"file {file.key} of {file.size} bytes exceeds the {self._largest} that an update may have")
        with file.path.open("rb") as arrived:
            if arrived.read(len(MAGIC)) not in MAGICS:
                raise BadInput(f"file {file.key} ({file.announced!r}) is no update; only updates are taken")
        _log.info("cfdp_update_received", extra={"transaction": str(file.key), "update": file.digest})
        self._forget_all_but(file.path)

    def sent(self, result: SendResult) -> None:
        """A file that was sent from on board has ended."""
        _log.info("cfdp_file_sent", extra={"transaction": str(result.key), "outcome": str(result.outcome)})

    def failed(self, key: TransactionKey, reason: str) -> None:
        """A file never became whole, or was refused."""
        _log.warning("cfdp_transaction_failed", extra={"transaction": str(key), "why": reason})

    def _forget_all_but(self, newest: Path) -> None:
        others = [path for path in self._folder.iterdir() if _ARRIVED.fullmatch(path.name) and path != newest]
        for path in sorted(others, key=_age)[: max(0, len(others) - (_MOST - 1))]:
            path.unlink(missing_ok=True)


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0
