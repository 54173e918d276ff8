"""What the ledger keeps of nodes, in each database that it can be in, also when several gateways write at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes
from orbitloop.ports.sample_store import Arrival
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import entry_of
from orbitloop.wire.messages import Hello, UpdateReport
from orbitloop.wire.node_messages import NodeEvent, NodeEvents
from orbitloop_ground.adapters.ledger import Ledger
from orbitloop_ground.adapters.node_ledger import MOST_SUBJECTS

FLYING, NEXT, UPDATE = digest_of(b"weights"), digest_of(b"next weights"), digest_of(b"update")


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger(ledger_url)
    yield opened
    opened.close()


def said(*numbers: int, origin: str = "1", subject: str = "dataset/default/images", node: str = "sat-1") -> NodeEvents:
    events = tuple(
        NodeEvent(sequence=number, subject=subject, at=LAUNCH, value={"count": number}) for number in numbers
    )
    return NodeEvents(satellite=node, origin=origin * 32, events=events)


def a_hello(node: str = "sat-1", **changes: object) -> Hello:
    told = {"satellite": node, "flying": FLYING, "clock": LAUNCH, "queued_samples": 7, "queued_bytes": 700}
    return Hello.model_validate(told | changes)


def counts(ledger: Ledger) -> dict[str, object]:
    (report,) = ledger.node_reports(0)
    return {subject: event.value["count"] for subject, event in report.events.items()}


@pytest.mark.parametrize(
    ("batches", "last"),
    [
        ([said(1), said(2)], 2),
        ([said(1, 2), said(1, 2)], 2),
        ([said(1, 2, 3), said(2)], 3),
        ([said(8), said(1, origin="2")], 1),
        ([said(8), said(1, origin="2"), said(2, origin="2")], 2),
    ],
    ids=["one after the other", "twice", "an older one late", "a new outbox", "a new outbox that counts on"],
)
def test_the_last_word_about_a_subject_is_kept(ledger: Ledger, batches: list[NodeEvents], last: int) -> None:
    for batch in batches:
        ledger.record_events(batch, LAUNCH)
    assert counts(ledger) == {"dataset/default/images": last}


def test_events_that_were_heard_before_are_no_news(ledger: Ledger) -> None:
    assert ledger.record_events(said(1, 2), LAUNCH) == 2
    before = ledger.bearings()
    assert ledger.record_events(said(1, 2), LAUNCH) == 0
    assert ledger.bearings() == before


def test_subjects_that_nobody_spoke_of_for_longest_give_way(ledger: Ledger) -> None:
    for number in range(MOST_SUBJECTS // 50 + 2):
        events = tuple(
            NodeEvent(
                sequence=number * 50 + each + 1,
                subject=f"worker/default/{number}-{each}",
                at=LAUNCH,
                value={"count": 1},
            )
            for each in range(50)
        )
        batch = NodeEvents(satellite="sat-1", origin="1" * 32, events=events)
        ledger.record_events(batch, LAUNCH + timedelta(minutes=number))
    kept = counts(ledger)
    assert len(kept) == MOST_SUBJECTS
    assert "worker/default/1-49" not in kept
    assert "worker/default/2-0" in kept


def test_a_report_says_all_that_is_known_of_a_node(ledger: Ledger) -> None:
    wanted = ledger.set_desired("sat-1", b"{}")
    ledger.record_hello(a_hello(desired=wanted.digest), LAUNCH)
    entries = tuple(entry_of("sat-1", *a_sample(number, size=60)) for number in range(3))
    ledger.enter(Arrival(bundle=digest_of(b"b"), size=Bytes(9), satellite="sat-1", at=LAUNCH, entries=entries))
    ledger.consume([sample.sample.id for sample in ledger.waiting(limit=1)], "round-1")
    for outcome, minutes in ((Outcome.REFUSED, -2), (Outcome.APPLIED, 1)):
        at = LAUNCH + timedelta(minutes=minutes)
        report = UpdateReport(satellite="sat-1", update=UPDATE, outcome=outcome, flying=NEXT, at=at)
        ledger.record_report(report, LAUNCH)
    (known,) = ledger.node_reports(0)
    assert known.sequence == ledger.bearings().sequence
    assert (known.node, known.last_contact) == ("sat-1", LAUNCH)
    assert (known.queued_samples, known.queued_bytes) == (7, 700)
    assert (known.samples, known.waiting) == (3, 2)
    assert (known.wanted, known.taken) == (wanted.digest, wanted.digest)
    assert (known.flying, known.outcomes) == (NEXT, {UPDATE: Outcome.APPLIED})


def test_only_nodes_of_which_something_moved_are_reported(ledger: Ledger) -> None:
    ledger.record_hello(a_hello("sat-1"), LAUNCH)
    ledger.record_hello(a_hello("sat-2"), LAUNCH)
    before = ledger.bearings().sequence
    assert ledger.node_reports(before) == []
    ledger.record_events(said(1, node="sat-1"), LAUNCH)
    assert [report.node for report in ledger.node_reports(before)] == ["sat-1"]
    assert [report.node for report in ledger.node_reports(0)] == ["sat-2", "sat-1"]


def test_the_same_desired_state_again_moves_nothing(ledger: Ledger) -> None:
    wanted = ledger.set_desired("sat-1", b'{"datasets": {}}')
    before = ledger.bearings()
    assert ledger.set_desired("sat-1", b'{"datasets": {}}') == wanted == ledger.desired("sat-1")
    assert ledger.bearings() == before
    assert ledger.desired("sat-2") is None


def test_nodes_of_a_ledger_from_before_are_reported(ledger_url: str) -> None:
    old = Ledger(ledger_url)
    old.record_hello(a_hello("sat-1"), LAUNCH)
    with old._transaction() as connection:
        for table in ("positions", "nodes"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
    old.close()
    new = Ledger(ledger_url)
    assert [report.node for report in new.node_reports(0)] == ["sat-1"]
    new.close()


def test_gateways_that_write_at_once_give_every_movement_a_position_of_its_own(ledger_url: str) -> None:
    ledgers = [Ledger(ledger_url) for _ in range(3)]

    def write(number: int) -> None:
        for sequence in range(1, 21):
            ledgers[number].record_events(said(sequence, node=f"sat-{number}"), LAUNCH)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledgers[0].bearings().sequence == 60
    reports = ledgers[1].node_reports(0)
    assert len({report.sequence for report in reports}) == 3
    assert max(report.sequence for report in reports) == 60
    for ledger in ledgers:
        ledger.close()
