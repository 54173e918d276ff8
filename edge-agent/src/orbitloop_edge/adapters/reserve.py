"""Room that is kept free on the disk, so that a full one can still be emptied."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from orbitloop.adapters.durable import naming_full_disk
from orbitloop.domain.errors import NoSpace
from orbitloop.domain.units import Bytes

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Reserve:
    """A file of no use but its size: given up when the disk is full, taken back when there is room again.

    Args:
        path: the file.
        size: how much; nothing is kept at 0.
    """

    def __init__(self, path: Path, size: Bytes) -> None:
        self._path = path
        self._size = size
        self.restore()

    def restore(self) -> None:
        """Take the room back, if there is any."""
        if not self._size or (self._path.exists() and self._path.stat().st_size >= self._size):
            return
        try:
            with naming_full_disk(self._path), self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size)
        except NoSpace as error:
            self._path.unlink(missing_ok=True)
            _log.warning("no_reserve", extra={"why": str(error)})

    def spend_on(self, action: Callable[[], Answer]) -> Answer:
        """Do ``action``; if the disk is full, once more without the reserve. Raises ``NoSpace`` if that fails too."""
        try:
            return action()
        except NoSpace:
            if not self._path.exists():
                raise
            self._path.unlink()
            _log.warning("reserve_spent", extra={"path": str(self._path)})
            return action()
