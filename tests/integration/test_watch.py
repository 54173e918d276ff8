"""``orbitloop watch`` on a real API server: what changes is told, and what is in the way is one line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.control_plane import Cluster, control_plane
from tests.job_world import a_job, a_satellite
from tests.processes import until

COMMAND = [sys.executable, "-c", "from orbitloop_mission.cli import main; main()", "watch"]
NAMESPACE = "watched"
REFUSED, NOT_YET = 2, 75
JOBS = f"/apis/sedna.io/v1alpha1/namespaces/{NAMESPACE}/incrementallearningjobs"
SATELLITES = f"/apis/orbitloop.io/v1alpha1/namespaces/{NAMESPACE}/satellites"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of its own, for it is stopped in between."""
    with control_plane(tmp_path_factory.mktemp("watched")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def without_kinds(bare: Cluster) -> subprocess.CompletedProcess[str]:
    """What is said before there are definitions."""
    return run("--kubeconfig", bare.plane.kubeconfig)


@pytest.fixture(scope="module")
def lab(bare: Cluster, without_kinds: object) -> Cluster:
    """The same, with a job and a satellite, and nobody who works on them."""
    bare.kubectl("apply", "-f", "crds/")
    bare.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    bare.kubectl("create", "namespace", NAMESPACE)
    for document in (a_job(), a_satellite("bupt-1", "edge-1")):
        document["metadata"]["namespace"] = NAMESPACE
        bare.kubectl("apply", "-f", "-", said=json.dumps(document))
    return bare


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)


class Watching:
    """A watch that goes on."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process, self._out, self._err = process, out, err

    def says(self, text: str) -> None:
        until(lambda: text in self._out.read_text(), f"it says {text}")

    def complains(self, text: str) -> None:
        until(lambda: text in self._err.read_text(), f"it complains: {text}")

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.read_text().splitlines()]

    def interrupted(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@contextmanager
def watching(lab: Cluster, folder: Path, *options: str) -> Iterator[Watching]:
    out, err = folder / "out", folder / "err"
    command = [*COMMAND, "--kubeconfig", str(lab.plane.kubeconfig), "-n", NAMESPACE, "--every", "0.2", *options]
    with out.open("wb") as to, err.open("wb") as complaints:
        process = subprocess.Popen(command, stdout=to, stderr=complaints)
        try:
            yield Watching(process, out, err)
        finally:
            process.kill()
            process.wait()


def a_status(message: str, samples: int) -> dict[str, Any]:
    step = {"type": "Waiting", "status": "True", "stage": "Train", "message": message}
    return {
        "status": {
            "stage": "Train",
            "state": "Waiting",
            "phase": "Waiting",
            "round": 1,
            "message": message,
            "samples": {"used": 0, "waiting": samples},
            "conditions": [step],
        }
    }


def test_each_change_is_a_line_and_an_interrupt_ends_it_well(lab: Cluster, tmp_path: Path) -> None:
    with watching(lab, tmp_path) as watch:
        watch.says(f"job {NAMESPACE}/helmets")
        watch.says(f"satellite {NAMESPACE}/bupt-1")
        lab.patch(f"{JOBS}/helmets/status", a_status("samples are too few", 3))
        watch.says("round 1: Train Waiting: samples are too few")
        watch.says("3 samples wait, 0 used")
        lab.patch(f"{SATELLITES}/bupt-1/status", {"status": {"queuedSamples": 7, "queuedBytes": 1200}})
        watch.says("7 samples wait on board (1.2 kB)")
        assert watch.interrupted() == 0


def test_each_change_is_a_document(lab: Cluster, tmp_path: Path) -> None:
    with watching(lab, tmp_path, "--json") as watch:
        watch.says("bupt-1")
        lab.patch(f"{JOBS}/helmets/status", a_status("one more", 4))
        watch.says("one more")
        first, second, third = watch.documents()
    assert [one["kind"] for one in (first, second)] == ["IncrementalLearningJob", "Satellite"]
    assert (third["change"], third["samples_waiting"], third["step"]["message"]) == ("changed", 4, "one more")


def test_it_outlives_an_api_server_that_is_away(lab: Cluster, tmp_path: Path) -> None:
    with watching(lab, tmp_path) as watch:
        watch.says("bupt-1")
        lab.plane.stop_api()
        try:
            watch.complains("does not answer")
            away = run("--once", "--kubeconfig", lab.plane.kubeconfig)
        finally:
            lab.plane.start_api()
        watch.says("the API server answers again")
        lab.patch(f"{JOBS}/helmets/status", a_status("back again", 5))
        watch.says("back again")
        assert watch.interrupted() == 0
    assert (away.returncode, away.stderr.count("\n")) == (NOT_YET, 1)


def test_how_it_stands_is_said_once(lab: Cluster) -> None:
    here = ("--once", "--kubeconfig", lab.plane.kubeconfig, "-n", NAMESPACE)
    assert f"satellite {NAMESPACE}/bupt-1" in run(*here).stdout
    told = json.loads(run(*here, "--json").stdout)
    assert [job["name"] for job in told["jobs"]] == ["helmets"]
    assert [one["node"] for one in told["satellites"]] == ["edge-1"]
    elsewhere = run("--once", "--kubeconfig", lab.plane.kubeconfig, "-n", "default", "--json")
    assert json.loads(elsewhere.stdout) == {"jobs": [], "satellites": []}


def as_somebody(lab: Cluster, folder: Path) -> Path:
    """A kubeconfig of an account that may do nothing."""
    lab.kubectl("-n", "default", "create", "serviceaccount", "nobody")
    said = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    path = "/api/v1/namespaces/default/serviceaccounts/nobody/token"
    token = json.loads(lab.kubectl("create", "--raw", path, "-f", "-", said=said))["status"]["token"]
    config = json.loads(lab.plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    (folder / "kubeconfig").write_text(json.dumps(config))
    return folder / "kubeconfig"


def complaint(ran: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error."""
    assert ran.returncode == REFUSED
    (line,) = ran.stderr.strip().splitlines()
    return line


def test_who_may_not_look_is_told_so_and_by_what_right_he_could(lab: Cluster, tmp_path: Path) -> None:
    assert "orbitloop-view" in complaint(run("--kubeconfig", as_somebody(lab, tmp_path)))


def test_a_user_that_nobody_knows_is_told_to_log_in(lab: Cluster, tmp_path: Path) -> None:
    stale = tmp_path / "kubeconfig"
    config = json.loads(lab.plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "of last year"}
    stale.write_text(json.dumps(config))
    assert "log in again" in complaint(run("--kubeconfig", stale))


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        pytest.param(None, (), "--kubeconfig", id="no kubeconfig"),
        pytest.param("{[", (), "no YAML", id="no YAML"),
        pytest.param("null", (), "--kubeconfig", id="empty"),
        pytest.param("{}", ("--context", "nowhere"), "--kubeconfig", id="no such context"),
        pytest.param("{}", ("--every", "0"), "--every", id="no pause"),
    ],
)
def test_a_cluster_that_cannot_be_found_is_one_line(
    tmp_path: Path, content: str | None, options: tuple[str, ...], says: str
) -> None:
    if content is not None:
        (tmp_path / "kubeconfig").write_text(content)
    assert says in complaint(run("--kubeconfig", tmp_path / "kubeconfig", *options))


def test_a_cluster_without_our_kinds_is_told_how_to_get_them(without_kinds: subprocess.CompletedProcess[str]) -> None:
    assert "kubectl apply -f crds/" in complaint(without_kinds)
