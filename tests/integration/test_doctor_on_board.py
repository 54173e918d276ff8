"""``orbitloop-edge doctor`` on real files, ports and gateways."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.processes import EDGE, GROUND, a_free_port, until

from orbitloop_ground.app import open_authority

LACKING = 1


class Satellite:
    """A satellite's files in a folder, and the doctor on them."""

    def __init__(self, folder: Path, keys: Path, gateway: int) -> None:
        self.folder = folder
        self.keys = folder / "keys"
        shutil.copytree(keys / "satellites" / "sat-1", self.keys)
        self.gateway = gateway
        self.port = a_free_port()
        self.write()

    def write(self, name: str = "sat-1", plan: str | None = None) -> None:
        contacts = ""
        if plan is not None:
            (self.folder / "passes.csv").write_text(f"station,aos,los\n{plan}")
            contacts = '[contacts]\nplan = "passes.csv"\n'
        (self.folder / "satellite.toml").write_text(
            f'satellite = "{name}"\nfolder = "sat"\nkeys = "keys"\nspool_budget_bytes = 1048576\n'
            f'[stations.here]\ngateway = "https://127.0.0.1:{self.gateway}"\n{contacts}'
            f'[worker]\ncommand = "none"\n[local_controller]\nport = {self.port}\n'
        )

    def doctor(self, *options: str) -> tuple[int, dict[str, dict[str, str]]]:
        """Exit status, and the checks by what they are about."""
        ran = self.run("--config", str(self.folder / "satellite.toml"), "--json", *options)
        told: dict[str, Any] = json.loads(ran.stdout)
        assert told["ok"] == (ran.returncode == 0)
        return ran.returncode, {check["about"]: check for check in told["checks"]}

    @staticmethod
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*EDGE, "doctor", *options], capture_output=True, text=True, check=False)


