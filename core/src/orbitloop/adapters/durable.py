"""Files that survive a power cut: written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orbitloop.domain.errors import NoSpace, Untrusted
from orbitloop.domain.units import Digest

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNFINISHED = ".unfinished"
_CHUNK = 2**20


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Turn "disk full" of the system or of SQLite into ``NoSpace`` naming ``path``; other errors pass as they are."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if not _says_full(error):
            raise
        raise NoSpace(f"the disk is full: {path} could not be written; free space on its volume") from error


def _says_full(error: OSError | sqlite3.OperationalError) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    return error.sqlite_errorcode == sqlite3.SQLITE_FULL


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable: a rename is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the bytes of ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_unlisted(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Replace ``path`` by ``data`` atomically; the caller makes the name durable with :func:`sync_folder`.

    For many files in one folder, which then share that one call.

    Args:
        path: the file.
        data: all of its bytes.
        mode: its permissions, less those that the umask takes.

    Raises:
        NoSpace: the disk is full; ``path`` is as it was.
    """
    with naming_full_disk(path):
        unfinished = path.parent / f".{secrets.token_hex(8)}{_UNFINISHED}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def write_durably(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Replace ``path`` by ``data``: after return it survives a power cut, before it the old file does.

    Args:
        path: the file.
        data: all of its bytes.
        mode: its permissions, less those that the umask takes.

    Raises:
        NoSpace: the disk is full; ``path`` is as it was.
    """
    write_unlisted(path, data, mode)
    with naming_full_disk(path):
        sync_folder(path.parent)


def copy_durably(source: Path, target: Path, *, expected: Digest | None = None) -> Digest:
    """Replace ``target`` by the bytes of ``source`` as :func:`write_durably` does, in constant memory.

    What a killed copy to the same target has left is removed: nobody else may copy to it at the same time.

    Args:
        source: a file.
        target: a path in a folder that exists.
        expected: digest that the bytes must have.

    Returns:
        The digest of the bytes.

    Raises:
        NoSpace: the disk is full; ``target`` is as it was.
        Untrusted: the bytes have another digest than ``expected``; ``target`` is as it was.
    """
    state = hashlib.sha256()
    own = f".{hashlib.sha256(target.name.encode(errors='surrogateescape')).hexdigest()[:16]}"
    for leftover in target.parent.glob(f"{own}-*{_UNFINISHED}"):
        leftover.unlink(missing_ok=True)
    unfinished = target.parent / f"{own}-{secrets.token_hex(8)}{_UNFINISHED}"
    try:
        with naming_full_disk(target), source.open("rb") as given, unfinished.open("xb") as file:
            while chunk := given.read(_CHUNK):
                state.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        found = Digest(f"sha256:{state.hexdigest()}")
        if expected is not None and found != expected:
            raise Untrusted(f"{source} has the digest {found} instead of {expected}; it was written while it was read")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    with naming_full_disk(target):
        sync_folder(target.parent)
    return found


def discard_unfinished(folder: Path) -> int:
    """Remove what a killed :func:`write_durably` left in ``folder``; call before anyone writes there.

    Returns:
        How many files were removed.
    """
    leftovers = list(folder.glob(f".*{_UNFINISHED}"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
