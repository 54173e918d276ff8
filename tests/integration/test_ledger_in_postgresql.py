"""What PostgreSQL alone can do to a ledger: crash in the middle of a write, run full, be asked by other names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy.pool import QueuePool
from tests.pods import free_port
from tests.postgresql import PostgreSQL

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NoSpace, NotYet
from orbitloop.domain.units import Bytes
from orbitloop.ports.sample_store import Arrival
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import entry_of
from orbitloop.wire.messages import Receipt
from orbitloop_ground.adapters.ledger import Ledger

SAMPLES, BUNDLES = 3, 60


@pytest.fixture
def place(postgresql: PostgreSQL) -> str:
    return postgresql.database()


@pytest.fixture
def ledger(place: str) -> Iterator[Ledger]:
    opened = Ledger(place)
    yield opened
    opened.close()


def an_arrival(number: int) -> Arrival:
    """A bundle of samples that no other number has."""
    samples = range(number * SAMPLES, (number + 1) * SAMPLES)
    entries = tuple(entry_of("sat-1", *a_sample(each, size=60)) for each in samples)
    bundle = digest_of(f"bundle {number}".encode())
    return Arrival(bundle=bundle, size=Bytes(9), satellite="sat-1", at=LAUNCH, entries=entries)


def told_until_taken(ledger: Ledger, arrival: Arrival) -> Receipt:
    """As a satellite does it: once more, for as long as the ground says that it cannot take it now."""
    for _ in range(2_000):
        try:
            return ledger.enter(arrival)
        except NotYet:
            threading.Event().wait(0.02)
    raise AssertionError("it was never taken")


def test_bundles_that_several_gateways_are_told_at_once_are_entered_once(place: str) -> None:
    ledgers = [Ledger(place) for _ in range(4)]
    receipts: list[Receipt] = []
    together = threading.Barrier(len(ledgers))

    def enter(ledger: Ledger) -> None:
        together.wait()
        receipts.extend(told_until_taken(ledger, an_arrival(number)) for number in range(10))

    threads = [threading.Thread(target=enter, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receipts) == 40
    assert len({receipt.bundle for receipt in receipts}) == 10
    assert ledgers[0].count_received("sat-1") == 10 * SAMPLES
    for ledger in ledgers:
        ledger.close()


def test_a_database_that_crashes_in_the_middle_of_writes_keeps_what_was_acknowledged(
    postgresql: PostgreSQL, place: str
) -> None:
    ledgers = [Ledger(place) for _ in range(2)]
    receipts: list[Receipt] = []
    under_way, down = threading.Event(), threading.Event()

    def enter(ledger: Ledger, first: int) -> None:
        for number in range(first, first + BUNDLES):
            receipts.append(told_until_taken(ledger, an_arrival(number)))
            if number == first + 10:
                under_way.set()
                down.wait(60)

    threads = [threading.Thread(target=enter, args=(ledger, at * BUNDLES)) for at, ledger in enumerate(ledgers)]
    for thread in threads:
        thread.start()
    assert under_way.wait(60)
    postgresql.kill()
    down.set()
    with pytest.raises(NotYet, match="does not answer"):
        ledgers[0].last_session("sat-1")
    postgresql.start()
    for thread in threads:
        thread.join()
    assert len(receipts) == 2 * BUNDLES
    assert all(ledgers[0].entered("sat-1", receipt.bundle) for receipt in receipts)
    assert ledgers[1].count_received("sat-1") == 2 * BUNDLES * SAMPLES
    for ledger in ledgers:
        ledger.close()


def test_a_gateway_notices_nothing_of_a_restart_between_two_messages(postgresql: PostgreSQL, ledger: Ledger) -> None:
    ledger.enter(an_arrival(0))
    postgresql.kill()
    postgresql.start()
    ledger.enter(an_arrival(1))
    assert ledger.count_received("sat-1") == 2 * SAMPLES


def test_a_full_disk_is_named_and_leaves_the_ledger_as_it_was(
    postgresql: PostgreSQL, place: str, ledger: Ledger
) -> None:
    schema = place.rpartition("%3D")[2]
    # The server's own code for it, raised where a disk would run full.
    postgresql.does(
        f"CREATE FUNCTION {schema}.full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$; "
        f"CREATE TRIGGER full_disk BEFORE INSERT ON {schema}.samples EXECUTE FUNCTION {schema}.full_disk()"
    )
    with pytest.raises(NoSpace, match=r"the disk of the ledger .* is full; free space"):
        ledger.enter(an_arrival(0))
    assert ledger.entered("sat-1", an_arrival(0).bundle) is None
    postgresql.does(f"DROP TRIGGER full_disk ON {schema}.samples")
    assert ledger.enter(an_arrival(0)).samples == SAMPLES


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [("25006", NotYet, "is read-only; try again"), ("42501", BadInput, "GRANT CREATE ON SCHEMA public")],
    ids=["a standby", "no right"],
)
def test_what_a_server_may_not_do_is_an_error_of_ours(
    postgresql: PostgreSQL, place: str, ledger: Ledger, code: str, error: type[Exception], says: str
) -> None:
    schema = place.rpartition("%3D")[2]
    postgresql.does(
        f"CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END $$; "
        f"CREATE TRIGGER refuse BEFORE INSERT ON {schema}.samples EXECUTE FUNCTION {schema}.refuse()"
    )
    with pytest.raises(error, match=says):
        ledger.enter(an_arrival(0))
    postgresql.does(f"DROP TRIGGER refuse ON {schema}.samples")
    assert ledger.enter(an_arrival(0)).samples == SAMPLES


def test_more_at_once_than_there_are_connections_is_a_reason_to_ask_again(ledger: Ledger) -> None:
    pool = ledger._engine.pool
    assert isinstance(pool, QueuePool)
    pool._timeout = 0.1
    most = pool.size() + pool._max_overflow
    with ExitStack() as held:
        for _ in range(most):
            held.enter_context(ledger._transaction())
        with pytest.raises(NotYet, match=r"all connections .* are in use"):
            ledger.summaries()
    assert ledger.summaries() == []


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_it_is_found_under_each_of_its_names(place: str, scheme: str) -> None:
    ledger = Ledger(f"{scheme}:{place.partition(':')[2]}")
    assert ledger.summaries() == []
    ledger.close()


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(NotYet, match="does not answer") as refused:
        Ledger(f"postgresql://user:secret@127.0.0.1:{free_port()}/ledger")
    assert "secret" not in str(refused.value)
