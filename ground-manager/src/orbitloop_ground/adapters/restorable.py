"""A ledger in one SQLite file that outlives the file: whatever it is told goes into a journal first."""

from __future__ import annotations

import base64
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.exc import DatabaseError

from orbitloop.adapters.durable import naming_full_disk
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.node_ledger import Built, DesiredDocument
from orbitloop.ports.reviews import Proposal, Verdict
from orbitloop.ports.sample_store import Arrival
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.wire.bundle import blob_of, sample_from
from orbitloop.wire.messages import Hello, Priorities, Receipt, UpdateReport
from orbitloop.wire.node_messages import NodeEvents
from orbitloop_ground.adapters.journal import Journal
from orbitloop_ground.adapters.ledger import Ledger
from orbitloop_ground.adapters.review_ledger import DECIDED, PROPOSED, Fields, proposal_row
from orbitloop_ground.adapters.tables import (
    built,
    bundles,
    desired,
    node_events,
    reports,
    reviews,
    samples,
    updates,
    verdicts,
)

_log = logging.getLogger(__name__)

_FILES = ("", "-wal", "-shm")
"""What SQLite keeps beside a database, by suffix."""
_BEGIN = "begin"
"""The first record of a journal that has told the ledger everything."""
_COMPARED = 256 * 2**20
"""Bytes of the largest journal that the ledger's rows are compared with at the start; about two million samples."""
_REVIEW = ("sample", "frame", "x0", "y0", "width", "height", "proposal")
_VERDICT = ("sample", "revision", "who", "at", "objects")
_COLUMNS: tuple[tuple[str, Table, tuple[str, ...]], ...] = (
    ("bundle", bundles, ("digest", "satellite", "size", "samples", "stored")),
    ("sample", samples, ("id", "satellite", "blob", "entry")),
    ("update", updates, ("digest", "satellite", "size", "base", "result")),
    ("report", reports, ("id", "satellite", "update", "outcome", "message")),
    ("desired", desired, ("satellite", "digest", "document")),
    ("built", built, ("model", "satellite", "base", "update", "result")),
    ("event", node_events, ("satellite", "subject", "origin", "sequence", "message")),
    ("review", reviews, _REVIEW),
    ("verdict", verdicts, _VERDICT),
)
"""What is compared: the kind of row, its name, and what must not change."""
_BUILT = ("satellite", "model", "base", "update", "result")
_TAIL = 4 * 2**20
"""Bytes of the journal's end that are told again after a crash: more than SQLite's write-ahead log can have lost."""


