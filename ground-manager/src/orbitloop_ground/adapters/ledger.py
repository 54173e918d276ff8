"""The ground's ledger: which bundles and samples are here, what is offered, what satellites said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import Connection, Row, Select, Table, func, select

from orbitloop.domain.digests import digest_of, digest_of_parts
from orbitloop.domain.errors import BadInput
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.samples import Reason
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.sample_store import Arrival, Entered, ReceivedSample
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.wire.bundle import blob_of, sample_from
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.messages import Goodbye, Hello, Message, Priorities, Receipt, Telemetry, UpdateReport
from orbitloop.wire.update import beginnings_of
from orbitloop_ground.adapters.node_ledger import NodeLedger
from orbitloop_ground.adapters.overview import SatelliteSummary, summaries
from orbitloop_ground.adapters.review_ledger import ReviewLedger
from orbitloop_ground.adapters.tables import (
    bundles,
    contacts,
    goodbyes,
    priorities,
    reports,
    samples,
    sessions,
    steps,
    telemetry,
    updates,
)

NOT_TAUGHT = "not taught"
"""The round of samples that no round may learn from."""
_AT_ONCE = 500
"""Values in one statement: well under what SQLite and PostgreSQL allow."""
_UNWANTED = (Outcome.REFUSED, Outcome.ROLLED_BACK)
_MOST_LATE = 2
"""Late rollbacks after which an update is not offered again."""

Heard = TypeVar("Heard", bound=Message)


class Ledger(NodeLedger, ReviewLedger):
    """Every ledger port of the ground, on SQLite or PostgreSQL.

    Args:
        url: as SQLAlchemy reads it, ``sqlite:////folder/ledger.db`` for one machine.

    Raises:
        BadInput: the URL is none, or the driver of its database is not installed.
        NotYet: the database does not answer; by every method too.
    """

    def summaries(self) -> list[SatelliteSummary]:
        """Every satellite that was ever heard, in numbers."""
        with self._answering(), self._engine.connect() as connection:
            return summaries(connection)

    def enter(self, arrival: Arrival) -> Receipt:
        """Enter a bundle and those of its samples that are new, in one transaction. Idempotent.

        What an application wanted for its value never waits for a round: parts of it are blank.

        Raises:
            NoSpace: the disk is full; nothing was entered.
        """
        received = arrival.at.isoformat()
        rows = [
            {
                "id": sample.id,
                "satellite": arrival.satellite,
                "bundle": arrival.bundle,
                "blob": blob_of(entry),
                "entry": entry,
                "received": received,
                "round": NOT_TAUGHT if sample.reason is Reason.VALUE else None,
            }
            for entry, sample in ((entry, sample_from(entry)) for entry in arrival.entries)
        ]
        bundle = {
            "satellite": arrival.satellite,
            "digest": arrival.bundle,
            "size": arrival.size,
            "samples": len(rows),
            "stored": received,
        }
        with self._transaction() as connection:
            self._insert_new(connection, bundles, [bundle])
            self._insert_new(connection, samples, rows)
            self._moved(connection, arrival.satellite)
            entered = connection.execute(_bundle(arrival.satellite, arrival.bundle)).one()
        return _entered(entered).receipt

    def entered(self, satellite: str, bundle: Digest) -> Entered | None:
        """A bundle that was entered, if it was."""
        rows = self._read(_bundle(satellite, bundle))
        return _entered(rows[0]) if rows else None

    def waiting(self, satellites: Sequence[str] = (), *, limit: int | None = None) -> list[ReceivedSample]:
        """Samples that no round consumed, in the order of arrival; of all satellites unless some are named."""
        query = select(samples).where(samples.c.round.is_(None)).order_by(samples.c.seq).limit(limit)
        if satellites:
            query = query.where(samples.c.satellite.in_(satellites))
        return [_received(row) for row in self._read(query)]

    def received(self, satellite: str) -> list[ReceivedSample]:
        """Every sample of a satellite, in the order of arrival."""
        return [_received(row) for row in self._read(_samples_of(satellite))]

    def sample(self, name: Digest) -> ReceivedSample | None:
        """A sample that is here."""
        rows = self._read(select(samples).where(samples.c.id == name))
        return _received(rows[0]) if rows else None

    def count_waiting(self, satellites: Sequence[str] = ()) -> int:
        """How many samples :meth:`waiting` would give."""
        query = select(func.count()).select_from(samples).where(samples.c.round.is_(None))
        if satellites:
            query = query.where(samples.c.satellite.in_(satellites))
        return int(self._read(query)[0][0])

    def count_received(self, satellite: str) -> int:
        """How many samples of a satellite the ground holds, consumed or not."""
        query = select(func.count()).select_from(samples).where(samples.c.satellite == satellite)
        return int(self._read(query)[0][0])

    def consume(self, names: Iterable[Digest], in_round: str) -> int:
        """Mark waiting samples as used by ``in_round``; returns how many were newly marked. Idempotent."""
        marked = 0
        left = iter(names)
        with self._transaction() as connection:
            while part := list(islice(left, _AT_ONCE)):
                free = samples.c.id.in_(part) & samples.c.round.is_(None)
                marked += connection.execute(samples.update().where(free).values(round=in_round)).rowcount
            if marked:
                whose = select(samples.c.satellite).where(samples.c.round == in_round).distinct()
                self._moved(connection, *connection.scalars(whose))
        return marked

    def consumed(self, in_round: str) -> list[ReceivedSample]:
        """The samples of a round, in the order of arrival."""
        query = select(samples).where(samples.c.round == in_round).order_by(samples.c.seq)
        return [_received(row) for row in self._read(query)]

    def publish_update(self, update: PublishedUpdate) -> None:
        """Offer an update from the next contact on; idempotent.

        Raises:
            BadInput: its file is missing, differs from what is said about it, or is an update that cannot be read.
        """
        path = update.path.resolve()
        if not path.is_file() or path.stat().st_size != update.size or _digest_of_file(path) != update.digest:
            raise BadInput(
                f"update for {update.satellite}: {path} is not the file of {update.size} bytes {update.digest}"
            )
        row = {
            "satellite": update.satellite,
            "digest": update.digest,
            "size": update.size,
            "base": update.base,
            "result": update.result,
            "path": str(path),
        }
        parts = [
            {"satellite": update.satellite, "result": result, "update": update.digest}
            for result in beginnings_of(path.read_bytes())
        ]
        with self._transaction() as connection:
            self._insert_new(connection, updates, [row])
            self._insert_new(connection, steps, parts)

    def offer_for(self, satellite: str, flying: Digest) -> PublishedUpdate | None:
        """The newest update on ``flying``, or of which a beginning makes it, that the satellite has not refused or
        rolled back; one that it rolled back late is offered once more.
        """
        begun = select(steps.c.update).where(steps.c.satellite == satellite, steps.c.result == flying)
        on_it = (updates.c.base == flying) | updates.c.digest.in_(begun)
        rows = self._read(select(updates).where(updates.c.satellite == satellite, on_it).order_by(updates.c.seq.desc()))
        return next((_published(row) for row in rows if not self._is_unwanted(satellite, row.digest)), None)

    def _is_unwanted(self, satellite: str, update: Digest) -> bool:
        said = [report for report in self.reports(satellite, update) if report.outcome in _UNWANTED]
        return sum(1 if report.late else _MOST_LATE for report in said) >= _MOST_LATE

    def update(self, satellite: str, digest: Digest) -> PublishedUpdate | None:
        """A published update."""
        rows = self._read(select(updates).where(updates.c.satellite == satellite, updates.c.digest == digest))
        return _published(rows[0]) if rows else None

    def record_report(self, report: UpdateReport, at: datetime) -> None:
        """What became of an update; the same report again changes nothing."""
        row = _heard(report, report.satellite, at)
        row |= {"id": digest_of(row["message"].encode()), "update": report.update, "outcome": str(report.outcome)}
        with self._transaction() as connection:
            self._insert_new(connection, reports, [row])
            self._moved(connection, report.satellite)

    def reports(self, satellite: str, update: Digest | None = None) -> list[UpdateReport]:
        """What a satellite reported, of all its updates or of one, in the order of arrival."""
        query = select(reports.c.message).where(reports.c.satellite == satellite).order_by(reports.c.seq)
        if update is not None:
            query = query.where(reports.c.update == update)
        return [UpdateReport.model_validate_json(row.message) for row in self._read(query)]

    def record_telemetry(self, message: Telemetry, at: datetime) -> None:
        """Counters since launch, heard at ``at``."""
        with self._transaction() as connection:
            connection.execute(telemetry.insert(), [_heard(message, message.satellite, at)])
            if message.sketch is not None:
                self._moved(connection, message.satellite)

    def last_telemetry(self, satellite: str) -> tuple[datetime, Telemetry] | None:
        """The last telemetry of a satellite, and when it was heard."""
        return self._last(telemetry, satellite, Telemetry)

    def record_hello(self, hello: Hello, at: datetime) -> bool:
        """A contact began at ``at``; ``False``, and nothing is recorded, if a later session has begun already."""
        with self._transaction() as connection:
            if hello.sequence and not self._is_latest(connection, hello):
                return False
            connection.execute(contacts.insert(), [_heard(hello, hello.satellite, at)])
            self._moved(connection, hello.satellite)
        return True

    def _is_latest(self, connection: Connection, hello: Hello) -> bool:
        """Compare and record in one statement: two gateways may hear two sessions at the same moment."""
        insert = self._insert(sessions).values(
            satellite=hello.satellite, sequence=hello.sequence, session=hello.session
        )
        said = insert.excluded
        later = (said.sequence > sessions.c.sequence) | (
            (said.sequence == sessions.c.sequence) & (said.session == sessions.c.session)
        )
        statement = insert.on_conflict_do_update(
            index_elements=[sessions.c.satellite],
            set_={"sequence": said.sequence, "session": said.session},
            where=later,
        )
        return connection.execute(statement).rowcount > 0

    def last_session(self, satellite: str) -> tuple[int, str]:
        """Sequence and name of the latest session; ``(0, "")`` before the first."""
        rows = self._read(select(sessions).where(sessions.c.satellite == satellite))
        return (rows[0].sequence, rows[0].session) if rows else (0, "")

    def readmit(self, satellite: str) -> bool:
        """Let a satellite count its sessions from the start again; ``False`` if it had not counted any."""
        with self._transaction() as connection:
            return connection.execute(sessions.delete().where(sessions.c.satellite == satellite)).rowcount > 0

    def record_goodbye(self, goodbye: Goodbye, at: datetime) -> None:
        """A contact ended at ``at``; the same goodbye again changes nothing."""
        row = _heard(goodbye, goodbye.satellite, at)
        row |= {"id": digest_of(row["message"].encode())}
        with self._transaction() as connection:
            self._insert_new(connection, goodbyes, [row])

    def last_goodbye(self, satellite: str) -> tuple[datetime, Goodbye] | None:
        """The last goodbye of a satellite, and when it was heard."""
        return self._last(goodbyes, satellite, Goodbye)

    def set_priorities(self, satellite: str, factors: Mapping[str, float]) -> Priorities:
        """Say what the ground wants most of a satellite from its next contact on; the revision grows.

        Raises:
            BadInput: a factor is out of range.
        """
        try:
            wanted = Priorities(revision=1, factors=dict(factors))
        except ValidationError as error:
            raise BadInput(f"priorities of {satellite}: {first_complaint(error)}") from None
        row = {"satellite": satellite, "revision": 1, "factors": json.dumps(wanted.factors)}
        insert = self._insert(priorities).values(row)
        grown = {"revision": priorities.c.revision + 1, "factors": insert.excluded.factors}
        with self._transaction() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=[priorities.c.satellite], set_=grown))
            stored = connection.execute(select(priorities).where(priorities.c.satellite == satellite)).one()
        return _priorities(stored)

    def priorities(self, satellite: str) -> Priorities | None:
        """What the ground wants most of this satellite, if somebody said so."""
        rows = self._read(select(priorities).where(priorities.c.satellite == satellite))
        return _priorities(rows[0]) if rows else None

    def last_hello(self, satellite: str) -> tuple[datetime, Hello] | None:
        """The last contact of a satellite, and when it began."""
        return self._last(contacts, satellite, Hello)

    def _last(self, table: Table, satellite: str, kind: type[Heard]) -> tuple[datetime, Heard] | None:
        rows = self._read(select(table).where(table.c.satellite == satellite).order_by(table.c.seq.desc()).limit(1))
        if not rows:
            return None
        return datetime.fromisoformat(rows[0].received), kind.model_validate_json(rows[0].message)


def _bundle(satellite: str, digest: Digest) -> Select[Any]:
    return select(bundles).where(bundles.c.satellite == satellite, bundles.c.digest == digest)


def _samples_of(satellite: str) -> Select[Any]:
    return select(samples).where(samples.c.satellite == satellite).order_by(samples.c.seq)


def _entered(row: Row[Any]) -> Entered:
    receipt = Receipt(bundle=row.digest, samples=row.samples, stored=datetime.fromisoformat(row.stored))
    return Entered(receipt=receipt, size=Bytes(row.size))


def _received(row: Row[Any]) -> ReceivedSample:
    return ReceivedSample(
        sample=sample_from(row.entry),
        satellite=row.satellite,
        blob=Digest(row.blob),
        bundle=Digest(row.bundle),
        received=datetime.fromisoformat(row.received),
        round=row.round,
    )


def _published(row: Row[Any]) -> PublishedUpdate:
    return PublishedUpdate(
        satellite=row.satellite,
        digest=Digest(row.digest),
        size=Bytes(row.size),
        base=Digest(row.base),
        result=Digest(row.result),
        path=Path(row.path),
    )


def _priorities(row: Row[Any]) -> Priorities:
    return Priorities(revision=row.revision, factors=json.loads(row.factors))


def _heard(message: Message, satellite: str, at: datetime) -> dict[str, Any]:
    return {"satellite": satellite, "received": at.isoformat(), "message": message.model_dump_json()}


def _digest_of_file(path: Path) -> Digest:
    with path.open("rb") as file:
        return digest_of_parts(iter(lambda: file.read(2**20), b""))
