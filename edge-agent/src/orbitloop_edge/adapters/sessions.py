"""Small facts that outlive the process: how many contact sessions there were, and which update waits to be proved."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from orbitloop.adapters.durable import sync_folder, write_durably
from orbitloop.domain.errors import NoSpace
from orbitloop.ports.clock import Clock
from orbitloop.wire.messages import Offer

_log = logging.getLogger(__name__)

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


class FileSessions:
    """Numbers contact sessions: one more than the last, and at least the seconds since 2020.

    So a number that the disk has lost is no reason for the ground to take the satellite for a replay, unless its clock
    went back too.

    Args:
        path: the file that holds the last number.
        clock: what time it is on board.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_bytes().strip() if path.exists() else b"0"
        self._last = int(text) if text.isdigit() and len(text) < 16 else 0  # digits below 2**53
        if not text.isdigit():
            _log.warning("session_number_damaged", extra={"path": str(path)})

    def begin(self) -> tuple[int, str]:
        """Sequence and random name of a new session; the sequence is on disk before it is told."""
        seconds = (self._clock.now() - _EPOCH) // timedelta(seconds=1)
        self._last = max(self._last + 1, seconds)
        try:
            write_durably(self._path, str(self._last).encode())
        except NoSpace as error:  # a full disk must not keep from sending what fills it
            _log.warning("session_number_not_kept", extra={"why": str(error)})
        return self._last, secrets.token_hex(16)


class FilePending:
    """The offer of a fetched update, beside it on disk.

    Args:
        path: the file that holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def put(self, offer: Offer) -> None:
        """Keep it durably. Raises ``NoSpace``."""
        if self.offer() != offer:
            write_durably(self._path, offer.model_dump_json().encode())

    def offer(self) -> Offer | None:
        """What waits to be proved; a file that the disk has damaged is removed: the ground offers it again."""
        if not self._path.exists():
            return None
        try:
            return Offer.model_validate_json(self._path.read_bytes())
        except ValidationError:
            _log.warning("offer_damaged", extra={"path": str(self._path)})
            self.drop()
            return None

    def drop(self) -> None:
        """Forget it. Idempotent."""
        self._path.unlink(missing_ok=True)
        sync_folder(self._path.parent)
