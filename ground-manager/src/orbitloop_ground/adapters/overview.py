"""What the ledger knows of each satellite, in numbers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Table, func, select

from orbitloop.domain.units import Bytes
from orbitloop.wire.messages import Hello
from orbitloop_ground.adapters.tables import bundles, contacts, goodbyes, reports, samples


@dataclass(frozen=True, slots=True, kw_only=True)
class SatelliteSummary:
    """One satellite's counts since launch; ``bytes`` are of its bundles, the rest as its last hello said.

    A hello that was said twice, or told again after a crash, is one session.
    """

    satellite: str
    bundles: int
    bytes: Bytes
    samples: int
    sessions: int
    goodbyes: int
    reports: dict[str, int]
    last_contact: datetime | None
    flying: str | None
    queued_samples: int
    queued_bytes: Bytes


def summaries(connection: Connection) -> list[SatelliteSummary]:
    """Every satellite that was ever heard, by name."""
    counts = {table.name: _counts(connection, table) for table in (bundles, samples, contacts, goodbyes)}
    total = select(bundles.c.satellite, func.sum(bundles.c.size)).group_by(bundles.c.satellite)
    sizes = {row.satellite: Bytes(row[1]) for row in connection.execute(total)}
    outcomes: dict[str, dict[str, int]] = defaultdict(dict)
    query = select(reports.c.satellite, reports.c.outcome, func.count()).group_by(
        reports.c.satellite, reports.c.outcome
    )
    for satellite, outcome, count in connection.execute(query):
        outcomes[satellite][outcome] = count
    hellos = _last_hellos(connection)
    known = set(outcomes).union(*counts.values())
    return [
        SatelliteSummary(
            satellite=name,
            bundles=counts["bundles"].get(name, 0),
            bytes=sizes.get(name, Bytes(0)),
            samples=counts["samples"].get(name, 0),
            sessions=counts["contacts"].get(name, 0),
            goodbyes=counts["goodbyes"].get(name, 0),
            reports=dict(outcomes.get(name, {})),
            last_contact=hellos[name][0] if name in hellos else None,
            flying=hellos[name][1].flying if name in hellos else None,
            queued_samples=hellos[name][1].queued_samples if name in hellos else 0,
            queued_bytes=hellos[name][1].queued_bytes if name in hellos else Bytes(0),
        )
        for name in sorted(known)
    ]


def _counts(connection: Connection, table: Table) -> dict[str, int]:
    counted = func.count(contacts.c.message.distinct()) if table is contacts else func.count()
    query = select(table.c.satellite, counted).group_by(table.c.satellite)
    return {row.satellite: int(row[1]) for row in connection.execute(query)}


def _last_hellos(connection: Connection) -> dict[str, tuple[datetime, Hello]]:
    last = select(func.max(contacts.c.seq)).group_by(contacts.c.satellite)
    rows = connection.execute(select(contacts).where(contacts.c.seq.in_(last)))
    return {
        row.satellite: (datetime.fromisoformat(row.received), Hello.model_validate_json(row.message)) for row in rows
    }
