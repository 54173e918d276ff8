"""Desired state and node events between live processes, each killed with -9 at any step: nothing is lost or twice."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.processes import EDGE, GROUND, a_free_port, until

from orbitloop.domain.digests import digest_of

HARNESS = Path(__file__).with_name("worker_of_a_harness.py")
TOKEN = "a token of more than sixteen characters"


class CountingRelay:
    """A link that counts what goes up, which it may slow down so that a kill comes in the middle of it."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.up = 0
        self.pause_s = 0.0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:  # the gateway was killed
                    near.close()
                    continue
                threading.Thread(target=self._pass_on, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(far, near, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, upwards: bool) -> None:
        with suppress(OSError):
            while data := source.recv(4_096):
                sink.sendall(data)
                if upwards:
                    self.up += len(data)
                    time.sleep(self.pause_s)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def running(command: list[object], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file, subprocess.Popen([str(word) for word in command], stdout=file, stderr=file) as process:
        try:
            yield process
        finally:
            process.kill()


@dataclass(kw_only=True)
class Mission:
    folder: Path
    keys: Path
    port: int = field(default_factory=a_free_port)
    admin: int = field(default_factory=a_free_port)
    has_model: bool = True

    def __post_init__(self) -> None:
        (self.folder / "token").write_text(TOKEN)
        self.relay = CountingRelay(self.port)
        harness = [sys.executable, str(HARNESS), str(self.folder / "sat"), "0", "0", "0"] if self.has_model else "none"
        (self.folder / "satellite.toml").write_text(
            f'satellite = "sat-1"\nfolder = "{self.folder / "sat"}"\nkeys = "{self.keys / "satellites" / "sat-1"}"\n'
            f'layer = "http"\n[stations.here]\ngateway = "{self.relay.url}"\n'
            "[contacts]\ninterval_seconds = 1\npatience_seconds = 5\n"
            f"[worker]\ncommand = {json.dumps(harness)}\n[local_controller]\nport = 0\npoll_seconds = 1\n"
        )

    @contextmanager
    def gateway(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [*GROUND, "serve", "--folder", self.folder / "ground", "--keys", self.keys / "ground"]
        command += ["--port", self.port, "--admin-port", self.admin, "--operator-token", self.folder / "token"]
        with running([*command, "--access-log"], self.folder / "gateway.log") as process:
            until(lambda: socket.socket().connect_ex(("127.0.0.1", self.admin)) == 0, "the gateway listens")
            yield process

    @contextmanager
    def satellite(self) -> Iterator[subprocess.Popen[bytes]]:
        command: list[object] = [*EDGE, "run", "--config", self.folder / "satellite.toml"]
        with running(command, self.folder / "satellite.log") as process:
            yield process

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"http://127.0.0.1:{self.admin}/v1/operator/nodes{path}"
        return httpx.request(method, url, headers=headers, trust_env=False, **options)

    def want(self, document: bytes) -> None:
        answer = self.ask("PUT", "/sat-1/desired", content=document)
        assert answer.json() == {"digest": digest_of(document), "size": len(document)}

    def known(self) -> dict[str, Any]:
        nodes = self.ask("GET", "").json()["nodes"]
        return dict(nodes[0]) if nodes else {}

    def counted(self, dataset: str) -> object:
        events = {event["subject"]: event["value"] for event in self.known().get("events", ())}
        return events.get(f"dataset/default/{dataset}", {}).get("numberOfSamples")

    def events(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / "satellite.log"
        lines = path.read_text().splitlines() if path.exists() else []
        logged = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [line for line in logged if line["event"] == name]

    def sessions(self) -> int:
        return len([event for event in self.events("session_ended") if event["complete"]])

    def more_sessions(self, count: int) -> None:
        before = self.sessions()
        until(lambda: self.sessions() >= before + count, f"{count} more sessions")


@pytest.fixture
def mission(tmp_path: Path, keys: Path) -> Iterator[Mission]:
    made = Mission(folder=tmp_path, keys=keys)
    yield made
    made.relay.close()


def a_document(*names: str, folder: Path, filler: int = 0) -> bytes:
    datasets = {f"default/{name}": {"url": str(folder / f"{name}.txt"), "format": "txt"} for name in names}
    document = {"version": 1, "node": "sat-1", "datasets": datasets, "later": "x" * filler}
    return json.dumps(document).encode()


@pytest.mark.slow
def test_a_desired_state_comes_up_once_whoever_is_killed_in_the_middle_of_it(mission: Mission) -> None:
    document = a_document("images", folder=mission.folder, filler=150_000)
    with ExitStack() as ground:
        ground.enter_context(mission.gateway())
        mission.want(document)
        mission.relay.pause_s = 0.05  # 80 kB/s
        with mission.satellite():
            until(lambda: mission.relay.up > 60_000, "some of it crosses")
    with mission.gateway(), mission.satellite() as process:
        until(lambda: mission.relay.up > 100_000, "more of it crosses")
        process.send_signal(signal.SIGKILL)
    mission.relay.pause_s = 0.0
    with mission.gateway():
        with mission.satellite():
            until(lambda: mission.known().get("taken") == digest_of(document), "the ground knows that it is there")
            assert mission.relay.up < 1.6 * len(document), "what had come was not fetched again"
            before = mission.relay.up
            mission.more_sessions(3)
            assert mission.relay.up - before < len(document) / 4, "nothing of it crosses again"
            assert mission.events("session_ended")[-1]["bytes_up"] == 0
        with mission.satellite():
            mission.more_sessions(2)
            assert mission.events("session_ended")[-1]["bytes_up"] == 0
    assert len(mission.events("desired_state_taken")) == 1


@pytest.mark.slow
def test_what_happens_at_a_node_is_known_on_the_ground_whoever_is_killed_in_between(mission: Mission) -> None:
    index = mission.folder / "images.txt"
    index.write_text("a.png\nb.png\n")
    with mission.gateway():
        with mission.satellite():
            mission.want(a_document("images", folder=mission.folder))
            until(lambda: mission.counted("images") == 2, "two samples are known")
        index.write_text("a.png\nb.png\nc.png\n")
        with mission.satellite():
            until(lambda: mission.counted("images") == 3, "a third one, that came while the node was down")
    with mission.satellite():
        index.write_text("a.png\nb.png\nc.png\nd.png\n")
        until(lambda: len(mission.events("session_ended")) > 0, "sessions are tried")
        with mission.gateway():
            until(lambda: mission.counted("images") == 4, "a fourth one, that came while the ground was down")
            before = mission.known()["events"]
            mission.more_sessions(3)
            assert mission.known()["events"] == before, "nothing is told again"
            mission.want(a_document(folder=mission.folder))
            until(lambda: mission.known()["taken"] == mission.known()["wanted"], "nothing is to be watched any more")
            index.write_text("a.png\n")
            mission.more_sessions(3)
            assert mission.counted("images") in (4, None)


def test_a_node_that_flies_no_model_of_ours_is_looked_after_all_the_same(tmp_path: Path, keys: Path) -> None:
    mission = Mission(folder=tmp_path, keys=keys, has_model=False)
    (tmp_path / "images.txt").write_text("a.png\nb.png\n")
    with mission.gateway(), mission.satellite():
        mission.want(a_document("images", folder=tmp_path))
        until(lambda: mission.counted("images") == 2, "two samples are known")
        assert mission.known()["flying"] is None
        assert mission.known()["lastContact"] is not None
    assert mission.events("put_off") == []
    mission.relay.close()


def test_a_node_without_any_desired_state_holds_its_sessions_as_before(mission: Mission) -> None:
    with mission.gateway(), mission.satellite():
        mission.more_sessions(2)
        assert (mission.known()["wanted"], mission.known()["taken"]) == (None, None)
    assert mission.events("session_ended")[-1]["problems"] == []
