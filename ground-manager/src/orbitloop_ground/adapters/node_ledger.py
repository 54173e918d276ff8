"""The ledger's part about nodes: what is wanted of them, what they said, and what moved since somebody looked."""

from __future__ import annotations

import logging
import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from orbitloop.domain.digests import digest_of
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Digest
from orbitloop.ports.node_ledger import Bearings, Built, DesiredDocument, Export, NodeReport
from orbitloop.wire.messages import Hello, UpdateReport
from orbitloop.wire.node_messages import NodeEvent, NodeEvents
from orbitloop_ground.adapters.database import Database
from orbitloop_ground.adapters.drifting import drift_of
from orbitloop_ground.adapters.tables import (
    built,
    bundles,
    contacts,
    desired,
    exports,
    node_events,
    nodes,
    positions,
    reports,
    samples,
)

_log = logging.getLogger(__name__)

_NODES = "nodes"
MOST_SUBJECTS = 2_000
"""Subjects of one node that are kept; the ones that were heard of longest ago give way."""
_AT_ONCE = 400
"""Nodes in one statement: well under what SQLite and PostgreSQL allow."""


class NodeLedger(Database):
    """What :class:`~orbitloop_ground.adapters.ledger.Ledger` keeps of nodes."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        row = {"name": _NODES, "ledger": secrets.token_hex(16), "value": 0}
        with self._transaction() as connection:
            if connection.execute(self._insert(positions).values(row).on_conflict_do_nothing()).rowcount:
                heard = select(contacts.c.satellite).union(select(bundles.c.satellite))  # before there were positions
                self._moved(connection, *connection.scalars(heard))

    def set_desired(self, node: str, content: bytes) -> DesiredDocument:
        """Want a node to be like ``content``, durably; the same again changes nothing."""
        wanted = DesiredDocument(digest=digest_of(content), content=content)
        row = {"satellite": node, "digest": wanted.digest, "document": content}
        insert = self._insert(desired).values(row)
        said = insert.excluded
        statement = insert.on_conflict_do_update(
            index_elements=[desired.c.satellite],
            set_={"digest": said.digest, "document": said.document},
            where=(said.digest != desired.c.digest) | (said.document != desired.c.document),
        )
        with self._transaction() as connection:
            if connection.execute(statement).rowcount:
                self._moved(connection, node)
        return wanted

    def desired(self, node: str) -> DesiredDocument | None:
        """What is wanted of a node, if anything is; nothing where the database has damaged it."""
        rows = self._read(select(desired).where(desired.c.satellite == node))
        if not rows:
            return None
        found = DesiredDocument(digest=Digest(rows[0].digest), content=bytes(rows[0].document))
        if digest_of(found.content) != found.digest:
            _log.error(
                "desired_state_damaged", extra={"node": node, "what_to_do": "restart the gateway, or set it again"}
            )
            return None
        return found

    def record_events(self, events: NodeEvents, at: datetime) -> int:
        """Keep the last event of each subject, heard at ``at``; returns how many of ``events`` were news."""
        new = 0
        with self._transaction() as connection:
            for event in events.events:
                new += self._record(connection, events, event, at)
            if new:
                self._forget_oldest(connection, events.satellite)
                self._moved(connection, events.satellite)
        return new

    def _record(self, connection: Connection, events: NodeEvents, event: NodeEvent, at: datetime) -> int:
        row = {
            "satellite": events.satellite,
            "subject": event.subject,
            "origin": events.origin,
            "sequence": event.sequence,
            "received": at.isoformat(),
            "message": event.model_dump_json(),
        }
        insert = self._insert(node_events).values(row)
        said = insert.excluded
        statement = insert.on_conflict_do_update(
            index_elements=[node_events.c.satellite, node_events.c.subject],
            set_={name: said[name] for name in ("origin", "sequence", "received", "message")},
            where=(said.origin != node_events.c.origin) | (said.sequence > node_events.c.sequence),
        )
        return connection.execute(statement).rowcount

    def _forget_oldest(self, connection: Connection, node: str) -> None:
        mine = node_events.c.satellite == node
        count = connection.execute(select(func.count()).select_from(node_events).where(mine)).scalar_one()
        if count <= MOST_SUBJECTS:
            return
        order = (node_events.c.received, node_events.c.sequence, node_events.c.subject)
        oldest = select(node_events.c.subject).where(mine).order_by(*order).limit(count - MOST_SUBJECTS)
        connection.execute(node_events.delete().where(mine, node_events.c.subject.in_(oldest)))

    def news_in(self, events: NodeEvents) -> NodeEvents | None:
        """Those of ``events`` that are not here, or not as late; ``None`` if all are."""
        query = select(node_events).where(
            node_events.c.satellite == events.satellite,
            node_events.c.origin == events.origin,
            node_events.c.subject.in_({event.subject for event in events.events}),
        )
        known = {row.subject: row.sequence for row in self._read(query)}
        new = tuple(event for event in events.events if event.sequence > known.get(event.subject, 0))
        return events.model_copy(update={"events": new}) if new else None

    def flying(self, satellite: str) -> Digest | None:
        """Digest of the weights in service, by the satellite's own latest word."""
        with self._answering(), self._engine.connect() as connection:
            hello = _last_hellos(connection, [satellite]).get(satellite)
            _, latest = _outcomes(connection, [satellite])
        return _said(satellite, 0, hello, latest.get(satellite)).flying

    def record_built(self, made: Built) -> None:
        """An update was made of a model file. Idempotent."""
        row = {name: getattr(made, name) for name in ("satellite", "model", "base", "update", "result")}
        insert = self._insert(built).values(row)
        new = {name: insert.excluded[name] for name in ("update", "result")}
        with self._transaction() as connection:
            connection.execute(
                insert.on_conflict_do_update(index_elements=[built.c.satellite, built.c.model, built.c.base], set_=new)
            )
            self._moved(connection, made.satellite)

    def built(self, satellite: str, model: Digest) -> list[Built]:
        """The updates that bring a model file to a satellite, one for each base."""
        query = select(built).where(built.c.satellite == satellite, built.c.model == model)
        return [
            Built(
                satellite=satellite,
                model=model,
                base=Digest(row.base),
                update=Digest(row.update),
                result=Digest(row.result),
            )
            for row in self._read(query)
        ]

    def record_export(self, satellite: str, export: Export) -> None:
        """Samples were exported; the same count again moves nothing."""
        row = {"satellite": satellite, "path": export.path, "lines": export.lines, "at": export.at.isoformat()}
        insert = self._insert(exports).values(row)
        said = insert.excluded
        statement = insert.on_conflict_do_update(
            index_elements=[exports.c.satellite, exports.c.path],
            set_={"lines": said.lines, "at": said.at},
            where=said.lines != exports.c.lines,
        )
        with self._transaction() as connection:
            if connection.execute(statement).rowcount:
                self._moved(connection, satellite)

    def bearings(self) -> Bearings:
        """How far the ledger is."""
        (row,) = self._read(select(positions).where(positions.c.name == _NODES))
        return Bearings(ledger=row.ledger, sequence=row.value)

    def rename(self) -> None:
        """Take another name: whoever followed this ledger reads all of it again."""
        with self._transaction() as connection:
            new = {"ledger": secrets.token_hex(16)}
            connection.execute(positions.update().where(positions.c.name == _NODES).values(new))

    def node_reports(self, after: int) -> list[NodeReport]:
        """Every node of which anything moved behind position ``after``, in that order."""
        found: list[NodeReport] = []
        with self._answering(), self._engine.connect() as connection:
            query = select(nodes).where(nodes.c.sequence > after).order_by(nodes.c.sequence)
            moved = {row.satellite: row.sequence for row in connection.execute(query)}
            for start in range(0, len(moved), _AT_ONCE):
                some = _reports(connection, dict([*moved.items()][start : start + _AT_ONCE]))
                found += _with_models(connection, some)
        return found

    def _moved(self, connection: Connection, *moved: str) -> None:
        """Something about these nodes is new. Last in a transaction: others wait for it until this one is over, so
        that positions become visible in their order.
        """
        for node in moved:
            one_more = positions.update().where(positions.c.name == _NODES).values(value=positions.c.value + 1)
            position = connection.execute(one_more.returning(positions.c.value)).scalar_one()
            insert = self._insert(nodes).values(satellite=node, sequence=position)
            further = {"sequence": insert.excluded.sequence}
            connection.execute(insert.on_conflict_do_update(index_elements=[nodes.c.satellite], set_=further))


