"""A database of the ground: connections, transactions, and its failures as errors of the tree."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, Row, Select, Table, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as AllInUse
from sqlalchemy.pool import ConnectionPoolEntry

from orbitloop.domain.errors import BadInput, NoSpace, NotYet
from orbitloop_ground.adapters.tables import create_missing

_TRIES = 200
"""To open a database that other gateways are opening, 50 ms apart."""
_PSYCOPG = "postgresql+psycopg"
_POSTGRESQL = ("postgres", "postgresql", _PSYCOPG)
_FULL_SQLSTATE, _READ_ONLY_SQLSTATE, _FORBIDDEN_SQLSTATE = "53100", "25006", "42501"
_MAKING_TABLES = 0x6F726269  # "orbi"
_PATIENCE_S = 10
"""For a connection to PostgreSQL: contacts are too short to wait for longer."""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Database:
    """SQLite or PostgreSQL, with the ledger's tables in it.

    Args:
        url: as SQLAlchemy reads it, ``sqlite:////folder/ledger.db`` for one machine, or
            ``postgresql://user:password@host/name`` for several.

    Raises:
        BadInput: the URL is none, or the driver of its database is not installed.
        NotYet: the database does not answer; by every method too.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _durable)
        with self._transaction() as connection:
            if self._engine.dialect.name == "postgresql":
                # IF NOT EXISTS fails where another gateway makes the same table in this moment.
                connection.execute(select(func.pg_advisory_xact_lock(_MAKING_TABLES)))
            create_missing(connection)

    def close(self) -> None:
        """Let go of the database's connections."""
        self._engine.dispose()

    def _read(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with self._answering(), self._engine.connect() as connection:
            return connection.execute(query).all()

    def _insert_new(self, connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
        """Insert what breaks no unique key; another replica of the gateway may be doing the same."""
        if rows:
            connection.execute(self._insert(table).on_conflict_do_nothing(), rows)

    def _insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        return postgresql.insert(table) if self._engine.dialect.name == "postgresql" else sqlite.insert(table)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._answering(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """A full disk, and a database that is busy or out of reach, as errors of the tree."""
        try:
            yield
        except AllInUse as error:
            raise NotYet(f"all connections to the ledger {self._engine.url!r} are in use; try again") from error
        except DBAPIError as error:
            code, state = (getattr(error.orig, name, None) for name in ("sqlite_errorcode", "sqlstate"))
            if state == _FORBIDDEN_SQLSTATE:
                raise BadInput(
                    f"the ledger {self._engine.url!r} does not let its user do this ({error.orig}); let it make "
                    "tables: GRANT CREATE ON SCHEMA public"
                ) from error
            if state == _READ_ONLY_SQLSTATE:
                self._engine.dispose()  # these connections lead to a standby
                raise NotYet(f"the ledger {self._engine.url!r} is read-only; try again") from error
            if code == sqlite3.SQLITE_FULL or state == _FULL_SQLSTATE:
                raise NoSpace(f"the disk of the ledger {self._engine.url!r} is full; free space on it") from error
            lost = self._engine.dialect.name == "postgresql" and isinstance(error, InterfaceError | OperationalError)
            if lost or (code or 0) % 256 in _BUSY:
                raise NotYet(f"the ledger {self._engine.url!r} does not answer ({error.orig}); try again") from error
            raise


def _engine(url: str) -> Engine:
    try:
        return _create_engine(make_url(url))
    except (ArgumentError, ImportError) as error:
        raise BadInput(
            f"the setting database names no ledger that can be opened ({type(error).__name__}); "
            "write sqlite:////folder/ledger.db or postgresql://user@host/name, and install orbitloop-ground[postgresql]"
        ) from None  # the error may quote a password


def _create_engine(url: URL) -> Engine:
    if url.drivername not in _POSTGRESQL:
        return create_engine(url)
    waits = {} if "connect_timeout" in url.query else {"connect_timeout": _PATIENCE_S}
    return create_engine(
        url.set(drivername=_PSYCOPG),
        pool_pre_ping=True,  # connections that a restart of the database has ended are noticed before they are used
        execution_options={"preserve_rowcount": True},  # of inserts too, which tell by it whether anything was new
        connect_args=waits,
    )


def _durable(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA busy_timeout = 30000")  # first: another gateway may be opening the file too
    _keep_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous = FULL")  # a commit is on disk before a receipt is sent


def _keep_write_ahead_log(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for others here, whatever its busy timeout says."""
    for _ in range(_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(0.05)
    raise NotYet("another gateway keeps the ledger's database to itself; try again once it has started")
