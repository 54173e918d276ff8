"""What the spool knows of its files, in one SQLite file: an index that can be lost and built again from them."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orbitloop.adapters.durable import naming_full_disk
from orbitloop.domain.samples import Reason
from orbitloop.domain.units import Bytes, Digest
from orbitloop_edge.adapters.damage import FAULTS, Damaged, is_damage, set_aside

_log = logging.getLogger(__name__)

_REMEMBERED = 200_000
"""Delivered samples that are still recognised, should the worker find them again; about 20 MB of disk."""

_SCHEMA = (
    """CREATE TABLE samples (
  id       TEXT PRIMARY KEY,
  value    REAL NOT NULL,
  reason   TEXT NOT NULL,
  captured REAL NOT NULL,
  cost     INTEGER NOT NULL,
  size     INTEGER NOT NULL,
  bundle   TEXT
) STRICT""",
    "CREATE INDEX samples_by_bundle ON samples (bundle)",
    "CREATE INDEX samples_by_size ON samples (size)",
    "CREATE TABLE bundles (at INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE) STRICT",
    "CREATE TABLE refused (id TEXT PRIMARY KEY, times INTEGER NOT NULL) STRICT",
    "CREATE TABLE gone (at INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
)
_WAITING = "SELECT id, value, reason, captured, cost FROM samples WHERE bundle IS NULL"
_FRESH = f"{_WAITING} AND id NOT IN (SELECT id FROM refused) ORDER BY id"  # noqa: S608  # put together here
_REFUSED = f"""
SELECT id, value, reason, captured, cost FROM ({_WAITING}) JOIN refused USING (id)
WHERE times = (SELECT min(times) FROM refused JOIN samples USING (id) WHERE bundle IS NULL) ORDER BY id
"""  # noqa: S608  # put together here


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the index knows of a sample; ``captured`` in seconds since 1970."""

    id: Digest
    value: float
    reason: Reason
    captured: float
    cost: Bytes
    size: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Queue:
    """What waits, column by column, each of the same length; ``captured`` in seconds since 1970."""

    names: tuple[str, ...]
    values: NDArray[np.float64]
    reasons: tuple[str, ...]
    captured: NDArray[np.float64]
    costs: NDArray[np.int64]


