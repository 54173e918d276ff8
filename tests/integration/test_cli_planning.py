"""``orbitloop passes`` and ``orbitloop plan``: from elements to a contact plan, from a queue to arrivals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orbitloop.adapters.plans import read_plan
from orbitloop.domain.errors import BadInput
from orbitloop_mission.cli.commands import app

REFUSED = 2
COMMAND = [sys.executable, "-c", "from orbitloop_mission.cli import main; main()"]

ELEMENTS = """\
ONE
1 99001U 24001A   24089.00000000  .00000000  00000-0  20000-4 0    08
2 99001  97.3710  40.0000 0012000  90.0000   0.0000 15.24928548    02
TWO
1 99002U 24001A   24089.00000000  .00000000  00000-0  20000-4 0    09
2 99002  97.3710  40.0000 0012000  90.0000  12.0000 15.24928548    06
"""
STATIONS = """\
name,latitude,longitude,height_m,mask_deg,antenna
Tongchuan,34.9,108.9,900,5,
Svalbard,78.2,15.4,,,SG-1
"""
QUEUE = """\
id,bytes,value,traffic,direction,created,reason,deadline
telemetry,2000,1,telemetry,down,2024-03-29T00:00:00Z,,
hard,60000,3,samples,down,2024-03-29T00:00:00Z,hard,
miss,60000,2,samples,down,2024-03-29T00:00:00Z,miss,
model,9000000,5,artifact,up,2024-03-29T00:00:00Z,,
update,400000,3,update,up,2024-03-29T00:00:00Z,,
late,60000,9,samples,down,2024-03-29T00:00:00Z,,2024-03-29T00:00:01Z
"""
CONTACTS = """\
station,aos,los,peak_deg
Tongchuan,2024-03-29T02:00:00Z,2024-03-29T02:01:40Z,40
Svalbard,2024-03-29T03:00:00Z,2024-03-29T03:01:40Z,
"""


def orbitloop(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error."""
    assert done.returncode == REFUSED
    (line,) = done.stderr.strip().splitlines()
    return line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with elements, stations, a contact plan and a queue."""
    for name, text in (
        ("sats.tle", ELEMENTS),
        ("stations.csv", STATIONS),
        ("contacts.csv", CONTACTS),
        ("queue.csv", QUEUE),
    ):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_passes_are_listed_for_machines(tmp_path: Path) -> None:
    rows = json.loads(orbitloop("passes", "--days", "1", "--json", cwd=tmp_path).stdout)
    assert 2 <= len(rows) <= 6
    assert set(rows[0]) == {"station", "aos", "los", "peak_deg"}


def test_a_plan_from_elements_and_stations_is_written_and_read(folder: Path) -> None:
    given = ("--tle", "sats.tle", "--stations", "stations.csv", "--start", "2024-03-29", "--satellite", "TWO")
    done = orbitloop("passes", *given, "--out", "plan.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    windows = read_plan(folder / "plan.csv")
    assert f"{len(windows)} windows in plan.csv" in done.stdout
    assert {(window.station, window.antenna) for window in windows} == {("Tongchuan", ""), ("Svalbard", "SG-1")}
    assert {window.satellite for window in windows} == {"TWO"}


def test_satellites_that_need_one_antenna_at_once_are_refused_or_resolved(folder: Path) -> None:
    given = ("--tle", "sats.tle", "--stations", "stations.csv", "--start", "2024-03-29", "--out", "plan.csv")
    said = complaint(orbitloop("passes", *given, cwd=folder))
    assert "antenna SG-1 cannot serve two passes at once: TWO over Svalbard" in said
    assert ", and ONE over Svalbard" in said
    assert "--resolve" in said
    assert not (folder / "plan.csv").exists()
    done = orbitloop("passes", *given, "--resolve", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "given up, antenna" in done.stdout
    assert {window.satellite for window in read_plan(folder / "plan.csv")} >= {"ONE"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--latitude", "99"), "latitude 99.0"),
        (("--satellite", "ONE"), "give it with --tle"),
        (("--tle", "sats.tle"), "--tle needs --start"),
        (("--tle", "nowhere.tle", "--start", "2024-03-29"), "nowhere.tle: no such file"),
        (("--tle", "stations.csv", "--start", "2024-03-29"), "stations.csv: line 2"),
        (("--tle", "sats.tle", "--start", "2024-03-29", "--satellite", "THREE"), "'THREE' is not among ONE, TWO"),
        (("--tle", "sats.tle", "--start", "2025-03-29", "--satellite", "ONE"), "of no use after 90"),
        (("--stations", "stations.csv", "--mask", "5"), "exclude each other"),
        (("--stations", "queue.csv"), "queue.csv, line 1: column 'id' is unknown"),
        (("--days", "0"), "positive number of days"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_passes_that_cannot_be_computed_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], named: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(BadInput) as refused:
        app(["passes", *arguments], standalone_mode=False)
    assert named in str(refused.value)


def planned(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return orbitloop("plan", "--queue", "queue.csv", "--contacts", "contacts.csv", *arguments, cwd=folder)


def test_every_item_has_an_arrival_or_a_reason(folder: Path) -> None:
    rates = ("--downlink", "8000", "--uplink", "800000", "--reserve", "10", "--delay-ms", "0")
    done = planned(folder, *rates, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["arrivals"] == {
        "telemetry": "2024-03-29T02:00:02+00:00",
        "hard": "2024-03-29T02:01:08.666667+00:00",
        "miss": "2024-03-29T03:00:35.333333+00:00",
        "model": "2024-03-29T02:01:40+00:00",
        "update": None,
        "late": None,
    }
    assert {row["id"]: row["why"] for row in found["left"]} == {
        "update": "larger than the policy's largest update",
        "late": "no room before its deadline",
    }


def test_the_tables_show_how_full_each_pass_is(folder: Path) -> None:
    done = planned(folder, "--downlink", "8000", "--priority", "miss=200", "--efficiency", "Svalbard=50")
    assert done.returncode == 0, done.stderr
    assert "Tongchuan" in done.stdout
    assert "█" in done.stdout
    assert "no room before its deadline" in done.stdout


def test_a_queue_may_be_json(folder: Path) -> None:
    entry = {
        "id": "one",
        "bytes": 10,
        "value": 1,
        "traffic": "samples",
        "direction": "down",
        "created": "2024-03-29T00:00:00Z",
    }
    (folder / "queue.json").write_text(json.dumps([entry]))
    done = planned(folder, "--queue", "queue.json", "--json")
    assert json.loads(done.stdout)["arrivals"]["one"].startswith("2024-03-29T02:00:00")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--queue", "nowhere.csv"), "nowhere.csv: no such file"),
        (("--queue", "bad.json"), "bad.json: not JSON"),
        (("--queue", "object.json"), "object.json: not a list of objects"),
        (("--queue", "entry.json"), "entry.json, entry 1: id: Field required"),
        (("--queue", "word.csv"), "word.csv, line 2: traffic: Input should be 'telemetry'"),
        (("--queue", "twice.csv"), "twice.csv: item a is queued twice"),
        (("--queue", "empty.csv"), "empty.csv, line 2: item a: 0 of 0 bytes across"),
        (("--contacts", "queue.csv"), "queue.csv, line 1: column 'id' is unknown"),
        (("--contacts", "none.csv"), "none.csv: no window in it"),
        (("--satellite", "ONE"), "no window of satellite 'ONE'"),
        (("--contacts", "two.csv"), "windows of ONE, TWO; choose one with --satellite"),
        (("--priority", "pretty=5"), "--priority 'pretty=5' is no NAME=PERCENT"),
        (("--priority", "miss=0"), "priority of miss: 0 %"),
        (("--efficiency", "Svalbard=101"), "--efficiency 'Svalbard=101' must be 0 to 100"),
        (("--efficiency", "half"), "--efficiency 'half' is no whole number"),
        (("--reserve", "99"), "reserve 99 %"),
        (("--delay-ms", "-1"), "--delay-ms -1.0 must be"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_planned_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], named: str
) -> None:
    monkeypatch.chdir(folder)
    header, row = "id,bytes,value,traffic,direction,created\n", "a,10,1,samples,down,2024-03-29T00:00:00Z\n"
    (folder / "bad.json").write_text("{")
    (folder / "object.json").write_text("{}")
    (folder / "entry.json").write_text("[{}]")
    (folder / "word.csv").write_text(header + row.replace("samples", "gossip"))
    (folder / "twice.csv").write_text(header + row + row)
    (folder / "empty.csv").write_text(header + row.replace(",10,", ",0,"))
    (folder / "none.csv").write_text("station,aos,los\n")
    (folder / "two.csv").write_text(
        "station,aos,los,satellite\n"
        "A,2024-03-29T02:00:00Z,2024-03-29T02:08:00Z,ONE\n"
        "A,2024-03-29T03:00:00Z,2024-03-29T03:08:00Z,TWO\n"
    )
    if arguments == ("--satellite", "ONE"):
        (folder / "contacts.csv").write_text((folder / "two.csv").read_text().replace(",ONE", ",THREE"))
    with pytest.raises(BadInput) as refused:
        app(["plan", "--queue", "queue.csv", "--contacts", "contacts.csv", *arguments], standalone_mode=False)
    assert named in str(refused.value)
