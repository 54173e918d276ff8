"""``orbitloop run`` of a JointInferenceService: a little model and a big one, and the Service between them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

MODEL = """
import numpy as np

class Estimator:
    def load(self, model_url):
        with np.load(model_url) as read:
            self.slope = float(read["slope"])

    def predict(self, data, **kwargs):
        return (np.asarray(data) * self.slope).tolist()
"""
CLOUD = """
from sedna.core.joint_inference import BigModelService
from model import Estimator

BigModelService(estimator=Estimator).start()
"""
EDGE = """
import os, time
from sedna.core.joint_inference import JointInference
from model import Estimator

job = JointInference(estimator=Estimator, hard_example_mining={"method": "CloudOnly"})
while True:
    hard, final, edge, cloud = job.inference([1.0])
    print(f"{os.environ['BIG_MODEL_IP']}: edge {edge} cloud {cloud}", flush=True)
    time.sleep(0.1)
"""
SERVICE = """
apiVersion: sedna.io/v1alpha1
kind: Model
metadata: {name: little}
spec: {url: $WORK/models/little.npz, format: npz}
---
apiVersion: sedna.io/v1alpha1
kind: Model
metadata: {name: big}
spec: {url: $WORK/models/big.npz, format: npz}
---
apiVersion: sedna.io/v1alpha1
kind: JointInferenceService
metadata: {name: slopes}
spec:
  edgeWorker:
    model: {name: little}
    hardExampleMining: {name: CloudOnly}
    template: {spec: {nodeName: edge-1, containers: [{name: little, image: "example.org/little:1", args: [edge.py]}]}}
  cloudWorker:
    model: {name: big}
    template: {spec: {containers: [{name: big, image: "example.org/big:1", args: [cloud.py]}]}}
"""
ALONE = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
"""A network of its own, for the port of a big model is always the same."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"model.py": MODEL, "cloud.py": CLOUD, "edge.py": EDGE, "job.yaml": SERVICE}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "models").mkdir()
    for name, slope in (("little", 2.0), ("big", 3.0)):
        model = f"import numpy; numpy.savez({str(tmp_path / 'models' / name)!r}, slope={slope})"
        subprocess.run([sys.executable, "-c", model], check=True)
    return tmp_path


@pytest.fixture(scope="module")
def alone() -> list[str]:
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this process may not have a network of its own")
    return ALONE


def started(folder: Path, alone: list[str], *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from orbitloop_mission.cli import main; main()", "run", "job.yaml"]
    return subprocess.Popen(
        [*alone, *command, "--state", "state", *options],
        cwd=folder,
        env=os.environ | {"WORK": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    while not reached():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def logs(folder: Path, name: str) -> str:
    return "".join(path.read_text() for path in folder.glob(f"state/logs/default/slopes-deployment-{name}-*/*.log"))


@pytest.mark.parametrize(
    ("options", "place"),
    [([], "slopes-cloud.default"), (["--no-mounts"], "127.0.0.1")],
    ids=["mounts", "no mounts"],
)
def test_the_edge_asks_the_cloud_by_the_name_of_its_service(
    folder: Path, alone: list[str], options: list[str], place: str
) -> None:
    process = started(folder, alone, *options)
    until(process, lambda: f"{place}: edge [2.0] cloud [3.0]" in logs(folder, "edge"))
    process.send_signal(signal.SIGINT)
    _, complained = process.communicate()
    assert process.returncode == 130, complained


def test_once_ends_when_both_workers_run(folder: Path, alone: list[str]) -> None:
    said, complained = started(folder, alone, "--once", "--json").communicate()
    [service] = json.loads(said)["jobs"]
    assert complained.count("Running") == 1, complained
    assert [one["type"] for one in service["status"]["conditions"] if one["status"] == "True"] == ["Running"]
    assert service["status"]["active"] == 2


def test_a_worker_that_crashes_is_not_available(folder: Path, alone: list[str]) -> None:
    (folder / "cloud.py").write_text("raise SystemExit('no weights')")
    process = started(folder, alone)
    pods = "state/objects/*Pod_default_slopes-deployment-cloud-*.json"
    until(process, lambda: any("CrashLoopBackOff" in path.read_text() for path in folder.glob(pods)))
    process.send_signal(signal.SIGINT)
    process.communicate()
    [deployment] = folder.glob("state/objects/*Deployment_default_slopes-deployment-cloud.json")
    assert json.loads(deployment.read_text())["status"]["availableReplicas"] == 0
    assert "no weights" in logs(folder, "cloud")


def test_a_model_that_is_not_there_ends_the_run(folder: Path, alone: list[str]) -> None:
    (folder / "job.yaml").write_text(SERVICE.replace("model: {name: big}", "model: {name: lost}"))
    process = started(folder, alone)
    _, complained = process.communicate()
    assert process.returncode == 2
    assert "JointInferenceService slopes: its namespace has no Model lost; create what is missing" in complained
