"""``orbitloop link`` as a process: what it says, how it ends, and that killing it hurts nobody for long."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orbitloop_mission.space_link.__main__ import main

PATIENCE_S = 30.0
COMMAND = [sys.executable, "-m", "orbitloop_mission.space_link"]


class Link:
    """A running link, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.opened = self.line()

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        return said

    def until(self, **wanted: object) -> dict[str, Any]:
        """The next status in which these fields have these values."""
        while True:
            said = self.line()
            if all(said[name] == value for name, value in wanted.items()):
                return said

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, dict[str, Any]]:
        """Exit status, and the last line."""
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, json.loads(rest.splitlines()[-1])


class Ground:
    """What the link leads to: a TCP listener and a datagram socket."""

    def __init__(self) -> None:
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.tcp.settimeout(PATIENCE_S)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.settimeout(PATIENCE_S)

    @property
    def options(self) -> list[str]:
        return [
            "--ground",
            f"127.0.0.1:{self.tcp.getsockname()[1]}",
            "--ground-datagrams",
            f"127.0.0.1:{self.udp.getsockname()[1]}",
        ]


@pytest.fixture
def ground() -> Iterator[Ground]:
    place = Ground()
    with place.tcp, place.udp:
        yield place


@contextmanager
def a_link(*options: str) -> Iterator[Link]:
    process = subprocess.Popen([*COMMAND, *options, "--json"], stdout=subprocess.PIPE, text=True)
    try:
        yield Link(process)
    finally:
        process.kill()
        process.communicate()


def call(link: Link) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.opened["port"]), timeout=PATIENCE_S)


def is_reset(connection: socket.socket) -> bool:
    try:
        while connection.recv(1_000):
            continue
    except ConnectionError:
        return True
    return False


def test_it_says_its_ports_first_and_its_counts_last(ground: Ground) -> None:
    with a_link(*ground.options) as link:
        assert link.opened["event"] == "open"
        with call(link) as satellite, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            accepted, _ = ground.tcp.accept()
            with accepted:
                satellite.sendall(b"over tcp")
                assert accepted.recv(100) == b"over tcp"
                sender.sendto(b"over udp", ("127.0.0.1", link.opened["datagrams"]))
                assert ground.udp.recv(100) == b"over udp"
                link.until(event="status", down=8)
        status, last = link.end()
    assert status == 0
    assert (last["event"], last["down"], last["connections"], last["cuts"]) == ("closed", 8, 1, 0)
    assert last["downward"]["delivered_bytes"] == 8


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(ground: Ground, how: signal.Signals) -> None:
    with a_link(*ground.options) as link:
        status, last = link.end(how)
    assert status == 0
    assert last["event"] == "closed"


def test_sigusr1_loses_the_signal_once(ground: Ground) -> None:
    with a_link(*ground.options) as link:
        with call(link) as satellite:
            accepted, _ = ground.tcp.accept()
            satellite.sendall(b"hello")
            assert accepted.recv(100) == b"hello"
            link.process.send_signal(signal.SIGUSR1)
            assert is_reset(satellite)
            assert is_reset(accepted)
            accepted.close()
        link.until(cuts=1)
        with call(link) as satellite:
            accepted, _ = ground.tcp.accept()
            with accepted:
                satellite.sendall(b"again")
                assert accepted.recv(100) == b"again"


def test_killed_and_started_again_on_the_same_ports_it_carries_again(ground: Ground) -> None:
    ports: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(3):
            with a_link(*ground.options, *ports) as link:
                with call(link) as satellite:
                    accepted, _ = ground.tcp.accept()
                    with accepted:
                        satellite.sendall(b"tcp")
                        assert accepted.recv(100) == b"tcp"
                        sender.sendto(b"udp", ("127.0.0.1", link.opened["datagrams"]))
                        assert ground.udp.recv(100) == b"udp"
                        link.process.kill()
                        link.process.wait()
                        with contextlib.suppress(ConnectionError):
                            assert satellite.recv(1) == b""  # the system ends what the process held
                ports = ["--listen", f"127.0.0.1:{link.opened['port']}", "--datagrams", str(link.opened["datagrams"])]


def test_whoever_stops_reading_does_not_stop_it(ground: Ground) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(1_000))
    os.set_blocking(writing, True)
    process = subprocess.Popen([*COMMAND, *ground.options, "--json"], stdout=writing)
    os.close(writing)
    try:
        # It cannot say its port; that it takes the signal at all shows that no write holds it.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reading)