class RestorableLedger(Ledger):
    """The :class:`~orbitloop_ground.adapters.ledger.Ledger` of one machine.

    At the start, a file that is damaged or gone is set aside and made anew from the journal: bundles, samples and the
    rounds that used them, updates and the model files that they were made of, reports, sessions, priorities, desired
    states, node events, and reviews with every verdict. Telemetry, the dates of contacts, what was exported and what
    labellers think are not kept there; they begin anew.
    After a crash the journal's end is told again, since SQLite passes over a damaged end of its write-ahead log in
    silence. Several processes may share one ledger.

    Args:
        path: the SQLite file; the journal lies beside it.

    Raises:
        NotYet: the file is damaged, and another process has it open.
        NoSpace: the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path.with_suffix(".journal"))
        with naming_full_disk(path):
            self._in_use = os.open(path.with_suffix(".in-use"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with _opening(path):
                self._open(path)
        except BaseException:
            os.close(self._in_use)
            raise

    def _open(self, path: Path) -> None:
        """Make the file anew if that is needed, which nobody else may have open then."""
        alone = self._is_alone()
        known = path.exists()
        cut_short = path.with_name(path.name + "-wal").exists()  # a look at the file tidies it away
        sound = known and _is_sound(path)
        if not sound:
            if not alone:
                raise NotYet(
                    f"{path} is damaged or gone, and another process has it open; "
                    "stop every gateway that uses it, then start them"
                )
            if known:
                _set_aside(path)
        super().__init__(f"sqlite:///{path.resolve()}")
        if alone and sound and self._journal.size <= _COMPARED:
            sound = self._agrees()
            if not sound:
                super().close()
                _set_aside(path)
                super().__init__(f"sqlite:///{path.resolve()}")
        if not known and not self._journal.size:
            self._journal.append(_BEGIN, {})
        elif not sound:
            self._restore(self._journal.records())
        elif alone and cut_short:
            self._restore(self._journal.records(last=_TAIL))
        fcntl.flock(self._in_use, fcntl.LOCK_SH)

    def _agrees(self) -> bool:
        """Whether the rows are those that the journal tells of. SQLite has no checksums: it reads flipped bytes as
        they are. Rows that are missing are no disagreement, they are told again; rows that the journal does not know
        are one, unless it is younger than they.
        """
        told = tuple(self._journal.records())
        expected = _rows_of(told)
        complete = bool(told) and told[0][0] == _BEGIN
        try:
            found = {
                (kind, *row)
                for kind, table, names in _COLUMNS
                for row in self._read(select(*(table.c[name] for name in names)))
            }
        except (DatabaseError, UnicodeDecodeError) as error:
            _log.error("ledger_unreadable", extra={"why": str(error)})
            return False
        if complete:
            return found <= expected
        keys = {row[:2] for row in expected}
        return {row for row in found if row[:2] in keys} <= expected

    def _is_alone(self) -> bool:
        """Whether nobody else has the file open; nobody will before this process lets them."""
        try:
            fcntl.flock(self._in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Let go of the file."""
        super().close()
        os.close(self._in_use)

    def enter(self, arrival: Arrival) -> Receipt:
        """See :class:`Ledger`."""
        if (known := self.entered(arrival.satellite, arrival.bundle)) is not None:
            return known.receipt
        self._journal.append(
            "enter",
            {
                "bundle": arrival.bundle,
                "size": arrival.size,
                "satellite": arrival.satellite,
                "at": arrival.at.isoformat(),
                "entries": [base64.b64encode(entry).decode() for entry in arrival.entries],
            },
        )
        return super().enter(arrival)

    def consume(self, names: Iterable[Digest], in_round: str) -> int:
        """See :class:`Ledger`."""
        listed = list(names)
        self._journal.append("consume", {"names": listed, "round": in_round})
        return super().consume(listed, in_round)

    def publish_update(self, update: PublishedUpdate) -> None:
        """See :class:`Ledger`."""
        super().publish_update(update)  # checks the file, which a record of it must not outrun
        self._journal.append(
            "publish",
            {
                "satellite": update.satellite,
                "digest": update.digest,
                "size": update.size,
                "base": update.base,
                "result": update.result,
                "path": str(update.path.resolve()),
            },
        )

    def record_report(self, report: UpdateReport, at: datetime) -> None:
        """See :class:`Ledger`."""
        self._journal.append("report", {"message": report.model_dump_json(), "at": at.isoformat()})
        super().record_report(report, at)

    def record_hello(self, hello: Hello, at: datetime) -> bool:
        """See :class:`Ledger`."""
        if hello.sequence > self.last_session(hello.satellite)[0]:
            self._journal.append("hello", {"message": hello.model_dump_json(), "at": at.isoformat()})
        return super().record_hello(hello, at)

    def readmit(self, satellite: str) -> bool:
        """See :class:`Ledger`."""
        self._journal.append("readmit", {"satellite": satellite})
        return super().readmit(satellite)

    def set_priorities(self, satellite: str, factors: Mapping[str, float]) -> Priorities:
        """See :class:`Ledger`."""
        wanted = super().set_priorities(satellite, factors)  # checks the factors
        self._journal.append("priorities", {"satellite": satellite, "factors": dict(factors)})
        return wanted

    def set_desired(self, node: str, content: bytes) -> DesiredDocument:
        """See :class:`Ledger`."""
        known = self.desired(node)
        if known is not None and known.content == content:
            return known
        self._journal.append("desired", {"satellite": node, "document": base64.b64encode(content).decode()})
        return super().set_desired(node, content)

    def record_events(self, events: NodeEvents, at: datetime) -> int:
        """See :class:`Ledger`."""
        new = self.news_in(events)
        if new is None:
            return 0
        self._journal.append("events", {"message": new.model_dump_json(), "at": at.isoformat()})
        return super().record_events(new, at)

    def record_built(self, made: Built) -> None:
        """See :class:`Ledger`."""
        if made in self.built(made.satellite, made.model):
            return
        self._journal.append("built", {name: getattr(made, name) for name in _BUILT})
        super().record_built(made)

    def propose(self, sample: Digest, frame: str, window: Window, proposal: Proposal) -> None:
        """See :class:`Ledger`."""
        row, known = proposal_row(sample, frame, window, proposal), self.review(sample)
        if known is None or (
            known.verdict is None and row != proposal_row(sample, known.frame, known.window, known.proposal)
        ):
            self._propose(row, partial(self._note, PROPOSED))

    def decide_all(self, words: Mapping[Digest, Verdict]) -> int:
        """See :class:`Ledger`."""
        return self._decide(words, partial(self._note, DECIDED))

    def _note(self, kind: str, rows: list[Fields]) -> None:
        """While nobody else can write to the ledger: the journal has the order of the commits."""
        self._journal.append(kind, {"rows": rows})

    def _restore(self, records: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Tell the ledger again what it was told; what it knows already changes nothing."""
        restored = 0
        for kind, fields in records:
            try:
                self._replay(kind, fields)
                restored += 1
            except BadInput as error:
                _log.warning("journal_record_refused", extra={"kind": kind, "why": str(error)})
        self.rename()  # what somebody followed may have been told in another order
        if restored:
            _log.warning("ledger_restored", extra={"records": restored})

    def _replay(self, kind: str, fields: dict[str, Any]) -> None:
        match kind:
            case "enter":
                super().enter(
                    Arrival(
                        bundle=Digest(fields["bundle"]),
                        size=Bytes(fields["size"]),
                        satellite=fields["satellite"],
                        at=datetime.fromisoformat(fields["at"]),
                        entries=tuple(base64.b64decode(entry) for entry in fields["entries"]),
                    )
                )
            case "consume":
                super().consume([Digest(name) for name in fields["names"]], fields["round"])
            case "publish":
                super().publish_update(
                    PublishedUpdate(
                        satellite=fields["satellite"],
                        digest=Digest(fields["digest"]),
                        size=Bytes(fields["size"]),
                        base=Digest(fields["base"]),
                        result=Digest(fields["result"]),
                        path=Path(fields["path"]),
                    )
                )
            case "report":
                report = UpdateReport.model_validate_json(fields["message"])
                super().record_report(report, datetime.fromisoformat(fields["at"]))
            case "hello":
                super().record_hello(Hello.model_validate_json(fields["message"]), datetime.fromisoformat(fields["at"]))
            case "readmit":
                super().readmit(fields["satellite"])
            case "begin":
                pass
            case "priorities":
                super().set_priorities(fields["satellite"], fields["factors"])
            case "desired" | "events" | "built" | "propose" | "verdicts":
                self._replay_further(kind, fields)
            case _:
                _log.warning("journal_record_unknown", extra={"kind": kind})

    def _replay_further(self, kind: str, fields: dict[str, Any]) -> None:
        match kind:
            case "desired":
                super().set_desired(fields["satellite"], base64.b64decode(fields["document"]))
            case "built":
                super().record_built(Built(**fields))
            case "propose" | "verdicts":
                self._retell(kind, fields["rows"])
            case _:
                events = NodeEvents.model_validate_json(fields["message"])
                super().record_events(events, datetime.fromisoformat(fields["at"]))


def _rows_of(told: Iterable[tuple[str, dict[str, Any]]]) -> set[tuple[Any, ...]]:
    """The rows that the journal's records make, as :data:`_COLUMNS` has them."""
    rows: set[tuple[Any, ...]] = set()
    for kind, fields in told:
        match kind:
            case "enter":
                satellite, entries = fields["satellite"], [base64.b64decode(entry) for entry in fields["entries"]]
                rows.add(("bundle", fields["bundle"], satellite, fields["size"], len(entries), fields["at"]))
                rows.update(("sample", sample_from(entry).id, satellite, blob_of(entry), entry) for entry in entries)
            case "publish":
                rows.add(
                    ("update", fields["digest"], *(fields[name] for name in ("satellite", "size", "base", "result")))
                )
            case "report":
                report = UpdateReport.model_validate_json(fields["message"])
                name = digest_of(fields["message"].encode())
                rows.add(("report", name, report.satellite, report.update, str(report.outcome), fields["message"]))
            case "desired":
                document = base64.b64decode(fields["document"])
                rows.add(("desired", fields["satellite"], digest_of(document), document))
            case "built":
                rows.add(
                    ("built", fields["model"], *(fields[name] for name in ("satellite", "base", "update", "result")))
                )
            case "events":
                said = NodeEvents.model_validate_json(fields["message"])
                rows.update(
                    ("event", said.satellite, event.subject, said.origin, event.sequence, event.model_dump_json())
                    for event in said.events
                )
            case "propose" | "verdicts":
                named, names = ("review", _REVIEW) if kind == PROPOSED else ("verdict", _VERDICT)
                rows.update((named, *(row[name] for name in names)) for row in fields["rows"])
    return rows


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """One process at a time looks whether the file is sound."""
    with path.with_suffix(".opening").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def _is_sound(path: Path) -> bool:
    """Whether SQLite can read every page of the file."""
    try:
        connection = sqlite3.connect(path, timeout=30.0)
        try:
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",))
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        # Busy: somebody is writing to it, which a damaged file would not let them.
        return error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return False


def _set_aside(path: Path) -> None:
    stamp = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    kept = path.with_name(f"{path.name}.damaged-{stamp:%Y%m%dT%H%M%S}")
    _log.error("ledger_damaged", extra={"path": str(path), "kept": str(kept)})
    for suffix in _FILES:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(kept.with_name(kept.name + suffix))
