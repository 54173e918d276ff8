"""Contact plans as files: what is written is read, and what is wrong is refused with its line."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.adapters.plans import read_plan, write_plan
from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import BadInput

NOON = datetime(2024, 3, 29, 12, tzinfo=UTC)
HEADER = "station,aos,los,peak_deg"
FIRST = "Tongchuan,2024-03-29T12:00:00Z,2024-03-29T12:08:00Z,40.5"


def a_file(folder: Path, *lines: str) -> Path:
    path = folder / "plan.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_a_plan_is_read_in_order_of_acquisition(tmp_path: Path) -> None:
    later = "Svalbard,2024-03-29T14:00:00+01:00,2024-03-29T13:09:00Z,"
    plan = read_plan(a_file(tmp_path, HEADER, later, FIRST))
    assert plan == (
        ContactWindow(aos=NOON, los=NOON + timedelta(minutes=8), station="Tongchuan", peak=40.5),
        ContactWindow(aos=NOON + timedelta(hours=1), los=NOON + timedelta(minutes=69), station="Svalbard"),
    )


def test_columns_may_come_in_any_order_and_the_peak_may_be_missing(tmp_path: Path) -> None:
    (window,) = read_plan(a_file(tmp_path, "los,aos,station", "2024-03-29T12:08Z,2024-03-29T12:00Z,Tongchuan"))
    assert (window.station, window.duration, window.peak) == ("Tongchuan", timedelta(minutes=8), 0)


def test_a_spreadsheet_may_have_saved_it(tmp_path: Path) -> None:
    path = tmp_path / "plan.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f'{HEADER}\r\n"{FIRST.replace(",", chr(34) + "," + chr(34))}"\r\n'.encode())
    assert [window.station for window in read_plan(path)] == ["Tongchuan"]


def test_a_plan_without_passes_is_a_plan(tmp_path: Path) -> None:
    write_plan(tmp_path / "plan.csv", ())
    assert read_plan(tmp_path / "plan.csv") == ()


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 90_000), st.sampled_from(["", "s,1"])),
        max_size=6,
    )
)
def test_what_is_written_is_read_back(rows: list[tuple[int, int, int, str]]) -> None:
    begin, windows = NOON, []
    for gap, length, peak, satellite in rows:
        aos = begin + timedelta(microseconds=gap)
        begin = aos + timedelta(microseconds=length)
        windows.append(ContactWindow(aos=aos, los=begin, station='the "dish"', peak=peak / 1_000, satellite=satellite))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.csv"
        write_plan(path, reversed(windows))
        assert read_plan(path) == tuple(windows)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ((), "empty; the first line must name the columns station, aos, los"),
        (("station,aos",), "line 1: column los is missing"),
        ((HEADER + ",colour",), "line 1: column 'colour' is unknown; use station"),
        ((HEADER + ",aos",), "line 1: column aos stands there twice"),
        ((HEADER, FIRST, ""), "line 3: blank; delete the line"),
        ((HEADER, "# a note"), "line 2: 1 fields for 4 columns"),
        ((HEADER, FIRST + ",1"), "line 2: 5 fields for 4 columns"),
        ((HEADER, FIRST, ",2024-03-29T13:00Z,2024-03-29T13:08Z,1"), "line 3: station '' must be a word"),
        ((HEADER, "A ,2024-03-29T13:00Z,2024-03-29T13:08Z,1"), "line 2: station 'A ' must be a word"),
        ((HEADER, "A,noon,2024-03-29T13:08Z,1"), "line 2: aos 'noon' is no time; write it as 2024-"),
        ((HEADER, "A,2024-03-29T13:00,2024-03-29T13:08Z,1"), "line 2: aos 2024-03-29T13:00:00 has no time zone"),
        ((HEADER, "A,2024-03-29T13:08Z,2024-03-29T13:00Z,1"), "line 2: the window at A ends .* before it begins"),
        ((HEADER, "A,2024-03-29T13:00Z,2024-03-29T13:08Z,high"), "line 2: peak_deg 'high' is not a number"),
        ((HEADER, "A,2024-03-29T13:00Z,2024-03-29T13:08Z,nan"), "line 2: the window at A peaks at nan"),
        ((HEADER, FIRST, '"A,2024'), "line 3: not CSV"),
        ((HEADER, FIRST, FIRST), "antenna Tongchuan cannot serve two passes at once: Tongchuan 2024-03-29T12:00:00Z"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_plan_that_makes_no_sense_is_refused_with_its_place(
    tmp_path: Path, lines: tuple[str, ...], complaint: str
) -> None:
    path = a_file(tmp_path, *lines)
    with pytest.raises(BadInput, match=complaint) as refused:
        read_plan(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_one_of_other_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.csv: no such file"):
        read_plan(tmp_path / "nowhere.csv")
    (tmp_path / "plan.csv").write_bytes(b"station,aos,los\n\xff\xfe")
    with pytest.raises(BadInput, match="not UTF-8 text"):
        read_plan(tmp_path / "plan.csv")


def test_a_plan_that_no_antenna_can_follow_is_not_written(tmp_path: Path) -> None:
    one = ContactWindow(aos=NOON, los=NOON + timedelta(minutes=8), station="A", antenna="dish", satellite="sat-1")
    other = replace(one, station="B", aos=NOON + timedelta(minutes=7), los=NOON + timedelta(minutes=9))
    with pytest.raises(BadInput, match=r"antenna dish .*: sat-1 over A 2024-03-29T12:00:00Z .*, and sat-1 over B"):
        write_plan(tmp_path / "plan.csv", (one, other))
    assert not (tmp_path / "plan.csv").exists()


def test_reading_a_plan_needs_no_orbit_model() -> None:
    loaded = (
        "import sys, orbitloop.adapters.plans; print([n for n in ('skyfield', 'sgp4', 'scipy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
