"""What happened at the node and waits for the ground, in one SQLite file."""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue, ValidationError

from orbitloop.adapters.durable import naming_full_disk
from orbitloop.domain.errors import BadInput, NoSpace
from orbitloop.ports.clock import Clock
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.node_messages import NodeEvent
from orbitloop_edge.adapters.damage import FAULTS, Damaged, is_damage, set_aside
from orbitloop_edge.usecases.node_events import Value

_log = logging.getLogger(__name__)

_BATCH = 256
_MOST_SUBJECTS = 4_096
"""Subjects that are remembered; the oldest ones that the ground holds are forgotten first. About 8 MB of disk."""

_SCHEMA = (
    """CREATE TABLE events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  subject  TEXT NOT NULL UNIQUE,
  at       TEXT NOT NULL,
  value    TEXT NOT NULL,
  held     INTEGER NOT NULL DEFAULT 0
) STRICT""",
    "CREATE INDEX events_by_held ON events (held, sequence)",
    "CREATE TABLE origin (name TEXT NOT NULL) STRICT",
)


class NodeEventsFile:
    """The outbox of a node's events: the last one of each subject, numbered in the order in which they happened.

    Several threads may use it. A file that the disk has damaged is set aside; the new one has another :attr:`origin`,
    and what is so now is told again.

    Args:
        path: made if missing, with its folder.
        clock: when things happen.
        most: subjects that are remembered.

    Raises:
        NoSpace: the disk is full.
    """

    def __init__(self, path: Path, clock: Clock, *, most: int = _MOST_SUBJECTS) -> None:
        self._path = path
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        with naming_full_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._rows = self._open()
        except FAULTS as error:
            if not is_damage(error):
                raise
            _log.error("node_events_damaged", extra={"path": str(path), "why": str(error)})
            set_aside(path)
            self._rows = self._open()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._rows.close()

    @property
    def origin(self) -> str:
        """Random name of this outbox."""
        with self._lock:
            return str(self._rows.execute("SELECT name FROM origin").fetchone()[0])

    def record(self, subject: str, value: Value) -> None:
        """Note the last word about ``subject``; the same one again is no news. On disk when it returns.

        Raises:
            BadInput: the subject or the value is of a form that cannot be sent.
            NoSpace: the disk is full, or as many subjects wait as are remembered.
        """
        at = self._clock.now()
        text = _checked(subject, value, at)
        with self._transaction():
            known = self._rows.execute("SELECT value FROM events WHERE subject = ?", (subject,)).fetchone()
            if known is not None and known[0] == text:
                return
            self._rows.execute("DELETE FROM events WHERE subject = ?", (subject,))
            self._make_room()
            self._rows.execute(
                "INSERT INTO events (subject, at, value) VALUES (?, ?, ?)", (subject, at.isoformat(), text)
            )

    def last(self, subject: str) -> dict[str, JsonValue] | None:
        """What was said last about ``subject``; ``None`` if nothing was, or if that was long ago."""
        with self._lock:
            row = self._rows.execute("SELECT value FROM events WHERE subject = ?", (subject,)).fetchone()
        return None if row is None else _value(row[0])

    def pending(self, after: int) -> Sequence[NodeEvent]:
        """What the ground does not hold, of those with a sequence above ``after``, oldest first; not all at once."""
        query = (
            "SELECT sequence, subject, at, value FROM events WHERE held = 0 AND sequence > ? ORDER BY sequence LIMIT ?"
        )
        with self._lock:
            rows = self._rows.execute(query, (after, _BATCH)).fetchall()
        return [
            NodeEvent(sequence=sequence, subject=subject, at=datetime.fromisoformat(at), value=_value(value))
            for sequence, subject, at, value in rows
        ]

    def acknowledge(self, sequence: int) -> None:
        """The ground holds every event up to this one. Raises ``NoSpace``."""
        with self._transaction():
            self._rows.execute("UPDATE events SET held = 1 WHERE held = 0 AND sequence <= ?", (sequence,))

    def _make_room(self) -> None:
        count = int(self._rows.execute("SELECT count(*) FROM events").fetchone()[0])
        if count < self._most:
            return
        oldest = "SELECT sequence FROM events WHERE held = 1 ORDER BY sequence LIMIT ?"
        self._rows.execute(f"DELETE FROM events WHERE sequence IN ({oldest})", (count - self._most + 1,))  # noqa: S608  # put together here
        if int(self._rows.execute("SELECT count(*) FROM events").fetchone()[0]) >= self._most:
            raise NoSpace(
                f"{self._most} subjects wait for the ground in {self._path}; they go down in the next contact"
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, naming_full_disk(self._path):
            self._rows.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._rows.commit()
            except BaseException:
                self._rows.rollback()
                raise

    def _open(self) -> sqlite3.Connection:
        rows = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            with naming_full_disk(self._path):
                rows.execute("PRAGMA journal_mode = WAL")
                rows.execute("PRAGMA synchronous = FULL")  # a commit is on disk before it returns
                _prepare(rows)
        except BaseException:
            rows.close()
            raise
        return rows


def _prepare(rows: sqlite3.Connection) -> None:
    found = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    there = [sql for (sql,) in rows.execute(found)]
    if not there:
        rows.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            rows.execute(statement)
        rows.execute("INSERT INTO origin VALUES (?)", (secrets.token_hex(16),))
        rows.commit()
    elif there != list(_SCHEMA):
        raise Damaged("its tables are not those of this version")
    elif (said := rows.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise Damaged(str(said))


def _checked(subject: str, value: Value, at: datetime) -> str:
    """The value as JSON, once it is known to make an event."""
    try:
        NodeEvent(sequence=1, subject=subject, at=at, value=dict(value))
    except ValidationError as error:
        raise BadInput(f"event about {subject!r}: {first_complaint(error)}") from error
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _value(text: str) -> dict[str, JsonValue]:
    read: dict[str, JsonValue] = json.loads(text)
    return read
