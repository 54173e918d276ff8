"""Reviews in a ledger that is killed, that is older than they are, and whose journal has lost a record."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Digest
from orbitloop.testing.reviews import a_proposal, a_truth
from orbitloop.testing.samples import LAUNCH
from orbitloop_ground.adapters.journal import Journal
from orbitloop_ground.adapters.restorable import RestorableLedger

WINDOW = Window(x0=0, y0=0, width=416, height=416)
DECIDE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from orbitloop.testing.reviews import a_truth
from orbitloop_ground.adapters.restorable import RestorableLedger
ledger = RestorableLedger(Path(sys.argv[1]))
for number, review in enumerate(ledger.pending()):
    ledger.decide(review.sample, a_truth((number, 2, number + 9, 4, 0)), "ana", datetime(2026, 1, 1, tzinfo=UTC))
    print(review.sample, flush=True)
"""


def a_name(number: int) -> Digest:
    return digest_of(str(number).encode())


def propose(ledger: RestorableLedger, count: int) -> None:
    for number in range(count):
        ledger.propose(a_name(number), f"{number}.png", WINDOW, a_proposal())


@pytest.mark.parametrize("told", [1, 7, 20])
def test_what_was_acknowledged_before_a_kill_stands(tmp_path: Path, told: int) -> None:
    path = tmp_path / "ledger.db"
    ledger = RestorableLedger(path)
    propose(ledger, 40)
    ledger.close()
    with subprocess.Popen([sys.executable, "-c", DECIDE, str(path)], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        acknowledged = [worker.stdout.readline().strip() for _ in range(told)]
        worker.kill()
        acknowledged += worker.stdout.read().split()
    again = RestorableLedger(path)
    decided = again.decided()
    assert set(acknowledged) <= decided.keys()
    assert len(decided) + len(again.pending()) == 40
    assert {review.revision for review in again.reviews(pending=False)} == {1}
    again.close()


def test_a_ledger_that_is_older_than_reviews_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    RestorableLedger(path).close()
    with sqlite3.connect(path) as connection:
        connection.executescript("DROP TABLE reviews; DROP TABLE verdicts;")
    connection.close()
    ledger = RestorableLedger(path)
    propose(ledger, 1)
    assert [review.sample for review in ledger.pending()] == [a_name(0)]
    ledger.close()


def test_verdicts_outlive_a_lost_record_of_what_they_are_about(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = RestorableLedger(path)
    propose(ledger, 1)
    ledger.decide(a_name(0), a_truth((1, 2, 3, 4, 0)), "ana", LAUNCH)
    ledger.close()
    journal = path.with_suffix(".journal")
    kept = [record for record in Journal(journal).records() if record[0] != "propose"]
    journal.unlink()
    path.unlink()
    for kind, fields in kept:
        Journal(journal).append(kind, fields)
    again = RestorableLedger(path)
    assert again.decided() == {}
    propose(again, 1)
    assert again.pending() == []
    assert again.decided().keys() == {a_name(0)}
    again.decide(a_name(0), None, "ben", LAUNCH)
    assert again.decided() == {a_name(0): None}
    again.close()


def test_verdicts_that_are_told_again_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = RestorableLedger(path)
    propose(ledger, 1)
    for truth in (a_truth((1, 2, 3, 4, 0)), None, a_truth()):
        ledger.decide(a_name(0), truth, "ana", LAUNCH)
    ledger._restore(Journal(path.with_suffix(".journal")).records())
    found = ledger.review(a_name(0))
    assert found is not None
    assert found.revision == 3
    assert found.verdict is not None
    assert found.verdict.says_the_same(a_truth())
    ledger.close()