def _reports(connection: Connection, moved: dict[str, int]) -> list[NodeReport]:
    """What is known of the nodes in ``moved``, by name the positions at which they moved last."""
    names = list(moved)
    hellos = _last_hellos(connection, names)
    outcomes, latest = _outcomes(connection, names)
    events: dict[str, dict[str, NodeEvent]] = defaultdict(dict)
    for row in connection.execute(select(node_events).where(node_events.c.satellite.in_(names))):
        events[row.satellite][row.subject] = NodeEvent.model_validate_json(row.message)
    wanted = dict(
        _pairs(connection, select(desired.c.satellite, desired.c.digest).where(desired.c.satellite.in_(names)))
    )
    held = select(samples.c.satellite, func.count()).where(samples.c.satellite.in_(names)).group_by(samples.c.satellite)
    exported: dict[str, list[Export]] = defaultdict(list)
    for row in connection.execute(select(exports).where(exports.c.satellite.in_(names)).order_by(exports.c.path)):
        export = Export(path=row.path, lines=row.lines, at=datetime.fromisoformat(row.at))
        exported[row.satellite].append(export)
    counted, unused = _pairs(connection, held), _pairs(connection, held.where(samples.c.round.is_(None)))
    return [
        replace(
            _said(node, moved[node], hellos.get(node), latest.get(node)),
            samples=counted.get(node, 0),
            waiting=unused.get(node, 0),
            drift=drift_of(connection, node),
            wanted=wanted.get(node),
            outcomes=outcomes.get(node, {}),
            events=events.get(node, {}),
            exports=tuple(exported.get(node, ())),
        )
        for node in names
    ]


