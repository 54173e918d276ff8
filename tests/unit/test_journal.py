"""The journal behind the ledger: whole records in order, whatever else the disk does to it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orbitloop_ground.adapters.journal import Journal

RECORDS = [
    (kind, {"number": number, "text": "x" * number}) for number, kind in enumerate(("enter", "consume", "enter"))
]


def written(folder: Path) -> tuple[Journal, Path]:
    path = folder / "journal"
    journal = Journal(path)
    for kind, fields in RECORDS:
        journal.append(kind, fields)
    return journal, path


def test_what_was_appended_comes_back_in_order(tmp_path: Path) -> None:
    _, path = written(tmp_path)
    assert list(Journal(path).records()) == RECORDS


@given(st.integers(0, 2**16))
def test_a_journal_cut_short_keeps_the_records_before_the_cut(length: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal, path = written(Path(folder))
        data = path.read_bytes()
        path.write_bytes(data[: length % len(data)])
        found = list(journal.records())
        assert found == RECORDS[: len(found)]


@given(st.integers(0, 2**16), st.integers(1, 255))
def test_a_damaged_byte_costs_one_record_at_most(place: int, change: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal, path = written(Path(folder))
        data = bytearray(path.read_bytes())
        data[place % len(data)] ^= change
        path.write_bytes(data)
        found = list(journal.records())
        assert len(found) >= len(RECORDS) - 1
        assert all(record in RECORDS for record in found)


def test_a_record_that_was_torn_is_passed_over_by_the_next(tmp_path: Path) -> None:
    journal, path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    journal.append("consume", {"number": 9})
    assert list(journal.records()) == [*RECORDS[:2], ("consume", {"number": 9})]


def test_the_end_of_a_journal_can_be_read_alone(tmp_path: Path) -> None:
    journal, path = written(tmp_path)
    assert [list(journal.records(last=size)) for size in (0, 5, path.stat().st_size)] == [[], [], RECORDS]
    assert list(journal.records(last=path.stat().st_size - 1)) == RECORDS[1:]
