"""The satellite and its ground as processes, killed at any moment: everything arrives, each thing once."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.integration.test_contact_session import Relay
from tests.processes import EDGE, GENEROUS_S, GROUND, a_free_port, until

from orbitloop.adapters.cfdp.entity import CfdpEntity
from orbitloop.adapters.cfdp.values import (
    EntityId,
    EntitySettings,
    ReceivedFile,
    RemoteEntity,
    SendResult,
    TransactionKey,
)
from orbitloop.adapters.model_files import read_model, write_model
from orbitloop.adapters.signatures import SigningKey
from orbitloop.domain.delta import Shift, apply
from orbitloop.domain.digests import digest_of
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_spec
from orbitloop.testing.samples import a_sample
from orbitloop.wire.model_folder import Model
from orbitloop.wire.update import Step, Update, pack_update
from orbitloop_edge.adapters.imagery import encode_picture
from orbitloop_ground.adapters.yolo.export import export_graph
from orbitloop_ground.adapters.yolo.network import YoloTiny, weights_of
from orbitloop_ground.app import opened_ledger
from orbitloop_ground.settings import GroundSettings

HARNESS = Path(__file__).with_name("worker_of_a_harness.py")
FLYING, NEXT = digest_of(b"weights"), digest_of(b"next weights")


def a_free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


class SlowRelay:
    """A link of few bytes a second towards the ground, so that a kill comes in the middle of something."""

    def __init__(self, target: int, *, pause_s: float) -> None:
        self._target, self._pause = target, pause_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.passed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._pass_on, args=(near, far, self._pause), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(far, near, 0.0), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, pause: float) -> None:
        with suppress(OSError):
            while data := source.recv(8_192):
                sink.sendall(data)
                if pause:
                    self.passed += len(data)
                    time.sleep(pause)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass(kw_only=True)
class Mission:
    folder: Path
    keys: Path
    worker: list[str] | str = "none"
    stations: dict[str, str] = field(default_factory=dict)
    contacts: str = "interval_seconds = 1"
    link: str = ""
    layer: str = "http"
    datagrams: int | None = None
    further: str = ""
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def satellite(self) -> Path:
        return self.folder / "sat"

    @property
    def config(self) -> Path:
        return self.folder / "satellite.toml"

    def gateway(self, *further: object) -> int:
        """A gateway process; returns its port."""
        port = a_free_port()
        command = [*GROUND, "serve", "--folder", self.folder / "ground", "--port", port]
        command += ["--keys", self.keys / "ground", "--admin-port", 0, *further]
        self.stack.enter_context(running([str(word) for word in command], self.folder / f"gateway-{port}.log"))
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "the gateway listens")
        return port

    def write(self) -> None:
        datagrams = "" if self.datagrams is None else f'datagrams = "127.0.0.1:{self.datagrams}"\n'
        stations = "".join(f'[stations.{name}]\ngateway = "{url}"\n{datagrams}' for name, url in self.stations.items())
        self.config.write_text(
            f'satellite = "sat-1"\nfolder = "{self.satellite}"\nkeys = "{self.keys / "satellites" / "sat-1"}"\n'
            f'layer = "{self.layer}"\n{stations}[contacts]\n{self.contacts}\npatience_seconds = 5\n'
            f"[link]\n{self.link}\n[worker]\ncommand = {json.dumps(self.worker)}\n{self.further}"
        )

    @contextmanager
    def flying(self) -> Iterator[subprocess.Popen[bytes]]:
        self.write()
        command = [*EDGE, "run", "--config", str(self.config)]
        with running(command, self.folder / "satellite.log") as process:
            yield process

    def publish(self, update: Path, *, base: Digest = FLYING, result: Digest = NEXT) -> None:
        command = [*GROUND, "publish", "--folder", self.folder / "ground", "--keys", self.keys / "ground"]
        command += ["sat-1", "--file", update, "--base", base, "--result", result]
        subprocess.run([str(word) for word in command], check=True)

    def received(self) -> list[Digest]:
        with opened_ledger(GroundSettings(folder=self.folder / "ground", keys=self.keys / "ground")) as ledger:
            return [item.sample.id for item in ledger.waiting()]

    def status(self) -> dict[str, Any]:
        command = [*EDGE, "status", "--json", "--config", str(self.config)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        return dict(json.loads(ran.stdout)) if ran.returncode == 0 else {}

    def events(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / "satellite.log"
        lines = path.read_text().splitlines() if path.exists() else []
        logged = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [line for line in logged if line["event"] == name]


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def mission(tmp_path: Path, keys: Path) -> Iterator[Mission]:
    mission = Mission(folder=tmp_path, keys=keys)
    with mission.stack:
        yield mission


def names(count: int, *, size: int) -> list[Digest]:
    return sorted(a_sample(number, size=size)[0].id for number in range(count))


def harness(mission: Mission, *, count: int, size: int) -> list[str]:
    return [sys.executable, str(HARNESS), str(mission.satellite), "0", str(count), str(size)]


def killed_in_the_middle(mission: Mission, relay: SlowRelay, victim: str, after_s: float) -> None:
    crossed = relay.passed
    with mission.flying() as process:
        until(lambda: relay.passed > crossed + 100_000, "something crosses")
        time.sleep(after_s)
        if victim == "worker":
            worker = mission.events("worker_started")[-1]["worker_pid"]
            os.kill(worker, signal.SIGKILL)
            until(lambda: mission.events("worker_started")[-1]["worker_pid"] != worker, "the worker starts again")
        process.kill()


def test_whatever_is_killed_in_the_middle_of_a_contact_everything_arrives_once(mission: Mission) -> None:
    count, size = 120, 20_000
    relay = SlowRelay(mission.gateway(), pause_s=0.02)
    mission.stack.callback(relay.close)
    mission.stations = {"here": relay.url}
    mission.worker = harness(mission, count=count, size=size)
    chance = random.Random(3)
    for victim in ("controller", "worker", "controller", "controller"):
        killed_in_the_middle(mission, relay, victim, chance.random())
    with mission.flying() as process:
        until(lambda: len(mission.received()) >= count, "everything arrives")
        until(lambda: mission.status().get("queued_samples") == 0, "the satellite knows")
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_S) == 0
    assert sorted(mission.received()) == names(count, size=size)
    assert mission.status()["delivered_samples"] == count
    assert not mission.status()["running"]


def test_a_transfer_goes_on_over_the_next_station_when_a_window_ends(mission: Mission) -> None:
    count, size = 60, 20_000
    first, second = SlowRelay(mission.gateway(), pause_s=0.04), SlowRelay(mission.gateway(), pause_s=0.0)
    for relay in (first, second):
        mission.stack.callback(relay.close)
    mission.stations = {"first": first.url, "second": second.url}
    mission.worker = harness(mission, count=count, size=size)
    plan = mission.folder / "plan.csv"
    mission.contacts = f'plan = "{plan}"\npoll_seconds = 1'
    now = datetime.now(UTC)
    with plan.open("w") as file:
        csv.writer(file).writerows(
            [
                ["station", "aos", "los"],
                ["first", (now - timedelta(seconds=5)).isoformat(), (now + timedelta(seconds=7)).isoformat()],
                ["second", (now + timedelta(seconds=1)).isoformat(), (now + timedelta(minutes=10)).isoformat()],
            ]
        )
    with mission.flying():
        until(lambda: len(mission.received()) >= count, "everything arrives")
        until(lambda: bool(mission.events("session_ended")[-1:]) and mission.status()["queued_samples"] == 0, "told")
    assert sorted(mission.received()) == names(count, size=size)
    assert {event["station"] for event in mission.events("session_begins")} == {"first", "second"}
    assert first.passed > 0
    assert first.passed + second.passed < 1.3 * count * size


@pytest.mark.parametrize("answered", [True, False], ids=["where they are answered", "and by HTTP where they are not"])
def test_a_satellite_calls_by_datagrams(mission: Mission, answered: bool) -> None:
    mission.datagrams = a_free_udp_port()
    gateway = mission.gateway(*(["--datagram-port", mission.datagrams] if answered else []))
    mission.stations = {"here": f"https://127.0.0.1:{gateway}"}
    mission.layer = "auto"
    mission.link = "downlink_bits_per_second = 20_000_000"
    mission.worker = harness(mission, count=20, size=20_000)
    with mission.flying() as process:
        until(lambda: len(mission.received()) >= 20, "everything arrives")
        until(lambda: mission.status().get("queued_samples") == 0, "the satellite knows")
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_S) == 0
    assert sorted(mission.received()) == names(20, size=20_000)
    layers = [event["layer"] for event in mission.events("session_begins")]
    assert layers[0] == "datagrams"
    assert ("http" in layers) is not answered


def test_an_update_that_comes_while_the_worker_is_busy_is_proved_later_and_reported(mission: Mission) -> None:
    mission.stations = {"here": f"https://127.0.0.1:{mission.gateway()}"}
    mission.worker = harness(mission, count=1, size=500)
    mission.satellite.mkdir()
    busy = mission.satellite / "busy"
    busy.touch()
    update = mission.folder / "update"
    update.write_bytes(bytes(50_000))
    mission.publish(update)
    with mission.flying() as process:
        until(lambda: bool(mission.events("proof_put_off")), "the update is here, and the worker is busy")
        process.kill()
    with mission.flying():
        busy.unlink()
        until(lambda: mission.status().get("flying") == NEXT, "the update flies")
        until(lambda: mission.status().get("reports_waiting") == 0, "the ground knows")
    with opened_ledger(GroundSettings(folder=mission.folder / "ground", keys=mission.keys / "ground")) as ledger:
        reports = ledger.reports("sat-1")
    assert {(report.update, report.flying) for report in reports} == {(digest_of(update.read_bytes()), NEXT)}


def test_an_update_that_came_by_cfdp_between_sessions_is_not_fetched_again(mission: Mission) -> None:
    here, there = a_free_udp_port(), a_free_udp_port()
    mission.further = f'[cfdp]\nentity = 2\nlisten = "127.0.0.1:{here}"\nremotes = {{ 1 = "127.0.0.1:{there}" }}\n'
    mission.worker = harness(mission, count=1, size=500)
    update = mission.folder / "update"
    update.write_bytes(b"OLU1" + bytes(50_000))
    mission.publish(update)
    mission.stations = {"here": f"https://127.0.0.1:{a_free_port()}"}  # nobody answers there
    with mission.flying() as process:
        until(lambda: bool(mission.events("agent_started")), "the satellite runs")
        send = [sys.executable, "-c", "from orbitloop_mission.cli import main; main()", "cfdp", "send", str(update)]
        send += ["--entity", "1", "--listen", f"127.0.0.1:{there}", "--to", f"2=127.0.0.1:{here}", "--rate", "10Mbit"]
        sent = subprocess.run([*send, "--json"], capture_output=True, text=True, check=False)
        assert sent.returncode == 0, sent.stderr
        process.kill()
    mission.stations = {"here": f"https://127.0.0.1:{mission.gateway()}"}
    with mission.flying() as process:
        until(lambda: mission.status().get("flying") == NEXT, "the update flies")
        until(lambda: mission.status().get("reports_waiting") == 0, "the ground knows")
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_S) == 0
    assert len(mission.events("cfdp_update_received")) == 1
    assert {event["bytes_up"] for event in mission.events("session_ended")} == {0}


def test_between_passes_a_satellite_sends_nothing_by_cfdp(mission: Mission) -> None:
    here = a_free_udp_port()
    plan = mission.folder / "plan.csv"
    aos = datetime.now(UTC) + timedelta(hours=1)
    plan.write_text(f"station,aos,los\nhere,{aos.isoformat()},{(aos + timedelta(minutes=9)).isoformat()}\n")
    mission.stations = {"here": "https://127.0.0.1:9"}
    mission.contacts = f'plan = "{plan}"'
    update = mission.folder / "update"
    update.write_bytes(b"OLU1" + bytes(2_000))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ground:
        ground.bind(("127.0.0.1", 0))
        there = ground.getsockname()[1]
        mission.further = f'[cfdp]\nentity = 2\nlisten = "127.0.0.1:{here}"\nremotes = {{ 1 = "127.0.0.1:{there}" }}\n'
        with mission.flying():
            until(lambda: bool(mission.events("agent_started")), "the satellite runs")
            mission.stack.enter_context(cfdp_sender(mission.folder / "sender", update, here))
            until(lambda: bool(mission.events("cfdp_update_received")), "it is heard all the same")
            ground.setblocking(False)
            with pytest.raises(BlockingIOError):
                ground.recv(1_000)
            aos = datetime.now(UTC) - timedelta(seconds=1)
            plan.write_text(f"station,aos,los\nhere,{aos.isoformat()},{(aos + timedelta(minutes=9)).isoformat()}\n")
            ground.settimeout(GENEROUS_S)
            assert ground.recv(1_000), "it answers once the station can be heard"


@contextmanager
def cfdp_sender(folder: Path, file: Path, to: int) -> Iterator[None]:
    """Sends a file until the block ends; answers go elsewhere."""
    remote = RemoteEntity(id=EntityId(2), host="127.0.0.1", port=to)
    settings = EntitySettings(id=EntityId(1), host="127.0.0.1", port=0, inbox=folder, remotes=(remote,))
    with CfdpEntity(settings, Deaf()) as entity:
        entity.send(file, EntityId(2))
        yield


class Deaf:
    def received(self, file: ReceivedFile) -> None:
        """Nothing."""

    def sent(self, result: SendResult) -> None:
        """Nothing."""

    def failed(self, key: TransactionKey, reason: str) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained detector: it is unsure of everything."""
    torch.manual_seed(3)
    spec = a_spec(tile=320)
    folder = tmp_path_factory.mktemp("model")
    weights = weights_of(YoloTiny(spec, normalised=False))
    write_model(folder, Model(spec=spec, weights=weights, graph=export_graph(spec)))
    return folder


