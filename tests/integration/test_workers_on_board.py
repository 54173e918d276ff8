"""The Local Controller as a process that nobody on the ground answers, killed with -9 while workers report to it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.testing.clocks import VirtualClock
from orbitloop.wire.worker_messages import WorkerInfo
from orbitloop.worker.reports import HttpReporter
from orbitloop_edge.adapters.node_events import NodeEventsFile

EDGE = [sys.executable, "-m", "orbitloop_edge.cli"]
GENEROUS_S = 80.0


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GENEROUS_S
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {GENEROUS_S} s"
        time.sleep(0.02)


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return int(unused.getsockname()[1])


@dataclass(kw_only=True)
class Satellite:
    """A satellite whose ground is away."""

    folder: Path
    keys: Path
    port: int = field(default_factory=a_free_port)

    def __post_init__(self) -> None:
        (self.folder / "satellite.toml").write_text(
            f'satellite = "sat-1"\nfolder = "state"\nkeys = "{self.keys / "satellites" / "sat-1"}"\n'
            f'[stations.here]\ngateway = "https://127.0.0.1:{a_free_port()}"\n[contacts]\ninterval_seconds = 1\n'
            f'[worker]\ncommand = "none"\n[local_controller]\nport = {self.port}\npoll_seconds = 1\n'
        )

    def wants(self, **indexes: Path) -> None:
        """Leave a desired state as an earlier contact would have."""
        datasets = {f"ns/{name}": {"url": str(path), "format": path.suffix[1:]} for name, path in indexes.items()}
        document = json.dumps({"version": 1, "node": "sat-1", "datasets": datasets}).encode()
        folder = self.folder / "state" / "desired"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "document").write_bytes(f"{digest_of(document)}\n".encode() + document)

    @contextmanager
    def flying(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [*EDGE, "run", "--config", str(self.folder / "satellite.toml")]
        with (self.folder / "log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                until(self.is_healthy, "it serves")
                yield process
            finally:
                process.kill()

    def ask(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=GENEROUS_S) as answer:
            return dict(json.loads(answer.read()))

    def is_healthy(self) -> bool:
        try:
            return bool(self.ask("/healthz")["Status"] == 200)
        except (urllib.error.URLError, ConnectionError):
            return False

    def counted(self, name: str) -> object:
        said = self.ask("/v1/state")["datasets"].get(f"ns/{name}") or {}
        return said.get("error") or said.get("numberOfSamples")

    def events(self) -> NodeEventsFile:
        path = self.folder / "state" / "node" / "events.db"
        return NodeEventsFile(path, VirtualClock(datetime(2026, 1, 1, tzinfo=UTC)))


@pytest.fixture
def satellite(tmp_path: Path, keys: Path) -> Satellite:
    return Satellite(folder=tmp_path, keys=keys)


class Worker:
    """Reports again and again, and knows what was accepted last."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.accepted = 0
        self._reporter = HttpReporter(f"http://127.0.0.1:{port}", timeout=timedelta(seconds=GENEROUS_S), tries=1)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait_until_heard(self) -> None:
        before = self.accepted
        until(lambda: self.accepted > before, f"{self.name} is heard")

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._end.is_set():
            number += 1
            info = WorkerInfo(
                name=self.name,
                namespace="ns",
                owner_name="helmets",
                owner_kind="incrementallearningjob",
                kind="train",
                status="running",
                owner_info={"number": number},
            )
            if self._reporter.send(info):
                self.accepted = number
            else:
                self._end.wait(0.05)  # it was killed, and comes back


def test_what_was_accepted_is_there_whatever_is_killed(satellite: Satellite) -> None:
    workers = [Worker(f"train-{number}", satellite.port) for number in range(3)]
    try:
        for _ in range(4):
            with satellite.flying():
                for worker in workers:
                    worker.wait_until_heard()
    finally:
        for worker in workers:
            worker.stop()
    events = satellite.events()
    waiting = events.pending(0)
    last = {event.subject: event.value["ownerInfo"] for event in waiting}
    assert len(last) == len(waiting) == len(workers)
    for worker in workers:
        told = last[f"worker/ns/{worker.name}"]
        assert isinstance(told, dict)
        assert int(str(told["number"])) >= worker.accepted > 0
    events.close()


def test_it_starts_and_serves_with_nobody_to_talk_to(satellite: Satellite) -> None:
    images, table = satellite.folder / "images.txt", satellite.folder / "table.csv"
    images.write_text("a.jpg 1\nb.jpg 0\n")
    satellite.wants(images=images, table=table)
    with satellite.flying():
        until(lambda: satellite.counted("images") == 2, "the images are counted")
        until(lambda: "there is no such file" in str(satellite.counted("table")), "the missing table is told")
        table.write_text("x,y\n1,2\n3,4\n5,6\n")
        until(lambda: satellite.counted("table") == 3, "the table is counted once it is there")
        with images.open("a") as file:
            file.write("c.jpg 1\nd.jp")
        until(lambda: satellite.counted("images") in (3, 4), "the third image; the fourth once nobody writes to it")
    with images.open("a") as file:
        file.write("g 1\ne.jpg 1\n")
    with satellite.flying() as process:
        until(lambda: satellite.counted("images") == 5, "what came while it was down")
        assert satellite.ask("/v1/state")["eventsWaiting"] == 2
        process.terminate()
        assert process.wait(GENEROUS_S) == 0


def test_a_second_one_on_the_same_port_is_one_clear_line(satellite: Satellite, tmp_path: Path) -> None:
    with satellite.flying():
        command = [*EDGE, "run", "--config", str(tmp_path / "satellite.toml")]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert f"cannot listen at 127.0.0.1:{satellite.port}: Address already in use" in second.stderr.splitlines()[-1]
