"""Folders that one process at a time may use."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from orbitloop.domain.errors import BadInput
from orbitloop_edge.adapters.host import Patience


def locked(path: Path, what: str) -> int:
    """A descriptor that holds the lock until it is closed; the kernel lets go of it, however we die.

    Raises:
        BadInput: another process holds it; ``what`` is named.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise BadInput(f"{what} is open in another process; stop that one first") from None
    return descriptor


@contextmanager
def held_lock(path: Path, what: str, patience: Patience, most: timedelta) -> Iterator[None]:
    """Hold the lock, after waiting ``most`` for another process to end. Raises ``BadInput`` if that does not."""
    descriptor = _waited_for(path, what, patience, most)
    try:
        yield
    finally:
        os.close(descriptor)


def _waited_for(path: Path, what: str, patience: Patience, most: timedelta) -> int:
    deadline = patience.monotonic() + most.total_seconds()
    while True:
        try:
            return locked(path, what)
        except BadInput:
            if patience.monotonic() > deadline or patience.wait(0.2):
                raise
