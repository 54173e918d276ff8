"""The spool on the satellite's disk: pixels in files, everything else in SQLite.

The order of writing makes every moment safe to be killed in: a file is durable before the row that names it, and a row
is gone before its file is removed. What no row names is an orphan and is cleaned at the next start.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from orbitloop.adapters.durable import discard_unfinished, naming_full_disk, sync_folder, write_durably
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, NoSpace
from orbitloop.domain.samples import Sample
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.spool import SpoolState
from orbitloop.wire.bundle import Limits, blob_of, cost, entry_of, fill, pack, rank, sample_from

_log = logging.getLogger(__name__)

_REMEMBERED = 200_000
"""Delivered samples that are still recognised, should the worker find them again; about 20 MB of disk."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
  id     TEXT PRIMARY KEY,
  rank   REAL NOT NULL,
  cost   INTEGER NOT NULL,
  size   INTEGER NOT NULL,
  entry  BLOB NOT NULL,
  bundle TEXT REFERENCES bundles (digest)
) STRICT;
CREATE INDEX IF NOT EXISTS samples_by_rank ON samples (bundle, rank, id);
CREATE INDEX IF NOT EXISTS samples_by_size ON samples (size);
CREATE TABLE IF NOT EXISTS bundles (digest TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS refused (id TEXT PRIMARY KEY, times INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS gone (at INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT;
"""

_FRESH = """
SELECT id, cost FROM samples WHERE bundle IS NULL AND id NOT IN (SELECT id FROM refused) ORDER BY rank, id
"""
_REFUSED = """
SELECT id, cost FROM samples JOIN refused USING (id) WHERE bundle IS NULL ORDER BY times, rank, id
"""


class DiskSpool:
    """The :class:`~orbitloop.ports.spool.Spool` that flies. Threads may share one; processes may not.

    Args:
        folder: where it lives; made if it is not there.
        satellite: whose samples these are.
        clock: stamps the bundles.
        budget: most bytes of pixels that may wait.
        limits: what the ground takes in one bundle.

    Raises:
        BadInput: another process has the folder open.
        NoSpace: the disk is full.
    """

    def __init__(
        self, folder: Path, satellite: str, clock: Clock, *, budget: Bytes, limits: Limits | None = None
    ) -> None:
        self._satellite = satellite
        self._clock = clock
        self._budget = budget
        self._limits = limits or Limits(packed=Bytes(16 * 2**20))
        self._samples, self._bundles = folder / "samples", folder / "bundles"
        self._folder = folder
        self._guard = threading.RLock()
        with naming_full_disk(folder):
            for place in (self._samples, self._bundles):
                place.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder / "lock")
        self._database = sqlite3.connect(folder / "spool.db", isolation_level=None, check_same_thread=False)
        with naming_full_disk(folder):
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")  # a commit is on disk before it returns
            self._database.executescript(_SCHEMA)
        self._clean()

    def close(self) -> None:
        """Let another process open the folder."""
        with self._guard:
            self._database.close()
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, sample: Sample, pixels: bytes) -> bool:
        """Store a sample durably; ``False`` if it was there before, or is on the ground already.

        Raises:
            BadInput: the sample could never be sent.
            Untrusted: its id is not the name of its tile.
            NoSpace: the budget or the disk is full.
        """
        entry = entry_of(self._satellite, sample, pixels)
        price = cost(entry, sample.size)
        if not fill([(sample.id, price)], self._limits.packed, self._limits):
            raise BadInput(f"sample {sample.id} of {sample.size} bytes fits into no bundle; encode it smaller")
        with self._guard:
            if self._knows(sample.id):
                return False
            waiting = self.state().bytes
            if waiting + sample.size > self._budget:
                raise NoSpace(
                    f"the spool in {self._folder} holds {waiting} of {self._budget} bytes; "
                    "wait for a contact or raise its budget"
                )
            write_durably(self._pixels(sample.id), pixels)
            density, _ = rank(sample.id, sample.value, price)
            try:
                self._insert((sample.id, density, price, sample.size, entry))
            except NoSpace:
                self._pixels(sample.id).unlink()
                raise
            return True

    def state(self) -> SpoolState:
        """What waits."""
        with self._guard:
            count, size = self._database.execute("SELECT count(*), coalesce(sum(size), 0) FROM samples").fetchone()
        return SpoolState(samples=count, bytes=Bytes(size))

    def seal(self, budget: Bytes) -> tuple[Digest, bytes] | None:
        """The next bundle to send: the unfinished one first, whatever its size, since it is resumable.

        Raises:
            NoSpace: the disk has no room for the bundle; nothing has changed.
        """
        with self._guard:
            return self._unfinished() or self._seal_new(budget)

    def delivered(self, bundle: Digest) -> None:
        """The ground holds this bundle durably: its samples leave the spool. Idempotent."""
        with self._guard:
            names = [row[0] for row in self._database.execute("SELECT id FROM samples WHERE bundle = ?", (bundle,))]
            with self._transaction():
                self._database.execute(
                    "INSERT OR IGNORE INTO gone (id) SELECT id FROM samples WHERE bundle = ?", (bundle,)
                )
                self._database.execute("DELETE FROM gone WHERE at <= (SELECT max(at) FROM gone) - ?", (_REMEMBERED,))
                self._database.execute(
                    "DELETE FROM refused WHERE id IN (SELECT id FROM samples WHERE bundle = ?)", (bundle,)
                )
                self._database.execute("DELETE FROM samples WHERE bundle = ?", (bundle,))
                self._database.execute("DELETE FROM bundles WHERE digest = ?", (bundle,))
            for name in names:
                self._pixels(name).unlink(missing_ok=True)
            self._bundle(bundle).unlink(missing_ok=True)

    def unseal(self, bundle: Digest) -> None:
        """The ground will never take this bundle: its samples wait again, each to travel alone. Idempotent."""
        with self._guard, self._transaction():
            self._database.execute(
                "INSERT INTO refused (id, times) SELECT id, 1 FROM samples WHERE bundle = ? "
                "ON CONFLICT (id) DO UPDATE SET times = times + 1",
                (bundle,),
            )
            self._let_go(bundle)
        self._bundle(bundle).unlink(missing_ok=True)

    def _let_go(self, bundle: Digest) -> None:
        self._database.execute("UPDATE samples SET bundle = NULL WHERE bundle = ?", (bundle,))
        self._database.execute("DELETE FROM bundles WHERE digest = ?", (bundle,))

    def _unfinished(self) -> tuple[Digest, bytes] | None:
        row = self._database.execute("SELECT digest FROM bundles").fetchone()
        if row is None:
            return None
        digest = Digest(row[0])
        path = self._bundle(digest)
        data = path.read_bytes() if path.exists() else b""
        if digest_of(data) == digest:
            return digest, data
        # The disk has lost it. The samples are still here, each with its own digest: seal them afresh.
        _log.warning("bundle_damaged", extra={"bundle": digest, "path": str(path)})
        with self._transaction():
            self._let_go(digest)
        path.unlink(missing_ok=True)
        return None

    def _seal_new(self, budget: Bytes) -> tuple[Digest, bytes] | None:
        while True:
            chosen = self._chosen(_FRESH, budget, self._limits) or self._chosen(
                _REFUSED, budget, replace(self._limits, samples=1)
            )
            if not chosen:
                return None
            read = [self._read(name) for name in chosen]
            items = [item for item in read if item is not None]
            if len(items) == len(chosen):
                break  # else one was damaged and set aside: its room is for others
        data = pack(self._satellite, self._clock.now(), items)
        digest = digest_of(data)
        write_durably(self._bundle(digest), data)
        with self._transaction():
            self._database.execute("INSERT INTO bundles (digest) VALUES (?)", (digest,))
            self._database.executemany(
                "UPDATE samples SET bundle = ? WHERE id = ?", [(digest, name) for name in chosen]
            )
        return digest, data

    def _chosen(self, ranking: str, budget: Bytes, limits: Limits) -> list[Digest]:
        ranked = self._database.execute(ranking)
        return fill(((Digest(name), Bytes(price)) for name, price in ranked), budget, limits)

    def _read(self, name: Digest) -> tuple[Sample, bytes] | None:
        entry = self._database.execute("SELECT entry FROM samples WHERE id = ?", (name,)).fetchone()[0]
        path = self._pixels(name)
        pixels = path.read_bytes() if path.exists() else b""
        if digest_of(pixels) == blob_of(entry):
            return sample_from(entry), pixels
        _log.error("sample_damaged", extra={"sample": name, "path": str(path)})
        with self._transaction():
            self._database.execute("DELETE FROM samples WHERE id = ?", (name,))
        path.unlink(missing_ok=True)
        return None

    def _insert(self, row: tuple[Digest, float, Bytes, int, bytes]) -> None:
        with self._transaction():
            self._database.execute("INSERT INTO samples (id, rank, cost, size, entry) VALUES (?, ?, ?, ?, ?)", row)

    def _knows(self, name: Digest) -> bool:
        query = "SELECT 1 FROM samples WHERE id = :id UNION ALL SELECT 1 FROM gone WHERE id = :id"
        return self._database.execute(query, {"id": name}).fetchone() is not None

    def _pixels(self, name: str) -> Path:
        return self._samples / hexadecimal(Digest(name))

    def _bundle(self, digest: str) -> Path:
        return self._bundles / hexadecimal(Digest(digest))

    def _clean(self) -> None:
        for place, query in (
            (self._samples, "SELECT id FROM samples"),
            (self._bundles, "SELECT digest FROM bundles"),
        ):
            discard_unfinished(place)
            named = {hexadecimal(Digest(row[0])) for row in self._database.execute(query)}
            orphans = [path for path in place.iterdir() if path.name not in named]
            for path in orphans:
                path.unlink()
            sync_folder(place)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with naming_full_disk(self._folder):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.commit()
            except BaseException:
                self._database.rollback()
                raise


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it, however we die
    except BlockingIOError:
        os.close(descriptor)
        raise BadInput(f"the spool in {path.parent} is open in another process; stop that one first") from None
    return descriptor
