"""SQLite files that the disk has damaged: told from other faults, and set aside."""

from __future__ import annotations

import sqlite3
from pathlib import Path

_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_SUFFIX = ".damaged"


class Damaged(sqlite3.DatabaseError):
    """A file that SQLite opens, but whose content cannot be right."""


FAULTS = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading a damaged file raises. SQLite quotes the names that it finds, and Python cannot decode all of those."""


def is_damage(error: Exception) -> bool:
    """Whether the file itself is at fault, so that only another one helps."""
    # An extended code holds its primary one in the lowest eight bits.
    return isinstance(error, Damaged | UnicodeDecodeError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _CODES


def set_aside(path: Path) -> Path:
    """Rename a closed SQLite file, so that a new one can take its place; one that was set aside before is removed."""
    for journal in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + journal).unlink(missing_ok=True)
    return path.rename(path.with_name(path.name + _SUFFIX)) if path.exists() else path
