"""An ApplicationTransformation on a real API server, by the Global Manager as a process; Jobs and nodes are played."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.control_plane import Cluster
from tests.global_manager import GlobalManager, Kubelet, global_manager, until
from tests.handler_world import ORBITLOOP, SEDNA

pytestmark = pytest.mark.timeout(300)

NAMESPACE = "transformations"
DIGEST = f"sha256:{'7' * 64}"
CORE_NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ground-9"}}


def an_object(api_version: str, kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A namespace, its node and Jobs on paper, and the manager."""

    cluster: Cluster
    kubelet: Kubelet
    manager: GlobalManager

    def apply(self, *things: dict[str, Any]) -> None:
        for thing in things:
            self.kubectl("apply", "-f", "-", said=json.dumps(thing))

    def kubectl(self, *arguments: str, said: str | None = None) -> str:
        return self.cluster.kubectl("-n", NAMESPACE, *arguments, said=said)

    def get(self, what: str, name: str) -> dict[str, Any]:
        found = self.cluster.try_kubectl("-n", NAMESPACE, "get", what, name, "-o", "json")
        read: dict[str, Any] = json.loads(found.stdout) if found.returncode == 0 else {}
        return read

    def status(self) -> dict[str, Any]:
        return dict(self.get("at", "ships").get("status") or {})

    def told(self) -> str:
        return json.dumps(self.status(), indent=1) + self.manager.log.read_text()[-4_000:]

    def reaches(self, reason: str) -> None:
        def is_there() -> bool:
            return any(one["reason"] == reason for one in self.status().get("conditions", ()))

        until(is_there, f"it said {reason}", self.told)

    def jobs(self) -> list[str]:
        return self.kubectl("get", "jobs", "-o", "name").split()

    def job(self) -> dict[str, Any]:
        """The one Job that there is, of the spec as it is now."""

        def is_seen() -> bool:
            generation = self.get("at", "ships")["metadata"]["generation"]
            return len(self.jobs()) == 1 and self.status().get("observedGeneration") == generation

        until(is_seen, "there was one Job", self.told)
        [made] = json.loads(self.kubectl("get", "jobs", "-o", "json"))["items"]
        return dict(made)

    def begins(self, job: dict[str, Any], name: str) -> str:
        """The Job makes a pod, and a node runs it; the pod's name."""
        template = job["spec"]["template"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "controller": True}
        name = f"{job['metadata']['name']}-{name}"
        metadata = {"name": name, "ownerReferences": [owner | {"uid": job["metadata"]["uid"]}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"] | metadata, "spec": template["spec"]}
        self.apply(pod)
        self.kubelet.runs(name)
        return name

    def is_over(self, job: dict[str, Any], condition: str, **more: Any) -> None:
        """The Job says so."""
        path = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job['metadata']['name']}/status"
        self.cluster.patch(path, {"status": {"conditions": [{"type": condition, "status": "True"} | more]}})


@pytest.fixture(scope="module")
def lab(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    cluster.kubectl("apply", "-f", "crds/")
    cluster.kubectl("create", "namespace", NAMESPACE)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", said=json.dumps(account))
    cluster.kubectl("apply", "-f", "-", said=json.dumps(CORE_NODE))
    kubelet = Kubelet(cluster=cluster, namespace=NAMESPACE)
    folder = tmp_path_factory.mktemp("manager")
    with global_manager(cluster, folder, "--lease-name", NAMESPACE, "--namespaces", NAMESPACE) as manager:
        until(manager.is_ready, "it was ready")
        yield Lab(cluster=cluster, kubelet=kubelet, manager=manager)
        assert "reconcile_broke" not in manager.log.read_text()
    cluster.try_kubectl("-n", NAMESPACE, "delete", "at,sel,jobs,sat,datasets", "--all")
    cluster.try_kubectl("-n", NAMESPACE, "delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false")


def transformation(**spec: Any) -> dict[str, Any]:
    given = {"application": "ships", "dataset": "ships", "satellite": "sat-9", "outputUrl": "/data/fitted"}
    return an_object(ORBITLOOP, "ApplicationTransformation", "ships", **{**given, **spec})


def satellite() -> dict[str, Any]:
    return an_object(ORBITLOOP, "Satellite", "sat-9", nodeName="edge-9", compute={"target": "one-core"})


def dataset() -> dict[str, Any]:
    return an_object(SEDNA, "Dataset", "ships", url="/data/ships/a.json", format="json", nodeName="ground-9")


def done(job: dict[str, Any]) -> str:
    [told] = [
        one["value"]
        for one in job["spec"]["template"]["spec"]["containers"][0]["env"]
        if one["name"] == "MODEL_URL"
    ]  # fmt: skip
    metrics = {"density": 0.9, "bent_pipe": 0.48, "direct_deploy": 0.5, "oracle": 0.92}
    result = {"format": "ols", "url": f"{told}/selection.ols", "digest": DIGEST, "metrics": metrics}
    return json.dumps({"kind": "train", "status": "completed", "results": [result]})


def test_what_is_missing_is_named_one_after_another(lab: Lab) -> None:
    lab.apply(transformation())
    lab.reaches("MissingSatellite")
    lab.apply(an_object(ORBITLOOP, "Satellite", "sat-9", nodeName="edge-9"))
    lab.reaches("MissingCompute")
    lab.apply(satellite())
    lab.reaches("MissingDataset")
    lab.apply(dataset())
    assert lab.job()["spec"]["template"]["spec"]["nodeName"] == "ground-9"
    lab.reaches("Pending")


def test_an_application_becomes_a_selection_logic_though_its_job_is_deleted_and_a_pod_lost(lab: Lab) -> None:
    lab.apply(satellite(), dataset(), transformation())
    first = lab.job()
    lab.begins(first, "a")
    lab.reaches("Running")
    lab.kubectl("delete", "job", first["metadata"]["name"])
    until(lambda: lab.job()["metadata"]["uid"] != first["metadata"]["uid"], "the Job was made again", lab.told)
    second = lab.job()
    lab.kubelet.ends(lab.begins(second, "b"), code=137)
    lab.reaches("PodLost")
    lab.kubelet.ends(lab.begins(second, "c"), message=done(second))
    lab.is_over(second, "Complete")
    lab.reaches("Completed")
    status, logic = lab.status(), lab.get("sel", "ships")
    assert (status["phase"], status["density"]["fitted"], status["selectionLogic"]) == ("Completed", "0.9000", "ships")
    assert logic["spec"] == {"satellites": ["sat-9"], "url": status["artefact"]["url"], "digest": DIGEST}
    assert logic["metadata"]["ownerReferences"][0]["kind"] == "ApplicationTransformation"
    assert [line.split()[:5] for line in lab.kubectl("get", "at").splitlines()] == [
        ["NAME", "APPLICATION", "SATELLITE", "PHASE", "DENSITY"],
        ["ships", "ships", "sat-9", "Completed", "0.9000"],
    ]


def test_another_spec_is_another_job_and_what_flies_goes_on_meanwhile(lab: Lab) -> None:
    lab.apply(satellite(), dataset(), transformation(seed=1))
    second = lab.job()
    lab.kubelet.ends(lab.begins(second, "e"), message=done(second))
    lab.is_over(second, "Complete")
    lab.reaches("Completed")
    flies = lab.get("sel", "ships")["spec"]
    lab.manager.kill()
    lab.kubectl("delete", "job", second["metadata"]["name"])
    lab.manager.start()
    lab.apply(transformation(application="airplanes"))
    third = lab.job()
    assert third["metadata"]["name"] != second["metadata"]["name"]
    said = json.dumps({"kind": "train", "status": "failed", "message": "examples/models/airplane-1m: no such detector"})
    lab.kubelet.ends(lab.begins(third, "d"), code=1, message=said)
    lab.is_over(third, "Failed", reason="BackoffLimitExceeded", message="it failed")
    lab.reaches("Failed")
    [condition] = lab.status()["conditions"]
    assert condition["message"].startswith("examples/models/airplane-1m: no such detector; correct what is wrong")
    until(lambda: "no such detector" in lab.kubectl("get", "events"), "there was an Event", lab.told)
    assert lab.get("sel", "ships")["spec"] == flies
