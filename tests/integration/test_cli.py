"""The command as a user meets it: one line and a status for what is wrong, results for what is right."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFUSED, NOT_YET = 2, 75


def orbitloop(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from orbitloop_mission.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error."""
    (line,) = done.stderr.strip().splitlines()
    return line


def test_help_says_what_there_is() -> None:
    done = orbitloop("--help")
    assert done.returncode == 0
    for command in ("demo", "pretrain", "passes"):
        assert command in done.stdout


def test_passes_are_listed_for_machines() -> None:
    rows = json.loads(orbitloop("passes", "--days", "1", "--json").stdout)
    assert 2 <= len(rows) <= 6
    assert set(rows[0]) == {"aos", "los", "peak_deg"}


def test_a_station_that_is_no_place_is_refused() -> None:
    done = orbitloop("passes", "--latitude", "99")
    assert done.returncode == REFUSED
    assert "latitude 99.0" in complaint(done)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--data", "nowhere/annotations.json"), "nowhere/annotations.json: no such file"),
        (("--model", "nowhere"), "nowhere/detector.json: no such file"),
        (("--rounds", "0"), "0 rounds"),
        (("--share", "2"), "downlink share 2.0"),
        (("--labels", "teacher"), "--teacher"),
        (("--mining", "Psychic"), "IBT"),
        (("--parameter", "threshold"), "key=value"),
    ],
    ids=[
        "no data folder",
        "unknown model",
        "no rounds",
        "impossible share",
        "no teacher",
        "unknown miner",
        "no parameter",
    ],
)
def test_what_cannot_fly_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, str], named: str) -> None:
    done = orbitloop("demo", "--out", tmp_path, *arguments)
    assert done.returncode == REFUSED
    assert named in complaint(done)
    assert not (tmp_path / "report.json").exists()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = orbitloop("demo", "--out", tmp_path, "--gateway-port", str(port))
    assert done.returncode == REFUSED
    assert f"port {port}" in done.stderr.splitlines()[-1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_named_and_may_be_tried_again(small_disk: Path) -> None:
    done = orbitloop("demo", "--out", small_disk)
    assert done.returncode == NOT_YET
    assert "the disk is full" in done.stderr.splitlines()[-1]
    assert str(small_disk) in done.stderr.splitlines()[-1]