@contextmanager
def gateway(folder: Path, keys: Path, port: int) -> Iterator[None]:
    command = [*GROUND, "serve", "--folder", str(folder / "ground"), "--keys", str(keys / "ground")]
    command += ["--port", str(port), "--admin-port", "0"]
    with (folder / "gateway.log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "the gateway listens")
            yield
        finally:
            process.kill()


@pytest.fixture
def satellite(tmp_path: Path, keys: Path) -> Satellite:
    return Satellite(tmp_path, keys, a_free_port())


def test_a_satellite_that_can_fly_is_well(satellite: Satellite, keys: Path) -> None:
    with gateway(satellite.folder, keys, satellite.gateway):
        status, checks = satellite.doctor()
    assert status == 0, checks
    assert [about for about, check in checks.items() if check["grade"] != "ok"] == ["certificate"]
    assert "expires on" in checks["certificate"]["says"], "the tests' keys are good for thirty days"
    assert "trusts us and is trusted" in checks["station here"]["says"]
    assert "as on the ground" in checks["clock"]["says"]
    assert "port" in checks["Local Controller"]["says"]
    assert not (satellite.folder / "sat").exists(), "nothing is made by looking"


def test_the_ground_of_another_mission_is_not_trusted(satellite: Satellite, tmp_path: Path) -> None:
    others = tmp_path / "others"
    open_authority(others, timedelta(days=30)).equip_ground(["127.0.0.1"])
    with gateway(satellite.folder, others, satellite.gateway):
        status, checks = satellite.doctor()
    assert (status, checks["station here"]["grade"]) == (LACKING, "missing")
    assert "not the ground" in checks["station here"]["says"]


def test_keys_of_another_mission_are_not_taken_by_the_ground(satellite: Satellite, keys: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    open_authority(others, timedelta(days=30)).equip("sat-1")
    for name in ("satellite.key", "satellite.pem"):
        shutil.copy(others / "satellites" / "sat-1" / name, satellite.keys / name)
    with gateway(satellite.folder, keys, satellite.gateway):
        status, checks = satellite.doctor()
    assert status == LACKING
    assert {checks[about]["grade"] for about in ("certificate", "station here")} == {"missing"}
    assert "vouch" in checks["certificate"]["says"]


def test_whether_a_silent_ground_is_a_fault_is_the_plans_to_say(satellite: Satellite) -> None:
    now = datetime.now(UTC)
    for begins, grade in ((-1, "missing"), (1, "ok")):
        aos = now + timedelta(hours=begins)
        satellite.write(plan=f"here,{aos.isoformat()},{(aos + timedelta(hours=2)).isoformat()}\n")
        assert satellite.doctor()[1]["station here"]["grade"] == grade
    satellite.write()
    assert satellite.doctor()[1]["station here"]["grade"] == "warning"


def test_whoever_hangs_up_is_silent_and_whoever_speaks_otherwise_is_not_trusted(satellite: Satellite) -> None:
    with socket.create_server(("127.0.0.1", satellite.gateway)) as listener:
        for said, grade in ((b"", "warning"), (b"220 mail.example ESMTP\r\n", "missing")):

            def answer(word: bytes = said) -> None:
                taken, _ = listener.accept()
                with taken:
                    taken.recv(4096)
                    taken.sendall(word)

            thread = threading.Thread(target=answer)
            thread.start()
            assert satellite.doctor()[1]["station here"]["grade"] == grade
            thread.join()


def test_keys_that_are_everybodys_and_another_name_are_named(satellite: Satellite) -> None:
    (satellite.keys / "link.key").chmod(0o644)
    (satellite.keys / "ground.pub").unlink()
    status, checks = satellite.doctor()
    assert (status, "ground.pub" in checks["keys"]["says"]) == (LACKING, True)
    shutil.copy(satellite.keys / "authority.pem", satellite.keys / "ground.pub")
    assert "link.key" in satellite.doctor()[1]["keys"]["says"]
    (satellite.keys / "link.key").chmod(0o600)
    satellite.write(name="sat-9")
    assert "sat-1's" in satellite.doctor()[1]["certificate"]["says"]


def test_a_port_that_another_program_has_is_named(satellite: Satellite) -> None:
    server = http.server.HTTPServer(("127.0.0.1", satellite.port), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert satellite.doctor()[1]["Local Controller"]["grade"] == "missing"
    finally:
        server.shutdown()
        server.server_close()


def test_a_local_controller_that_runs_is_known(satellite: Satellite) -> None:
    command = [*EDGE, "run", "--config", str(satellite.folder / "satellite.toml")]
    log = (satellite.folder / "satellite.log").open("ab")
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            until(lambda: socket.socket().connect_ex(("127.0.0.1", satellite.port)) == 0, "it listens")
            assert satellite.doctor()[1]["Local Controller"]["says"].startswith("it answers")
        finally:
            process.kill()


def test_a_file_that_does_not_read_is_the_only_thing_said_of_the_satellite(satellite: Satellite) -> None:
    (satellite.folder / "satellite.toml").write_text("satellite = ")
    status, checks = satellite.doctor()
    assert (status, set(checks)) == (LACKING, {"configuration", "KubeEdge"})


def test_a_node_of_kubeedge_is_seen_below_its_root(tmp_path: Path) -> None:
    for name, text in {
        "etc/kubeedge/config/edgecore.yaml": "modules:\n  edged:\n    hostnameOverride: sat-1\n"
        "    tailoredKubeletConfig:\n      cgroupDriver: systemd\n",
        "etc/containerd/config.toml": 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc'
        ".options]\nSystemdCgroup = false\n",
        "proc/7/comm": "edgecore\n",
        "proc/8/comm": "kubelet\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ran = Satellite.run("--root", str(tmp_path), "--json")
    checks = {check["about"]: check for check in json.loads(ran.stdout)["checks"]}
    assert ran.returncode == LACKING
    assert "edgecore has systemd, containerd cgroupfs" in checks["cgroup driver"]["says"]
    assert (checks["kubelet"]["grade"], checks["CNI"]["grade"], checks["edgecore"]["grade"]) == (
        "missing",
        "missing",
        "ok",
    )


def test_a_kubeedge_that_has_to_be_there_and_is_not_is_missing(tmp_path: Path) -> None:
    ran = Satellite.run("--root", str(tmp_path), "--kubeedge")
    assert ran.returncode == LACKING
    assert "keadm join" in ran.stdout