def _with_models(connection: Connection, reports: list[NodeReport]) -> list[NodeReport]:
    """The same reports, in which updates that were made of model files count for those files too."""
    made: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(select(built).where(built.c.satellite.in_([report.node for report in reports]))):
        made[row.satellite].append(row)
    return [_with_model(report, made.get(report.node, [])) for report in reports]


def _with_model(report: NodeReport, made: list[Any]) -> NodeReport:
    """The last word on an update is the last word on its model; what flies outweighs what was said before."""
    flying = {row.result: Digest(row.model) for row in made}
    outcomes = {Digest(row.model): report.outcomes[row.update] for row in made if row.update in report.outcomes}
    if (model := flying.get(report.flying)) is not None:
        outcomes[model] = Outcome.APPLIED
    return replace(report, model=model, outcomes={**report.outcomes, **outcomes})


def _said(node: str, sequence: int, heard: tuple[datetime, Hello] | None, report: UpdateReport | None) -> NodeReport:
    """What a node said of itself last."""
    empty = NodeReport(node=node, sequence=sequence, outcomes={}, events={})
    if heard is None:
        return empty if report is None else replace(empty, flying=report.flying)
    at, hello = heard
    later = report is not None and report.at > hello.clock
    return replace(
        empty,
        last_contact=at,
        flying=report.flying if report is not None and later else hello.flying,
        queued_samples=hello.queued_samples,
        queued_bytes=hello.queued_bytes,
        taken=hello.desired,
        fetched=hello.selection,
        logic=hello.logic,
    )


def _last_hellos(connection: Connection, names: Sequence[str]) -> dict[str, tuple[datetime, Hello]]:
    last = select(func.max(contacts.c.seq)).where(contacts.c.satellite.in_(names)).group_by(contacts.c.satellite)
    rows = connection.execute(select(contacts).where(contacts.c.seq.in_(last)))
    return {
        row.satellite: (datetime.fromisoformat(row.received), Hello.model_validate_json(row.message)) for row in rows
    }


def _outcomes(
    connection: Connection, names: Sequence[str]
) -> tuple[dict[str, dict[Digest, Outcome]], dict[str, UpdateReport]]:
    """The last outcome of each update, by node; and the last report of each node."""
    last = (
        select(func.max(reports.c.seq))
        .where(reports.c.satellite.in_(names))
        .group_by(reports.c.satellite, reports.c.update)
    )
    outcomes: dict[str, dict[Digest, Outcome]] = defaultdict(dict)
    latest: dict[str, UpdateReport] = {}
    for row in connection.execute(select(reports).where(reports.c.seq.in_(last)).order_by(reports.c.seq)):
        outcomes[row.satellite][Digest(row.update)] = Outcome(row.outcome)
        latest[row.satellite] = UpdateReport.model_validate_json(row.message)
    return outcomes, latest


def _pairs(connection: Connection, query: Any) -> dict[str, Any]:
    return {row[0]: row[1] for row in connection.execute(query)}