def test_frames_in_a_folder_are_looked_at_once_and_their_tiles_come_down(mission: Mission, model: Path) -> None:
    mission.stations = {"here": f"https://127.0.0.1:{mission.gateway()}"}
    mission.worker = "inference"
    mission.link = "downlink_share = 0.9"
    mission.write()
    install = [*EDGE, "install", "--config", str(mission.config), "--model", str(model)]
    assert "flies from the next start on" in subprocess.run(install, capture_output=True, text=True, check=True).stdout
    frames = mission.folder / "frames"
    frames.mkdir()
    for number in range(3):
        coarse = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        pixels = coarse.repeat(16, axis=0).repeat(16, axis=1)
        (frames / f"{number}.png").write_bytes(encode_picture(pixels, "png", 100))
    (frames / "broken.png").write_bytes(b"no picture")
    with mission.flying() as process:
        until(lambda: len(mission.events("frame_observed")) >= 4, "every frame is looked at")
        spooled = sum(event["samples"] for event in mission.events("frame_observed"))
        until(lambda: len(mission.received()) == spooled, "every tile comes down")
        process.kill()
    with mission.flying() as process:
        until(lambda: len(mission.events("worker_ready")) == 2, "the worker is there again")
        until(lambda: mission.status().get("queued_samples") == 0, "the satellite knows")
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_S) == 0
    observed = mission.events("frame_observed")
    assert sorted(event["frame"] for event in observed) == ["0.png", "1.png", "2.png", "broken.png"]
    assert [bool(event["why"]) for event in sorted(observed, key=lambda event: event["frame"])] == [0, 0, 0, 1]
    assert len(mission.received()) == spooled > 0


