"""The ledger's tables. Times are ISO 8601 in UTC; ``seq`` is the order of arrival."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.schema import CreateIndex, CreateTable

metadata = MetaData()


def _sequence() -> Column[int]:
    return Column("seq", Integer, primary_key=True, autoincrement=True)


bundles = Table(
    "bundles",
    metadata,
    Column("satellite", String(128), primary_key=True),
    Column("digest", String(71), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("stored", String(40), nullable=False),
)

samples = Table(
    "samples",
    metadata,
    _sequence(),
    Column("id", String(71), nullable=False, unique=True),
    Column("satellite", String(128), nullable=False),
    Column("bundle", String(71), nullable=False),
    Column("blob", String(71), nullable=False),
    Column("entry", LargeBinary, nullable=False),
    Column("received", String(40), nullable=False),
    Column("round", String(256), index=True),
)

updates = Table(
    "updates",
    metadata,
    _sequence(),
    Column("satellite", String(128), nullable=False),
    Column("digest", String(71), nullable=False),
    Column("size", Integer, nullable=False),
    Column("base", String(71), nullable=False),
    Column("result", String(71), nullable=False),
    Column("path", Text, nullable=False),
    UniqueConstraint("satellite", "digest"),
)

steps = Table(  # what a beginning of an update makes of its base
    "steps",
    metadata,
    Column("satellite", String(128), primary_key=True),
    Column("result", String(71), primary_key=True),
    Column("update", String(71), primary_key=True),
)

reports = Table(
    "reports",
    metadata,
    _sequence(),
    Column("id", String(71), nullable=False, unique=True),
    Column("satellite", String(128), nullable=False, index=True),
    Column("update", String(71), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("received", String(40), nullable=False),
    Column("message", Text, nullable=False),
)

telemetry = Table(
    "telemetry",
    metadata,
    _sequence(),
    Column("satellite", String(128), nullable=False, index=True),
    Column("received", String(40), nullable=False),
    Column("message", Text, nullable=False),
)

contacts = Table(
    "contacts",
    metadata,
    _sequence(),
    Column("satellite", String(128), nullable=False, index=True),
    Column("received", String(40), nullable=False),
    Column("message", Text, nullable=False),
)

sessions = Table(  # the latest of each satellite that counts them
    "sessions",
    metadata,
    Column("satellite", String(128), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("session", String(32), nullable=False),
)

goodbyes = Table(
    "goodbyes",
    metadata,
    _sequence(),
    Column("id", String(71), nullable=False, unique=True),
    Column("satellite", String(128), nullable=False, index=True),
    Column("received", String(40), nullable=False),
    Column("message", Text, nullable=False),
)

priorities = Table(
    "priorities",
    metadata,
    Column("satellite", String(128), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("factors", Text, nullable=False),
)


positions = Table(  # how often anything moved, in one row for each NAME; and the random name of this ledger
    "positions",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("ledger", String(32), nullable=False),
    Column("value", BigInteger, nullable=False),
)

nodes = Table(  # the position at which anything about a node moved last
    "nodes",
    metadata,
    Column("satellite", String(128), primary_key=True),
    Column("sequence", BigInteger, nullable=False, index=True),
)

desired = Table(
    "desired",
    metadata,
    Column("satellite", String(128), primary_key=True),
    Column("digest", String(71), nullable=False),
    Column("document", LargeBinary, nullable=False),
)

node_events = Table(  # the last of each subject
    "node_events",
    metadata,
    Column("satellite", String(128), primary_key=True),
    Column("subject", String(544), primary_key=True),
    Column("origin", String(32), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("received", String(40), nullable=False),
    Column("message", Text, nullable=False),
)

built = Table(  # which update brings which model file to whom
    "built",
    metadata,
    Column("satellite", String(128), primary_key=True),
    Column("model", String(71), primary_key=True),
    Column("base", String(71), primary_key=True),
    Column("update", String(71), nullable=False, index=True),
    Column("result", String(71), nullable=False, index=True),
)

exports = Table(  # where the samples of a satellite were exported to
    "exports",
    metadata,
    Column("satellite", String(128), primary_key=True),
    Column("path", String(1024), primary_key=True),
    Column("lines", Integer, nullable=False),
    Column("at", String(40), nullable=False),
)

reviews = Table(  # tiles that wait for a person, and those that people have decided on; revision counts their verdicts
    "reviews",
    metadata,
    _sequence(),
    Column("sample", String(71), nullable=False, unique=True),
    Column("frame", Text, nullable=False),
    Column("x0", Integer, nullable=False),
    Column("y0", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("proposal", Text, nullable=False),
    Column("revision", Integer, nullable=False, index=True),
)

verdicts = Table(  # every word that was said on a tile; without objects it was rejected
    "verdicts",
    metadata,
    Column("sample", String(71), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("who", Text, nullable=False),
    Column("at", String(40), nullable=False),
    Column("objects", Text),
)


def create_missing(connection: Connection) -> None:
    """Make the tables that are not there: the database may be of an older version, or shared with another gateway."""
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index, if_not_exists=True))
