"""The second example: a cluster takes it in one go, and its workers get what they need."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.control_plane import Cluster
from tests.global_manager import Kubelet, global_manager, until
from tests.processes import a_free_port, gateway_for_operators

from orbitloop.adapters.wall_clock import WallClock
from orbitloop.api.orbitloop_v1alpha1.application_transformation import ApplicationTransformation
from orbitloop.api.orbitloop_v1alpha1.satellite import Satellite
from orbitloop.api.rules import checked
from orbitloop.ports.node_ledger import Export
from orbitloop_ground.app import opened_ledger
from orbitloop_ground.settings import GroundSettings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "02-incremental-learning"
NODE, GROUND = "orbitloop-worker", "orbitloop-control-plane"
NAMESPACE = "example-two"
INDEX = f"/data/{NODE}/index.txt"


def documents() -> list[dict[str, Any]]:
    files = sorted(EXAMPLE.glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for document in documents() if document["kind"] == kind]


def test_admission_lets_all_of_it_in() -> None:
    kinds = {type(checked(one)).__name__ for one in documents() if one["kind"] != "ConfigMap"}
    assert kinds == {"Satellite", "GroundStation", "LinkPolicy", "Dataset", "Model", "IncrementalLearningJob"}


def test_what_it_names_is_there() -> None:
    [job], [satellite], [policy] = of_kind("IncrementalLearningJob"), of_kind("Satellite"), of_kind("LinkPolicy")
    assert job["metadata"]["annotations"]["orbitloop.io/satellites"] == satellite["metadata"]["name"]
    assert satellite["spec"]["linkPolicy"] == policy["metadata"]["name"]
    spec = job["spec"]
    named = {
        spec["initialModel"]["name"],
        spec["evalSpec"]["initialEvalModel"]["name"],
        spec["deploySpec"]["model"]["name"],
    }
    assert named == {model["metadata"]["name"] for model in of_kind("Model")}
    assert [spec["dataset"]["name"]] == [dataset["metadata"]["name"] for dataset in of_kind("Dataset")]


def test_the_transformation_beside_it_is_for_its_satellite() -> None:
    document = yaml.safe_load((ROOT / "examples" / "3-selection-logic" / "transformation.yaml").read_text())
    transformation = checked(document)
    [satellite] = map(checked, of_kind("Satellite"))
    assert isinstance(transformation, ApplicationTransformation)
    assert isinstance(satellite, Satellite)
    assert transformation.spec.satellite == satellite.name
    assert satellite.spec.compute is not None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_round_begins_with_pods_that_find_what_they_need(cluster: Cluster, tmp_path: Path, keys: Path) -> None:
    cluster.kubectl("apply", "-f", "crds/")
    cluster.kubectl("create", "namespace", NAMESPACE)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", said=json.dumps(account))
    for name in (NODE, GROUND):
        labels = {"node-role.kubernetes.io/edge": ""} if name == NODE else {}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        cluster.kubectl("apply", "-f", "-", said=json.dumps(node))
    assert "configured" not in cluster.kubectl("-n", NAMESPACE, "apply", "--dry-run=server", "-f", str(EXAMPLE))
    cluster.kubectl("-n", NAMESPACE, "apply", "-f", str(EXAMPLE))

    (tmp_path / "token").write_text("a token of more than sixteen characters")
    (tmp_path / "ground").mkdir()
    settings = GroundSettings(folder=tmp_path / "ground", keys=keys / "ground")
    admin = a_free_port()
    options = ("--lease-name", NAMESPACE, "--lease-identity", "tests", "--namespaces", NAMESPACE)
    gateway = ("--gateway", f"http://127.0.0.1:{admin}", "--gateway-token", str(tmp_path / "token"))
    with gateway_for_operators(tmp_path, keys, admin), global_manager(cluster, tmp_path, *options, *gateway) as manager:
        with opened_ledger(settings) as ledger:
            ledger.record_export(NODE, Export(path=INDEX, lines=50, at=WallClock().now()))
        kubelet = Kubelet(cluster=cluster, namespace=NAMESPACE)
        until(lambda: len(kubelet.pods()) == 2, "there was a pod to train and one to infer", manager.log.read_text)
        inference, train = sorted(kubelet.pods(), key=lambda pod: str(pod["metadata"]["name"]))

    assert (inference["metadata"]["name"], train["metadata"]["name"]) == ("aircraft-inference-1", "aircraft-train-1-1")
    assert inference["spec"]["nodeName"] == NODE
    assert "nodeName" not in train["spec"]
    told = {entry["name"]: entry.get("value") for entry in train["spec"]["containers"][0]["env"]}
    assert told["BASE_MODEL_URL"] == "/home/data/data/model/weights.safetensors"
    assert (told["MODEL_URL"], told["STEPS"]) == ("/home/data/output/train/1", "200")
    [of_node] = [one for one in train["spec"]["volumes"] if (one.get("hostPath") or {}).get("path") == f"/data/{NODE}"]
    mounted = {one["name"]: one["mountPath"] for one in train["spec"]["containers"][0]["volumeMounts"]}
    assert mounted[of_node["name"]] == f"/home/data/data/{NODE}"
    new_models = [one for one in inference["spec"]["volumes"] if one["name"] == "sedna-model-hot-update-volume"]
    assert len(new_models) == 1, "the init container names it"


@pytest.mark.timeout(240)
def test_the_inference_worker_takes_a_new_model_over(tmp_path: Path) -> None:
    [code] = of_kind("ConfigMap")
    (tmp_path / "inference.py").write_text(code["data"]["inference.py"])
    model, hot = ROOT / "examples" / "models" / "airplane-1m", tmp_path / "hot"
    for folder in ("frames", "hot", "new"):
        (tmp_path / folder).mkdir()
    frame = next((ROOT / "examples" / "data" / "airbus-aircraft" / "images").glob("*.jpg"))
    (tmp_path / "frames" / frame.name).symlink_to(frame)
    (tmp_path / "new" / "weights.safetensors").symlink_to(model / "weights.safetensors")
    mining = of_kind("IncrementalLearningJob")[0]["spec"]["deploySpec"]["hardExampleMining"]
    told = {
        "FRAMES": str(tmp_path / "frames"),
        "EVERY_S": "0.2",
        "MODEL_URL": str(model / "weights.safetensors"),
        "MODEL_HOT_UPDATE": "true",
        "MODEL_POLL_PERIOD_SECONDS": "1",
        "MODEL_HOT_UPDATE_CONFIG": str(hot / "model_config.json"),
        "HEM_NAME": mining["name"],
        "HEM_PARAMETERS": json.dumps(mining["parameters"]),
    }
    log = tmp_path / "log"
    deploy = ["-m", "orbitloop.worker.tools", "deploy", "--wait-seconds", "120"]
    with log.open("wb") as out:
        worker = subprocess.Popen(
            [sys.executable, tmp_path / "inference.py"], env=os.environ | told, stdout=out, stderr=out
        )
    try:
        until(lambda: f"by {told['MODEL_URL']}" in log.read_text(), "it looked at the frame", log.read_text)
        new = str(tmp_path / "new" / "weights.safetensors")
        subprocess.run([sys.executable, *deploy, "--model", new, "--hot-update", str(hot)], check=True)
        until(lambda: f"by {hot}/" in log.read_text(), "it took the model over", log.read_text)
        assert worker.poll() is None
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