def test_a_new_model_flies_in_shadow_first_where_the_satellite_is_told_to(mission: Mission, model: Path) -> None:
    mission.stations = {"here": f"https://127.0.0.1:{mission.gateway()}"}
    mission.worker = "inference"
    mission.further = "[canary]\nleast = 0\n[shadow]\none_in = 1\nframes = 2\n"
    mission.write()
    install = [*EDGE, "install", "--config", str(mission.config), "--model", str(model)]
    subprocess.run(install, capture_output=True, check=True)
    old = read_model(model).weights
    change = Shift(tensor="fine_head.bias", exponent=-4, quanta=np.ones(18, np.int8))
    base, result = weights_digest(old), weights_digest(apply(old, [change]))
    update = Update(base=base, steps=(Step(changes=(change,), result=result),))
    sign = SigningKey(mission.keys / "ground" / "signing.key").sign
    (mission.folder / "update").write_bytes(pack_update(update, sign))
    mission.publish(mission.folder / "update", base=base, result=result)
    frames = mission.folder / "frames"
    frames.mkdir()
    with mission.flying() as process:
        until(lambda: "in shadow: 0 of 2" in str(mission.status().get("update")), "the new model flies in shadow")
        assert mission.status()["flying"] == base
        for number in range(2):
            pixels = np.full((320, 320, 3), 90 + number, np.uint8)
            (frames / f"{number}.png").write_bytes(encode_picture(pixels, "png", 100))
        until(lambda: mission.status().get("flying") == result, "it has held, and serves")
        until(lambda: mission.status().get("update") is None, "the proof has come to its end")
        until(lambda: mission.status().get("reports_waiting") == 0, "the ground knows")
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_S) == 0
    assert mission.status()["update"] is None


