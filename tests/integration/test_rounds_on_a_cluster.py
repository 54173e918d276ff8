"""Whole rounds of a job on a real API server, with a node on paper: whatever is killed, the outcome is the same."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.control_plane import Cluster
from tests.global_manager import GlobalManager, Kubelet, global_manager, until

pytestmark = pytest.mark.timeout(300)

SEDNA = "sedna.io/v1alpha1"
ACCOUNT = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {"name": "default"},
    "automountServiceAccountToken": False,
}
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "edge-1"}}


def an_object(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": SEDNA, "kind": kind, "metadata": {"name": name}, "spec": spec}


def template(image: str = "worker:1") -> dict[str, Any]:
    container = {"name": "worker", "image": image, "command": ["python", "work.py"]}
    return {"spec": {"nodeName": "edge-1", "containers": [container]}}


def trigger(metric: str, threshold: float) -> dict[str, Any]:
    return {"condition": {"metric": metric, "operator": ">=", "threshold": threshold}}


def documents() -> list[dict[str, Any]]:
    return [
        an_object("Dataset", "ships", url="/data/ships/index.txt", format="txt", nodeName="edge-1"),
        an_object("Model", "base", url="/models/base/model.onnx", format="onnx"),
        an_object("Model", "deployed", url="/models/deployed/model.onnx", format="onnx"),
        an_object(
            "IncrementalLearningJob",
            "find-ships",
            dataset={"name": "ships", "trainProb": 0.8},
            initialModel={"name": "base"},
            outputDir="/output",
            trainSpec={"template": template(), "trigger": trigger("num_of_samples", 10)},
            evalSpec={"template": template()},
            deploySpec={
                "model": {"name": "deployed"},
                "trigger": trigger("precision_delta", 0.1),
                "hardExampleMining": {"name": "IBT"},
                "template": template(),
            },
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A namespace with one job, its node on paper, and the manager."""

    cluster: Cluster
    namespace: str
    kubelet: Kubelet
    manager: GlobalManager

    def apply(self, *documents: dict[str, Any]) -> None:
        for document in documents:
            self.cluster.kubectl("-n", self.namespace, "apply", "-f", "-", said=json.dumps(document))

    def job(self) -> dict[str, Any]:
        return dict(json.loads(self.cluster.kubectl("-n", self.namespace, "get", "il", "find-ships", "-o", "json")))

    def status(self) -> dict[str, Any]:
        return dict(self.job().get("status") or {})

    def steps(self) -> list[str]:
        """Every step of the job so far, as ``Stage/Type``, but for what can be too short to be seen."""
        steps = [f"{one['stage']}/{one['type']}" for one in self.status().get("conditions", ())]
        return [step for step in steps if not step.endswith(("Starting", "Ready"))]

    def has_samples(self, number: int) -> None:
        path = f"/apis/{SEDNA}/namespaces/{self.namespace}/datasets/ships/status"
        self.cluster.patch(path, {"status": {"numberOfSamples": number}})

    def pod(self, stage: str) -> str:
        """The pod of a stage that has not ended, once there is one."""

        def waiting() -> list[str]:
            pods = (pod for pod in self.kubelet.pods() if pod["status"]["phase"] not in {"Succeeded", "Failed"})
            return [pod["metadata"]["name"] for pod in pods if f"-{stage}-" in pod["metadata"]["name"]]

        until(lambda: bool(waiting()), f"there was a pod for {stage}", self.told)
        (name,) = waiting()
        return name

    def reaches(self, step: str) -> None:
        until(lambda: step in self.steps(), f"the job reached {step}", self.told)

    def told(self) -> str:
        """What the job says, and the manager's log, for whoever reads of a failure."""
        return json.dumps(self.status(), indent=1) + self.manager.log.read_text()[-4_000:]


Disturb = Callable[[Site], None]


