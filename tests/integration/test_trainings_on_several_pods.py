"""A training on several pods, on a real API server with garbage collection; nodes, and Kubeflow, are played."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.control_plane import Cluster
from tests.global_manager import GlobalManager, Kubelet, global_manager, until

from orbitloop.api.sedna_v1alpha1.incremental_learning_job import Via
from orbitloop_operators.handlers.worker_groups import WorkerGroup, objects_of
from orbitloop_operators.handlers.worker_pods import Owner, WorkerPod

pytestmark = pytest.mark.timeout(300)

SEDNA = "sedna.io/v1alpha1"
WORKER = "find-ships-train-1-1"
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ground-1"}}
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_REPLICAS = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"},
        "restartPolicy": {"type": "string"},
        "template": _ANYTHING,
    },
}
_RUN_POLICY = {"type": "object", "properties": {"cleanPodPolicy": {"type": "string"}, "suspend": {"type": "boolean"}}}
_PYTORCH_SPEC = {
    "type": "object",
    "required": ["pytorchReplicaSpecs"],
    "properties": {
        "nprocPerNode": {"type": "string"},
        "runPolicy": _RUN_POLICY,
        "pytorchReplicaSpecs": {"type": "object", "additionalProperties": _REPLICAS},
    },
}
PYTORCH_JOBS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "pytorchjobs.kubeflow.org"},
    "spec": {
        "group": "kubeflow.org",
        "scope": "Namespaced",
        "names": {"kind": "PyTorchJob", "plural": "pytorchjobs", "singular": "pytorchjob"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {"type": "object", "properties": {"spec": _PYTORCH_SPEC, "status": _ANYTHING}}
                },
            }
        ],
    },
}


def an_object(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": SEDNA, "kind": kind, "metadata": {"name": name}, "spec": spec}


def documents(**train: Any) -> list[dict[str, Any]]:
    template = {"spec": {"containers": [{"name": "worker", "image": "worker:1", "command": ["python", "work.py"]}]}}
    trigger = {"condition": {"metric": "num_of_samples", "operator": ">=", "threshold": 10}}
    return [
        an_object("Dataset", "ships", url="/data/ships/index.txt", format="txt", nodeName="ground-1"),
        an_object("Model", "base", url="/models/base/model.onnx", format="onnx"),
        an_object(
            "IncrementalLearningJob",
            "find-ships",
            dataset={"name": "ships", "trainProb": 0.8},
            initialModel={"name": "base"},
            outputDir="/output",
            trainSpec={"template": template, "trigger": trigger, **train},
            evalSpec={"template": template},
            deploySpec={
                "model": {"name": "base"},
                "trigger": {"condition": {"metric": "precision_delta", "operator": ">", "threshold": 0}},
                "hardExampleMining": {"name": "IBT"},
                "template": template,
            },
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A namespace, its nodes on paper, and the manager."""

    cluster: Cluster
    namespace: str
    kubelet: Kubelet
    manager: GlobalManager

    def kubectl(self, *arguments: str, said: str | None = None) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, said=said)

    def apply(self, *things: dict[str, Any]) -> None:
        for thing in things:
            self.kubectl("apply", "-f", "-", said=json.dumps(thing))

    def begin(self, **train: Any) -> None:
        """A job with samples enough for a round."""
        self.apply(*documents(**train))
        path = f"/apis/{SEDNA}/namespaces/{self.namespace}/datasets/ships/status"
        self.cluster.patch(path, {"status": {"numberOfSamples": 20}})

    def names(self, kind: str, part: str = "-train-") -> list[str]:
        found = json.loads(self.kubectl("get", kind, "-o", "json"))["items"]
        return sorted(name for one in found if part in (name := str(one["metadata"]["name"])))

    def status(self) -> dict[str, Any]:
        found = json.loads(self.kubectl("get", "il", "find-ships", "-o", "json"))
        return dict(found.get("status") or {})

    def reaches(self, step: str) -> None:
        until(lambda: step in self._steps(), f"the job reached {step}", self.told)

    def _steps(self) -> list[str]:
        return [f"{one['stage']}/{one['type']}" for one in self.status().get("conditions", ())]

    def told(self) -> str:
        return json.dumps(self.status(), indent=1) + self.manager.log.read_text()[-4_000:]

    def let_go(self) -> None:
        """The node ends whatever was deleted."""
        for pod in self.kubelet.pods():
            if "deletionTimestamp" in pod["metadata"]:
                self.kubectl("delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0", "--wait=false")

    def is_swept(self, *kinds: str) -> bool:
        self.let_go()
        return not any(self.names(kind, "find-ships") for kind in kinds)