def test_what_arrived_of_an_update_flies_and_after_a_kill_the_rest_comes_onto_it(mission: Mission, model: Path) -> None:
    mission.worker = "inference"
    mission.further = "[canary]\nleast = 0\n"
    mission.stations = {"here": "https://127.0.0.1:9"}
    mission.write()
    install = [*EDGE, "install", "--config", str(mission.config), "--model", str(model)]
    subprocess.run(install, capture_output=True, check=True)
    old = read_model(model).weights
    name = next(name for name, tensor in old.items() if 50_000 < tensor.size < 200_000)
    random_moves = np.random.default_rng(1).integers(-9, 10, old[name].size).astype(np.int8)
    first = Shift(tensor="fine_head.bias", exponent=-4, quanta=np.ones(18, np.int8))
    rest = Shift(tensor=name, exponent=-12, quanta=random_moves)
    base, begun, result = (weights_digest(apply(old, changes)) for changes in ((), (first,), (first, rest)))
    steps = (Step(changes=(first,), result=begun), Step(changes=(rest,), result=result))
    sign = SigningKey(mission.keys / "ground" / "signing.key").sign
    update = mission.folder / "update"
    update.write_bytes(pack_update(Update(base=base, steps=steps), sign))
    gateway = mission.gateway()
    mission.publish(update, base=base, result=result)
    with Relay(gateway, up=25_000) as relay:
        mission.stations = {"here": relay.url}
        with mission.flying() as process:
            until(lambda: mission.status().get("flying") == begun, "the beginning flies")
            process.kill()
    cut = len(mission.events("session_ended"))
    mission.stations = {"here": f"https://127.0.0.1:{gateway}"}
    with mission.flying() as process:
        until(lambda: mission.status().get("flying") == result, "the rest flies")
        until(lambda: mission.status().get("reports_waiting") == 0, "the ground knows")
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_S) == 0
    with opened_ledger(GroundSettings(folder=mission.folder / "ground", keys=mission.keys / "ground")) as ledger:
        assert {(report.update, report.flying) for report in ledger.reports("sat-1")} == {
            (digest_of(update.read_bytes()), result)
        }
    rest_bytes = sum(event["bytes_up"] for event in mission.events("session_ended")[cut:])
    assert 0 < rest_bytes < update.stat().st_size - 10_000  # what was here is not fetched again


def test_a_satellite_without_a_worker_says_what_is_missing_and_ends_when_told_to(mission: Mission) -> None:
    mission.stations = {"here": "https://127.0.0.1:9"}
    with mission.flying() as process:
        until(lambda: bool(mission.events("put_off")), "it says so")
        assert "no model is installed" in mission.events("put_off")[0]["why"]
        assert mission.status()["running"]
        assert mission.status()["shaping"] == "user"
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_S) == 0
    assert not mission.status()["running"]