@pytest.fixture
def site(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    namespace = f"rounds-{zlib.crc32(request.node.name.encode())}"
    cluster.kubectl("apply", "-f", "crds/")
    cluster.kubectl("create", "namespace", namespace)
    cluster.kubectl("apply", "-f", "-", said=json.dumps(NODE))
    cluster.kubectl("-n", namespace, "apply", "-f", "-", said=json.dumps(ACCOUNT))
    kubelet = Kubelet(cluster=cluster, namespace=namespace)
    identity = ("--lease-name", namespace, "--lease-identity", "tests", "--namespaces", namespace)
    with global_manager(cluster, tmp_path, *identity) as manager:
        yield Site(cluster=cluster, namespace=namespace, kubelet=kubelet, manager=manager)


def result(stage: str, *models: dict[str, Any]) -> str:
    return json.dumps({"kind": stage, "status": "completed", "results": list(models)})


def model(name: str, precision: float | None = None) -> dict[str, Any]:
    metrics = {} if precision is None else {"precision": [precision]}
    return {
        "format": "onnx",
        "url": f"/output/train/1/{name}.onnx",
        "digest": f"sha256:{name[0] * 64}",
        "metrics": metrics,
    }


def kill_and_start(site: Site) -> None:
    site.manager.kill()
    site.manager.start()


def outage(site: Site) -> None:
    site.cluster.plane.stop_api()
    site.cluster.plane.start_api()


@pytest.mark.parametrize(
    "disturb", [lambda site: None, kill_and_start, outage], ids=["undisturbed", "manager killed", "API server away"]
)
def test_a_round_trains_evaluates_and_deploys_whatever_happens_in_between(site: Site, disturb: Disturb) -> None:
    site.apply(*documents())
    site.reaches("Train/Waiting")
    disturb(site)
    site.has_samples(20)
    for stage, models in (
        ("train", [model("a-new")]),
        ("eval", [model("a-new", 0.9), model("base", 0.6)]),
        ("deploy", [model("a-new")]),
    ):
        name = site.pod(stage)
        disturb(site)
        site.kubelet.runs(name)
        site.reaches(f"{stage.capitalize()}/Running")
        disturb(site)
        site.kubelet.ends(name, message=result(stage, *models))
        site.reaches(f"{stage.capitalize()}/Completed")
    disturb(site)
    until(lambda: site.status()["round"] == 2, "the next round began")
    assert site.steps() == [
        "Train/Waiting",
        *(f"{stage}/{step}" for stage in ("Train",) for step in ("Running", "Completed")),
        *(f"{stage}/{step}" for stage in ("Eval", "Deploy") for step in ("Waiting", "Running", "Completed")),
        "Train/Waiting",
    ]
    status = site.status()
    assert (status["samples"]["used"], status["samples"]["waiting"]) == (20, 0)
    assert status["flying"] == f"sha256:{'a' * 64}"
    stages = [pod["metadata"]["name"].split("-")[2] for pod in site.kubelet.pods()]
    assert sorted(stages) == ["deploy", "eval", "inference", "train"]


def test_a_failed_training_backs_off_and_says_why(site: Site) -> None:
    site.apply(*documents())
    site.has_samples(20)
    name = site.pod("train")
    site.kubelet.runs(name)
    site.kubelet.ends(name, code=137)
    until(lambda: site.status().get("failures") == 1, "the failure was counted")
    status = site.status()
    assert "137" in status["lastError"]
    assert status["retryAt"] > status["failedAt"]
    events = site.cluster.kubectl("-n", site.namespace, "get", "events", "-o", "json")
    assert any(event["type"] == "Warning" for event in json.loads(events)["items"])


def test_an_image_that_cannot_be_pulled_is_named_and_the_job_goes_on_once_it_can(site: Site) -> None:
    site.apply(*documents())
    site.has_samples(20)
    name = site.pod("train")
    site.kubelet.waits(name, "ImagePullBackOff", "Back-off pulling image worker:1")
    until(lambda: "worker:1" in site.status().get("lastError", ""), "the image was named")
    site.kubelet.runs(name)
    site.reaches("Train/Running")


def test_a_job_that_lacks_its_dataset_says_so_and_starts_once_it_is_there(site: Site) -> None:
    dataset, *rest = documents()
    site.apply(*rest)
    until(lambda: "Dataset ships" in site.status().get("lastError", ""), "the Dataset was missed")
    site.apply(dataset)
    until(lambda: site.steps()[-1:] == ["Train/Waiting"], "the job went on")


def test_a_job_that_is_deleted_in_mid_round_disturbs_no_other(site: Site) -> None:
    *others, job = documents()
    another = {**job, "metadata": {"name": "another"}}
    site.apply(*others, job, another)
    site.has_samples(20)
    until(lambda: sum("-train-" in pod["metadata"]["name"] for pod in site.kubelet.pods()) == 2, "both trained")
    site.cluster.kubectl("-n", site.namespace, "delete", "il", "another")
    name = "find-ships-train-1-1"
    site.kubelet.runs(name)
    site.reaches("Train/Running")


def test_nothing_is_written_when_the_manager_starts_on_what_is_as_it_should_be(site: Site) -> None:
    site.apply(*documents())
    site.reaches("Train/Waiting")
    before = site.job()["metadata"]["resourceVersion"]
    kill_and_start(site)
    until(lambda: 'reconciles_total{kind="IncrementalLearningJob"' in site.manager.metrics(), "the job was looked at")
    assert site.job()["metadata"]["resourceVersion"] == before
    assert "/status" not in site.manager.metrics()
