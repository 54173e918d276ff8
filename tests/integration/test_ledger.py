"""What the ledger keeps of contact sessions, in each database that it can be in, also when gateways share it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.pool import Pool

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NotYet, Untrusted
from orbitloop.domain.samples import Reason
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.sample_store import Arrival
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import entry_of
from orbitloop.wire.messages import Goodbye, Hello, Priorities
from orbitloop_ground.adapters.ledger import Ledger
from orbitloop_ground.adapters.tables import goodbyes
from orbitloop_ground.settings import GroundSettings
from orbitloop_ground.usecases.converse import Reception, Replayed

FLYING = digest_of(b"weights")
FIRST, SECOND = "1" * 32, "2" * 32


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger(ledger_url)
    yield opened
    opened.close()


@pytest.fixture
def reception(ledger: Ledger) -> Reception:
    return Reception(ledger, VirtualClock(LAUNCH))


def a_hello(
    sequence: int = 0, session: str = "", *, satellite: str = "sat-1", unfinished: tuple[Digest, ...] = ()
) -> Hello:
    return Hello(
        satellite=satellite,
        flying=FLYING,
        clock=LAUNCH,
        queued_samples=0,
        queued_bytes=Bytes(0),
        session=session,
        sequence=sequence,
        unfinished=unfinished,
    )


def a_goodbye(session: str = FIRST) -> Goodbye:
    return Goodbye(
        satellite="sat-1", session=session, bundles=1, samples=3, bytes_down=Bytes(9), bytes_up=Bytes(0), complete=True
    )


@pytest.mark.parametrize(
    ("then", "taken"),
    [
        (a_hello(8, SECOND), True),
        (a_hello(7, FIRST), True),
        (a_hello(7, SECOND), False),
        (a_hello(6, FIRST), False),
        (a_hello(0), True),
    ],
    ids=[
        "the next session",
        "the same hello again",
        "another of that number",
        "an older one",
        "one that is not counted",
    ],
)
def test_after_session_seven_a_hello_is_taken_if_it_is_no_replay(
    ledger: Ledger, reception: Reception, then: Hello, taken: bool
) -> None:
    reception.hello("sat-1", a_hello(7, FIRST))
    if taken:
        reception.hello("sat-1", then)
        assert ledger.last_session("sat-1") == max((then.sequence, then.session), (7, FIRST))
    else:
        with pytest.raises(Replayed, match=r"7 was the last.*readmit"):
            reception.hello("sat-1", then)
        assert ledger.last_session("sat-1") == (7, FIRST)
        assert ledger.last_hello("sat-1") == (LAUNCH, a_hello(7, FIRST))


def test_the_sessions_of_one_satellite_say_nothing_of_anothers(reception: Reception) -> None:
    reception.hello("sat-1", a_hello(7, FIRST))
    reception.hello("sat-2", a_hello(1, FIRST, satellite="sat-2"))


def test_a_satellite_whose_disk_was_replaced_speaks_again_once_it_is_readmitted(
    ledger: Ledger, reception: Reception
) -> None:
    reception.hello("sat-1", a_hello(7, FIRST))
    assert ledger.readmit("sat-1")
    assert not ledger.readmit("sat-1")
    reception.hello("sat-1", a_hello(1, SECOND))
    assert ledger.last_session("sat-1") == (1, SECOND)


def test_of_two_sessions_that_two_gateways_hear_at_once_under_one_number_one_is_taken(ledger_url: str) -> None:
    ledgers = [Ledger(ledger_url) for _ in range(4)]
    taken: list[tuple[int, int]] = []
    together = threading.Barrier(len(ledgers))

    def hear(place: int) -> None:
        together.wait()
        taken.extend(
            (sequence, place)
            for sequence in range(1, 11)
            if ledgers[place].record_hello(a_hello(sequence, str(place) * 32), LAUNCH)
        )

    threads = [threading.Thread(target=hear, args=(place,)) for place in range(len(ledgers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ledger in ledgers:
        ledger.close()
    numbers = [sequence for sequence, _ in taken]
    assert len(numbers) == len(set(numbers))
    assert 10 in numbers


def test_nobody_speaks_for_another(reception: Reception) -> None:
    with pytest.raises(Untrusted, match="may not speak for 'sat-1'"):
        reception.hello("sat-2", a_hello())
    with pytest.raises(Untrusted, match="may not speak for 'sat-1'"):
        reception.goodbye("sat-2", a_goodbye())


def test_the_welcome_names_unfinished_bundles_that_arrived_after_all(ledger: Ledger, reception: Reception) -> None:
    sample, pixels = a_sample(0)
    bundle = digest_of(b"bundle")
    entries = (entry_of("sat-1", sample, pixels),)
    receipt = ledger.enter(Arrival(bundle=bundle, size=Bytes(9), satellite="sat-1", at=LAUNCH, entries=entries))
    welcome = reception.hello("sat-1", a_hello(1, FIRST, unfinished=(bundle, digest_of(b"on its way"))))
    assert welcome.held == (receipt,)
    assert welcome.received == 1


def test_what_was_wanted_for_its_value_is_kept_and_never_learned_from(ledger: Ledger) -> None:
    (hard, pixels), (wanted, part) = a_sample(0), a_sample(1)
    wanted = replace(wanted, reason=Reason.VALUE)
    entries = (entry_of("sat-1", hard, pixels), entry_of("sat-1", wanted, part))
    ledger.enter(Arrival(bundle=digest_of(b"x"), size=Bytes(9), satellite="sat-1", at=LAUNCH, entries=entries))
    assert [entry.sample.id for entry in ledger.waiting()] == [hard.id]
    assert ledger.count_waiting() == 1
    assert ledger.count_received("sat-1") == 2
    assert ledger.consume([hard.id, wanted.id], "1") == 1


def test_a_goodbye_said_twice_is_kept_once(ledger: Ledger, reception: Reception) -> None:
    for _ in range(2):
        reception.goodbye("sat-1", a_goodbye())
    assert ledger.last_goodbye("sat-1") == (LAUNCH, a_goodbye())
    assert ledger._read(select(func.count()).select_from(goodbyes)) == [(1,)]


def test_priorities_grow_in_revision_and_are_told_with_the_welcome(ledger: Ledger, reception: Reception) -> None:
    assert reception.hello("sat-1", a_hello()).priorities is None
    assert ledger.set_priorities("sat-1", {"hard": 2.0}) == Priorities(revision=1, factors={"hard": 2.0})
    told = ledger.set_priorities("sat-1", {"miss": 0.5})
    assert told == Priorities(revision=2, factors={"miss": 0.5})
    assert reception.hello("sat-1", a_hello()).priorities == told
    assert ledger.priorities("sat-2") is None


@pytest.mark.parametrize("factor", [-1.0, 1e9, float("nan")])
def test_a_priority_out_of_range_is_refused_and_changes_nothing(ledger: Ledger, factor: float) -> None:
    with pytest.raises(BadInput, match=r"sat-1: factors\.hard"):
        ledger.set_priorities("sat-1", {"hard": factor})
    assert ledger.priorities("sat-1") is None


def test_a_database_of_the_version_before_opens_with_what_is_in_it(ledger_url: str) -> None:
    now = Ledger(ledger_url)
    now.record_hello(a_hello(), LAUNCH)
    with now._transaction() as connection:
        for table in ("sessions", "goodbyes", "priorities"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
    now.close()
    ledger = Ledger(ledger_url)
    assert ledger.last_hello("sat-1") == (LAUNCH, a_hello())
    assert ledger.record_hello(a_hello(1, FIRST), LAUNCH)
    assert ledger.priorities("sat-1") is None
    ledger.close()


def test_gateways_that_make_the_same_ledger_at_once_all_get_it(ledger_url: str) -> None:
    opened: list[Ledger] = []
    together = threading.Barrier(4)

    def open_it() -> None:
        together.wait()
        opened.append(Ledger(ledger_url))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for ledger in opened:
        ledger.close()


def test_a_ledger_that_others_keep_busy_is_a_reason_to_ask_again(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{file}")

    def at_once(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA busy_timeout = 0")

    event.listen(Pool, "checkout", at_once)
    try:
        with closing(sqlite3.connect(file)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(NotYet, match="does not answer"):
                ledger.record_goodbye(a_goodbye(), LAUNCH)
    finally:
        event.remove(Pool, "checkout", at_once)
    ledger.record_goodbye(a_goodbye(), LAUNCH)
    assert ledger.last_goodbye("sat-1") == (LAUNCH, a_goodbye())
    ledger.close()


@pytest.mark.parametrize(
    "database", ["//user:secret@host", "postgresql+nonesuch://user:secret@host/name", "nonesuch://user:secret@host"]
)
def test_a_database_that_is_none_is_named_without_its_password(database: str) -> None:
    with pytest.raises(BadInput, match="the setting database") as refused:
        Ledger(database)
    assert "secret" not in str(refused.value)


def test_settings_show_no_password(tmp_path: Path) -> None:
    settings = GroundSettings(folder=tmp_path, keys=tmp_path, database="postgresql://user:secret@host/name")
    assert "secret" not in repr(settings) + str(settings)