def test_it_follows_a_plan_and_a_station(ground: Ground, tmp_path: Path) -> None:
    noon = datetime(2024, 3, 29, 12, tzinfo=UTC)
    plan = tmp_path / "plan.csv"
    plan.write_text(
        "station,aos,los\n"
        f"Tongchuan,{noon.isoformat()},{(noon + timedelta(minutes=8)).isoformat()}\n"
        f"Svalbard,{(noon + timedelta(hours=1)).isoformat()},{(noon + timedelta(hours=2)).isoformat()}\n"
    )
    for station, start, heard in (
        ("Tongchuan", "2024-03-29T12:01:00", "Tongchuan"),
        ("Tongchuan", "2024-03-29T13:01:00", None),
        ("Svalbard", "2024-03-29T15:01:00+02:00", "Svalbard"),
    ):
        with a_link(*ground.options, "--plan", str(plan), "--station", station, "--start", start) as link:
            assert link.line()["station"] == heard
            with contextlib.suppress(ConnectionError), call(link) as satellite:
                assert is_reset(satellite) if heard is None else satellite.send(b"hello")
            status, _ = link.end()
            assert status == 0


def test_a_trace_is_replayed_and_its_good_frames_are_counted(ground: Ground, tmp_path: Path) -> None:
    trace = tmp_path / "pass.csv"
    trace.write_text("second,frames,bad_frames\n0,100,10\n1,0,0\n2,50,50\n")
    with a_link(*ground.options, "--trace", str(trace)) as link:
        assert link.line()["offered"] == 0
        with call(link) as satellite:
            accepted, _ = ground.tcp.accept()
            with accepted:
                satellite.sendall(bytes(50_000))
                received = 0
                while received < 50_000:
                    received += len(accepted.recv(65_536))
                last = link.until(offered=90 * 1_008)
        assert last["down"] == 50_000


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--ground", "somewhere"], "--ground 'somewhere' is no HOST:PORT"),
        (["--ground", "127.0.0.1:0"], "--ground '127.0.0.1:0' is no HOST:PORT"),
        (["--ground", "127.0.0.1:9", "--listen", "127.0.0.1:65536"], "--listen '127.0.0.1:65536' is no HOST:PORT"),
        (["--ground", "127.0.0.1:9", "--listen", "203.0.113.1:0"], "this machine has no such address"),
        (["--ground", "127.0.0.1:9", "--datagrams", "5000"], "give --ground-datagrams"),
        (["--ground", "127.0.0.1:9", "--down", "fast"], "--down 'fast' is no rate"),
        (["--ground", "127.0.0.1:9", "--up", "0"], "--up '0' is no rate"),
        (["--ground", "127.0.0.1:9", "--delay", "4"], "--delay '4' is no duration"),
        (["--ground", "127.0.0.1:9", "--jitter", "-1ms"], "--jitter '-1ms' is no duration"),
        (["--ground", "127.0.0.1:9", "--queue", "0ms"], "drops every datagram"),
        (["--ground", "127.0.0.1:9", "--loss", "1"], "loss of 1"),
        (["--ground", "127.0.0.1:9", "--burst-loss", "0.1,0.2"], "--burst-loss '0.1,0.2' is not P,R,GOOD,BAD"),
        (["--ground", "127.0.0.1:9", "--burst-loss", "0.1,0,0,1"], "bursts would not end"),
        (["--ground", "127.0.0.1:9", "--corruption", "2"], "corruption = 2.0 is no probability"),
        (["--ground", "127.0.0.1:9", "--trace", "missing.csv"], "missing.csv"),
        (["--ground", "127.0.0.1:9", "--trace", "x.csv", "--down", "1Mbit"], "--trace and --down"),
        (["--ground", "127.0.0.1:9", "--plan", "missing.csv"], "missing.csv"),
        (["--ground", "127.0.0.1:9", "--plan", "x.csv", "--always"], "--plan and --always"),
        (["--ground", "127.0.0.1:9", "--station", "Svalbard"], "give --plan too"),
        (["--ground", "127.0.0.1:9", "--start", "noon"], "--start 'noon' is no time"),
        (["--ground", "127.0.0.1:9", "--seed", "-1"], "--seed -1 is negative"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_option_is_one_line_that_says_what_to_do(
    options: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["link", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert complaint in told
    assert told.count("\n") == 1


def test_a_plan_of_several_stations_needs_one_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.csv"
    plan.write_text(
        "station,aos,los\nTongchuan,2024-03-29T12:00:00Z,2024-03-29T12:08:00Z\n"
        "Svalbard,2024-03-29T13:00:00Z,2024-03-29T13:08:00Z\n"
    )
    for options, complaint in (
        ([], "windows of Svalbard, Tongchuan; a link is one station's"),
        (["--station", "Kiruna"], "no window of station 'Kiruna'"),
    ):
        argv = ["link", "--ground", "127.0.0.1:9", "--plan", str(plan), *options]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit):
            main()
        assert complaint in capsys.readouterr().err


def test_it_is_a_command_of_orbitloop() -> None:
    command = [sys.executable, "-c", "from orbitloop_mission.cli import main; main()", "link", "--ground", "nowhere"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "--ground 'nowhere' is no HOST:PORT" in ended.stderr
