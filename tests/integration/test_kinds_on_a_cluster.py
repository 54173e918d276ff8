"""Every kind beside the learning jobs on a real API server, by the Global Manager as a process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.control_plane import Cluster
from tests.global_manager import global_manager, until
from tests.handler_world import ORBITLOOP, SEDNA

from orbitloop.domain.elements import checksum

NAMESPACE, NODE = "kinds", "edge-7"


@pytest.fixture(scope="module")
def lab(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with a Global Manager that looks after it."""
    cluster.kubectl("apply", "-f", "crds/")
    cluster.kubectl("create", "namespace", NAMESPACE)
    folder = tmp_path_factory.mktemp("manager")
    with global_manager(cluster, folder, "--lease-name", "kinds") as manager:
        until(manager.is_ready, "it was ready")
        yield cluster
        assert "reconcile_broke" not in manager.log.read_text()


def apply(lab: Cluster, *documents: dict[str, Any]) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
    lab.kubectl("-n", NAMESPACE, "apply", "-f", "-", said=json.dumps(items))


def an_object(api_version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def get(lab: Cluster, what: str, name: str) -> dict[str, Any]:
    found = lab.try_kubectl("-n", NAMESPACE, "get", what, name, "-o", "json")
    read: dict[str, Any] = json.loads(found.stdout) if found.returncode == 0 else {}
    return read


def now_true(lab: Cluster, what: str, name: str) -> str:
    """Reason of the condition that is true, or of the only one."""
    conditions = get(lab, what, name).get("status", {}).get("conditions", [])
    return next((one["reason"] for one in reversed(conditions) if one["status"] == "True"), "")


def reason(lab: Cluster, what: str, name: str) -> str:
    conditions = get(lab, what, name).get("status", {}).get("conditions", [])
    return next((one["reason"] for one in conditions if one["type"] == "Ready"), "")


def set_status(lab: Cluster, path: str, status: dict[str, Any]) -> None:
    """Write a status as a controller of Kubernetes would."""
    known = json.loads(lab.kubectl("get", "--raw", path))
    body = json.dumps({**known, "status": known.get("status", {}) | status})
    lab.kubectl("replace", "--raw", f"{path}/status", "-f", "-", said=body)


def a_template(**spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "worker", "image": "lab/worker:1"}], **spec}}


def ready(status: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Ready", "status": status}]}


def test_a_joint_inference_service_runs_through_a_loss_of_signal(lab: Cluster) -> None:
    lab.kubectl("create", "-f", "-", said=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}))
    set_status(lab, f"/api/v1/nodes/{NODE}", ready("True"))
    models = [
        an_object(SEDNA, "Model", name, {"url": f"/m/{name}.onnx", "format": "onnx"}) for name in ("little", "big")
    ]
    hpa = {"maxReplicas": 3, "metrics": [{"type": "Resource", "resource": _AT_HALF_LOAD}]}
    spec = {
        "edgeWorker": {
            "model": {"name": "little"},
            "hardExampleMining": {"name": "IBT"},
            "template": a_template(nodeName=NODE),
        },
        "cloudWorker": {"model": {"name": "big"}, "template": a_template(), "hpa": hpa},
    }
    apply(lab, *models, an_object(SEDNA, "JointInferenceService", "helmets", spec))
    until(lambda: now_true(lab, "ji", "helmets") == "Starting", "it was pending")
    made = lab.kubectl("-n", NAMESPACE, "get", "deployments,services,hpa", "-o", "name").split()
    assert {one.rpartition("/")[2] for one in made} == {
        "helmets-deployment-cloud",
        "helmets-deployment-edge",
        "helmets-cloud",
        "hpa-helmets-deployment-cloud",
    }
    deployments = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    for role in ("cloud", "edge"):
        set_status(lab, f"{deployments}/helmets-deployment-{role}", _AVAILABLE)
    until(lambda: now_true(lab, "ji", "helmets") == "Available", "it ran")
    set_status(lab, f"/api/v1/nodes/{NODE}", ready("Unknown"))
    set_status(lab, f"{deployments}/helmets-deployment-edge", _GONE)
    until(lambda: now_true(lab, "ji", "helmets") == "WaitingForContact", "it waited")
    set_status(lab, f"/api/v1/nodes/{NODE}", ready("True"))
    set_status(lab, f"{deployments}/helmets-deployment-edge", _AVAILABLE)
    until(lambda: now_true(lab, "ji", "helmets") == "Available", "it ran again")
    lab.kubectl("-n", NAMESPACE, "delete", "service", "helmets-cloud")
    until(lambda: bool(get(lab, "service", "helmets-cloud")), "the Service was made again")


_AT_HALF_LOAD = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
_AVAILABLE = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}
_GONE = {"readyReplicas": 0, "availableReplicas": 0, "unavailableReplicas": 1}


def test_a_dataset_on_an_unknown_node_says_so_until_the_node_is_there(lab: Cluster) -> None:
    spec = {"url": "/data/x.txt", "format": "txt", "nodeName": "edge-8"}
    apply(lab, an_object(SEDNA, "Dataset", "frames", spec))
    until(lambda: reason(lab, "dataset", "frames") == "UnknownNode", "it named the node")
    until(lambda: "UnknownNode" in lab.kubectl("-n", NAMESPACE, "get", "events"), "there was an Event")
    lab.kubectl(
        "create", "-f", "-", said=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "edge-8"}})
    )
    until(lambda: reason(lab, "dataset", "frames") == "WaitingForNode", "it waited for the node")


def test_windows_are_computed_from_what_was_applied_in_any_order(lab: Cluster) -> None:
    epoch = f"{datetime.now(UTC):%y%j}.00000000"
    lines = [
        f"1 25544U 98067A   {epoch}  .00016717  00000-0  10270-3 0  900",
        "2 25544  51.6400 208.9163 0006317  69.9862  25.2906 15.5013770040000",
    ]
    elements = [f"{line}{checksum(line + '0')}" for line in lines]
    apply(lab, an_object(ORBITLOOP, "ContactPlan", "plan", {"satellites": ["bupt-1"], "stations": ["beijing"]}))
    until(lambda: reason(lab, "contactplan", "plan") == "Missing", "it named what is missing")
    place = {"latitudeMicrodegrees": 39_960_000, "longitudeMicrodegrees": 116_350_000}
    apply(
        lab,
        an_object(ORBITLOOP, "GroundStation", "beijing", place),
        an_object(ORBITLOOP, "LinkPolicy", "thrifty", {}),
        an_object(ORBITLOOP, "Satellite", "bupt-1", {"nodeName": "sat-1", "elements": elements}),
    )
    until(lambda: reason(lab, "contactplan", "plan") == "Computed", "it was computed")
    assert get(lab, "contactplan", "plan")["status"]["windows"]
    until(lambda: reason(lab, "satellite", "bupt-1") == "UnknownNode", "the satellite named its node")
    assert reason(lab, "groundstation", "beijing") == "Placed"
    until(lambda: reason(lab, "linkpolicy", "thrifty") == "Accepted", "the policy was accepted")