@pytest.fixture
def site(controlled: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    namespace = request.node.originalname.replace("_", "-")[:40].strip("-")
    controlled.kubectl("create", "namespace", namespace)
    controlled.kubectl("apply", "-f", "-", said=json.dumps(NODE))
    until(
        lambda: controlled.try_kubectl("-n", namespace, "get", "serviceaccount", "default").returncode == 0,
        "the namespace had its account",
    )
    kubelet = Kubelet(cluster=controlled, namespace=namespace)
    with global_manager(controlled, tmp_path, "--lease-name", namespace, "--namespaces", namespace) as manager:
        made = Site(cluster=controlled, namespace=namespace, kubelet=kubelet, manager=manager)
        yield made
        assert "reconcile_broke" not in manager.log.read_text()
    controlled.try_kubectl("-n", namespace, "delete", "il", "--all")
    controlled.try_kubectl("-n", namespace, "delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false")


def trained() -> str:
    model = {"format": "onnx", "url": "/output/train/1/model.onnx", "digest": f"sha256:{'a' * 64}", "metrics": {}}
    return json.dumps({"kind": "train", "status": "completed", "results": [model]})


def test_two_pods_train_and_either_has_the_result(site: Site) -> None:
    site.begin(pods=2)
    until(lambda: site.names("pods") == [f"{WORKER}-0", f"{WORKER}-1"], "two pods were made", site.told)
    service = json.loads(site.kubectl("get", "service", WORKER, "-o", "json"))["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert site.names("jobs") == []  # indexed ones are on trial in this Kubernetes
    for name in site.names("pods"):
        site.kubelet.runs(name)
    site.reaches("Train/Running")
    site.manager.kill()
    site.kubelet.ends(f"{WORKER}-0")
    site.manager.start()
    site.kubelet.ends(f"{WORKER}-1", message=trained())
    site.reaches("Train/Completed")
    site.reaches("Eval/Starting")
    assert site.status()["candidate"]["digest"] == f"sha256:{'a' * 64}"
    site.kubectl("delete", "il", "find-ships")
    until(lambda: site.is_swept("pods", "services"), "nothing was left of the job", site.told)


def test_one_that_fails_ends_the_others(site: Site) -> None:
    site.begin(pods=3)
    until(lambda: len(site.names("pods")) == 3, "three pods were made", site.told)
    for name in site.names("pods"):
        site.kubelet.runs(name)
    site.reaches("Train/Running")
    site.kubelet.ends(f"{WORKER}-1", code=1, message="no memory left on the device")
    until(lambda: site.status().get("failures") == 1, "the failure was counted", site.told)
    assert f"pod {WORKER}-1 failed: exit code 1: no memory left on the device" in site.status()["lastError"]

    def are_gone() -> bool:
        site.let_go()
        return site.names("pods") == [f"{WORKER}-1"]

    until(are_gone, "the other pods went", site.told)


def test_a_pytorch_job_is_made_once_kubeflow_is_there(site: Site) -> None:
    site.begin(pods=2, via="PyTorchJob")
    until(lambda: "install the training operator" in site.status().get("lastError", ""), "it was missed", site.told)
    site.apply(PYTORCH_JOBS)
    site.cluster.kubectl("wait", "--for=condition=Established", "crd/pytorchjobs.kubeflow.org", "--timeout=30s")
    site.kubectl("patch", "il", "find-ships", "--type=merge", "-p", '{"spec":{"trainSpec":{"via":"Auto"}}}')
    until(lambda: site.names("pytorchjobs") == [WORKER], "a PyTorchJob was made", site.told)
    made = json.loads(site.kubectl("get", "pytorchjob", WORKER, "-o", "json"))
    workers = made["spec"]["pytorchReplicaSpecs"]["Worker"]
    for number in range(workers["replicas"]):  # as the training operator does
        owner = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "name": WORKER, "controller": True}
        metadata = {
            **workers["template"]["metadata"],
            "name": f"{WORKER}-worker-{number}",
            "ownerReferences": [owner | {"uid": made["metadata"]["uid"]}],
        }
        spec = workers["template"]["spec"] | {"restartPolicy": workers["restartPolicy"]}
        site.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        site.kubelet.runs(f"{WORKER}-worker-{number}")
    site.reaches("Train/Running")
    site.kubelet.ends(f"{WORKER}-worker-0", message=trained())
    site.kubelet.ends(f"{WORKER}-worker-1")
    site.reaches("Train/Completed")
    site.kubectl("delete", "il", "find-ships")
    until(lambda: site.is_swept("pods", "services", "pytorchjobs"), "nothing was left of the job", site.told)


def test_an_indexed_job_is_one_that_an_api_server_takes_but_for_what_is_on_trial_in_it(controlled: Cluster) -> None:
    template = documents()[-1]["spec"]["trainSpec"]["template"]
    group = WorkerGroup(
        owner=Owner(
            api_version=SEDNA, kind="IncrementalLearningJob", namespace="default", name="find-ships", uid="6b2c"
        ),
        pod=WorkerPod(name=WORKER, worker_type="train", template=template, env={"JOB_NAME": "find-ships"}),
        size=2,
        via=Via.INDEXED_JOB,
        tools_image="tools:1",
        queue="missions",
    )
    for one in objects_of(group):
        controlled.kubectl("create", "--dry-run=server", "--validate=false", "-f", "-", said=json.dumps(one))


def test_an_indexed_job_is_missed_where_it_is_on_trial(site: Site) -> None:
    site.begin(pods=2, via="IndexedJob")
    until(lambda: "takes Kubernetes 1.24" in site.status().get("lastError", ""), "it was missed", site.told)
    assert site.names("jobs") == site.names("pods") == []