class SpoolIndex:
    """The index of one spool. The caller lets one thread at a time at it.

    Args:
        path: the SQLite file; made if missing. One that is damaged, or of another version, is set aside.

    Raises:
        NoSpace: the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._rows = self._open()
        except FAULTS as error:
            if not is_damage(error):
                raise
            self._aside(error)
            self._rows = self._open()

    def close(self) -> None:
        """Let go of the file."""
        self._rows.close()

    def renew(self, error: Exception) -> None:
        """Set a file aside that turned out to be damaged while it was in use, and begin a new one."""
        self._rows.close()
        self._aside(error)
        self._rows = self._open()

    def insert(self, rows: Iterable[Row]) -> None:
        """Note samples that wait; those that are known stay as they are."""
        with self.transaction():
            self._rows.executemany(
                "INSERT OR IGNORE INTO samples VALUES (?, ?, ?, ?, ?, ?, NULL)",
                [(row.id, row.value, str(row.reason), row.captured, row.cost, row.size) for row in rows],
            )

    def knows(self, name: Digest) -> bool:
        """Whether a sample waits or was delivered."""
        query = "SELECT 1 FROM samples WHERE id = :id UNION ALL SELECT 1 FROM gone WHERE id = :id"
        return self._rows.execute(query, {"id": name}).fetchone() is not None

    def waiting(self) -> tuple[int, int]:
        """How many samples wait, and the bytes of their pixels."""
        count, size = self._rows.execute("SELECT count(*), coalesce(sum(size), 0) FROM samples").fetchone()
        return int(count), int(size)

    def names(self) -> set[Digest]:
        """All samples that wait."""
        return {Digest(name) for (name,) in self._rows.execute("SELECT id FROM samples")}

    def were_delivered(self, names: Iterable[Digest]) -> set[Digest]:
        """Those of ``names`` that the ground has acknowledged."""
        query = "SELECT id FROM gone WHERE id = ?"
        return {name for name in names if self._rows.execute(query, (name,)).fetchone() is not None}

    def fresh(self) -> Queue:
        """Samples in no bundle that the ground never refused, by name."""
        return self._queue(_FRESH)

    def refused(self) -> Queue:
        """Samples in no bundle that the ground refused least often, by name."""
        return self._queue(_REFUSED)

    def costs(self, names: Sequence[Digest]) -> list[int]:
        """What each of ``names``, which wait, adds to a bundle, bytes."""
        query = "SELECT cost FROM samples WHERE id = ?"
        return [int(self._rows.execute(query, (name,)).fetchone()[0]) for name in names]

    def bundles(self) -> tuple[Digest, ...]:
        """Bundles under way, the oldest first."""
        return tuple(Digest(name) for (name,) in self._rows.execute("SELECT digest FROM bundles ORDER BY at"))

    def bind(self, bundle: Digest, names: Iterable[Digest]) -> None:
        """Note that ``names`` travel in ``bundle``."""
        with self.transaction():
            self._rows.execute("INSERT INTO bundles (digest) VALUES (?)", (bundle,))
            self._rows.executemany("UPDATE samples SET bundle = ? WHERE id = ?", [(bundle, name) for name in names])

    def let_go(self, bundle: Digest, *, refused: bool = False) -> None:
        """Forget a bundle; its samples wait again, ``refused`` once more if so."""
        with self.transaction():
            if refused:
                self._rows.execute(
                    "INSERT INTO refused (id, times) SELECT id, 1 FROM samples WHERE bundle = ? "
                    "ON CONFLICT (id) DO UPDATE SET times = times + 1",
                    (bundle,),
                )
            self._rows.execute("UPDATE samples SET bundle = NULL WHERE bundle = ?", (bundle,))
            self._rows.execute("DELETE FROM bundles WHERE digest = ?", (bundle,))

    def let_all_go(self) -> None:
        """Forget every bundle."""
        with self.transaction():
            self._rows.execute("UPDATE samples SET bundle = NULL WHERE bundle IS NOT NULL")
            self._rows.execute("DELETE FROM bundles")

    def deliver(self, bundle: Digest) -> list[Digest]:
        """Move the samples of a bundle to those that are gone; returns them."""
        names = [Digest(row[0]) for row in self._rows.execute("SELECT id FROM samples WHERE bundle = ?", (bundle,))]
        if not names:
            return []
        with self.transaction():
            self._rows.execute("INSERT OR IGNORE INTO gone (id) SELECT id FROM samples WHERE bundle = ?", (bundle,))
            self._rows.execute("DELETE FROM gone WHERE at <= (SELECT max(at) FROM gone) - ?", (_REMEMBERED,))
            self._rows.execute("DELETE FROM refused WHERE id IN (SELECT id FROM samples WHERE bundle = ?)", (bundle,))
            self._rows.execute("DELETE FROM samples WHERE bundle = ?", (bundle,))
            self._rows.execute("DELETE FROM bundles WHERE digest = ?", (bundle,))
            self._note("delivered", str(int(self.fact("delivered") or "0") + len(names)))
            self._note("last", bundle)
        return names

    def remove(self, names: Iterable[Digest]) -> None:
        """Forget samples whose files are lost."""
        with self.transaction():
            self._rows.executemany("DELETE FROM samples WHERE id = ?", [(name,) for name in names])

    def correct(self, name: Digest, cost: Bytes) -> None:
        """Set what a sample adds to a bundle to what its file says."""
        with self.transaction():
            self._rows.execute("UPDATE samples SET cost = ? WHERE id = ?", (cost, name))

    def fact(self, name: str) -> str | None:
        """A single value that was noted."""
        row = self._rows.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def note(self, name: str, value: str) -> None:
        """Keep a single value."""
        with self.transaction():
            self._note(name, value)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durably. Raises ``NoSpace``."""
        with naming_full_disk(self._path):
            self._rows.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._rows.commit()
            except BaseException:
                self._rows.rollback()
                raise

    def _note(self, name: str, value: str) -> None:
        self._rows.execute(
            "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
        )

    def _queue(self, query: str) -> Queue:
        rows = self._rows.execute(query).fetchall()
        names, values, reasons, captured, costs = zip(*rows, strict=True) if rows else ((), (), (), (), ())
        return Queue(
            names=names,
            values=np.array(values, np.float64),
            reasons=reasons,
            captured=np.array(captured, np.float64),
            costs=np.array(costs, np.int64),
        )

    def _open(self) -> sqlite3.Connection:
        rows = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            with naming_full_disk(self._path):
                rows.execute("PRAGMA journal_mode = WAL")
                rows.execute("PRAGMA synchronous = FULL")  # a commit is on disk before it returns
                _check(rows)
        except BaseException:
            rows.close()
            raise
        return rows

    def _aside(self, error: Exception) -> None:
        _log.error("spool_index_damaged", extra={"path": str(self._path), "why": str(error)})
        set_aside(self._path)


def _check(rows: sqlite3.Connection) -> None:
    """Make the tables of an empty file. Raises ``DatabaseError`` (not a database) if a file is damaged or another's."""
    found = [sql for (sql,) in rows.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")]
    if not found:
        rows.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            rows.execute(statement)
        rows.commit()
    elif found != list(_SCHEMA):
        raise Damaged("its tables are not those of this version")
    elif (said := rows.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise Damaged(str(said))
