"""What runs for a JointInferenceService, what its workers are told, and what its status says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.conformance.jobs import SEDNA, a_model, a_template
from tests.conformance.target import Target, path_of
from tests.conformance.world import NODE, Document, Ways, World, a_world, values
from tests.global_manager import until

NAME = "together"
LABEL = "jointinferenceservice.sedna.io/"
ROLES = pytest.mark.parametrize("role", ["cloud", "edge"])
PATHS = {"cloud": "/models/large/model.onnx", "edge": "/models/small/model.onnx"}


def a_service() -> Document:
    """A service whose cloud workers follow the load."""
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    cloud = a_template("large")
    cloud["metadata"] = {"labels": {"team": "sea"}}
    spec = {
        "edgeWorker": {
            "model": {"name": "small"},
            "template": a_template("small", nodeName=NODE),
            "hardExampleMining": {
                "name": "CrossEntropy",
                "parameters": [{"key": "threshold_cross_entropy", "value": "0.4"}],
            },
        },
        "cloudWorker": {
            "model": {"name": "large"},
            "template": cloud,
            "hpa": {"minReplicas": 2, "maxReplicas": 5, "metrics": [cpu]},
        },
    }
    return {"apiVersion": SEDNA, "kind": "JointInferenceService", "metadata": {"name": NAME}, "spec": spec}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service in the API server."""

    world: World

    def named(self, kind: str, name: str) -> Document:
        """An object of it, once it is there."""
        until(lambda: self._found(kind, name) is not None, f"there was a {kind} {name}")
        found = self._found(kind, name)
        assert found is not None
        return found

    def _found(self, kind: str, name: str) -> Document | None:
        found: Document | None = self.world.target.named(kind, self.world.namespace, name)
        return found

    def deployment(self, role: str) -> Document:
        """The Deployment of a role."""
        return self.named("Deployment", f"{NAME}-deployment-{role}")

    def told(self, role: str) -> dict[str, str]:
        """What the workers of a role are told."""
        return values(self.deployment(role)["spec"]["template"])

    @property
    def status(self) -> Document:
        """Its status; empty if it has none."""
        return self.named("JointInferenceService", NAME).get("status") or {}

    def is_at(self, kind: str) -> bool:
        """Whether its last condition is of this type, and holds."""
        last = (self.status.get("conditions") or [{}])[-1]
        return (last.get("type"), last.get("status")) == (kind, "True")

    def say(self, role: str, available: int, progresses: bool = True) -> None:
        """What the controller of Deployments would say."""
        progressing = {"type": "Progressing", "status": str(progresses), "reason": "Said", "message": "as said"}
        condition = progressing | {"lastUpdateTime": "2026-03-01T12:00:00Z"}
        status = {
            "replicas": available,
            "readyReplicas": available,
            "availableReplicas": available,
            "conditions": [condition],
        }
        path = path_of("Deployment", self.world.namespace, f"{NAME}-deployment-{role}")
        self.world.target.patch(f"{path}/status", {"status": status})


@pytest.fixture(scope="module")
def service(target: Target, ways: Ways, running: None) -> Iterator[Service]:
    """One that was just created."""
    with a_world(target, ways) as world:
        world.has(a_model("small", PATHS["edge"]), a_model("large", PATHS["cloud"]), a_service())
        yield Service(world=world)


def test_it_begins_by_waiting(service: Service) -> None:
    def has_waited() -> bool:
        return "Pending" in {one["type"] for one in service.status.get("conditions", ())}

    until(has_waited, "the service was Pending", lambda: json.dumps(service.status))
    assert service.status["startTime"]


@ROLES
def test_each_worker_is_a_deployment_of_the_service(service: Service, role: str) -> None:
    made, owner = service.deployment(role), service.named("JointInferenceService", NAME)
    (reference,) = made["metadata"]["ownerReferences"]
    assert (reference["kind"], reference["name"]) == ("JointInferenceService", NAME)
    assert (reference["uid"], reference["controller"]) == (owner["metadata"]["uid"], True)
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert (labels[f"{LABEL}name"], labels[f"{LABEL}uid"]) == (NAME, owner["metadata"]["uid"])
    assert labels[f"{LABEL}worker-type"].lower() == role


def test_the_edge_worker_is_on_its_node_and_its_node_s_network(service: Service) -> None:
    spec = service.deployment("edge")["spec"]["template"]["spec"]
    assert (spec["nodeName"], spec["hostNetwork"]) == (NODE, True)


def test_the_edge_finds_the_cloud_by_a_service(service: Service) -> None:
    found = service.named("Service", f"{NAME}-cloud")
    (port,) = found["spec"]["ports"]
    assert (port["name"], port["port"]) == ("tcp-0", 5000)
    assert found["spec"]["selector"] == {"app.sedna.io": f"{NAME}-Cloud-svc"}
    labels = service.deployment("cloud")["spec"]["template"]["metadata"]["labels"]
    assert labels["app.sedna.io"] == f"{NAME}-Cloud-svc"


@ROLES
def test_every_worker_is_told_who_it_is(service: Service, role: str) -> None:
    told = service.told(role)
    assert (told["NAMESPACE"], told["SERVICE_NAME"]) == (service.world.namespace, NAME)
    assert told["WORKER_NAME"]
    assert told["MODEL_URL"] == f"/home/data{PATHS[role]}"


def test_the_cloud_worker_is_told_where_to_listen(service: Service) -> None:
    assert service.told("cloud")["BIG_MODEL_BIND_PORT"] == "5000"


def test_the_edge_worker_is_told_whom_to_ask_and_about_what(service: Service) -> None:
    told = service.told("edge")
    assert told["BIG_MODEL_IP"] == f"{NAME}-cloud.{service.world.namespace}"
    assert told["BIG_MODEL_PORT"] == "5000"
    assert told["HEM_NAME"] == "CrossEntropy"
    assert json.loads(told["HEM_PARAMETERS"]) == [{"key": "threshold_cross_entropy", "value": "0.4"}]
    assert told["LC_SERVER"].startswith("http://")


def test_workers_that_follow_the_load_have_an_autoscaler(service: Service) -> None:
    spec = service.named("HorizontalPodAutoscaler", f"hpa-{NAME}-deployment-cloud")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    assert spec["targetCPUUtilizationPercentage"] == 50
    assert (spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]) == (
        "Deployment",
        f"{NAME}-deployment-cloud",
    )


@pytest.mark.stricter
def test_the_library_is_told_the_service_s_name_where_it_looks_for_it(service: Service) -> None:
    """Sedna's does without, and its metrics never arrive."""
    assert service.told("edge")["JOB_NAME"] == NAME


@pytest.mark.stricter
def test_a_template_keeps_its_labels(service: Service) -> None:
    assert service.deployment("cloud")["spec"]["template"]["metadata"]["labels"]["team"] == "sea"


def test_it_runs_once_both_workers_do(service: Service) -> None:
    service.deployment("edge")
    service.say("edge", 1)
    service.say("cloud", 1)
    until(lambda: service.is_at("Running"), "the service ran", lambda: json.dumps(service.status))
    assert service.status["active"] == 2


@pytest.mark.stricter
def test_it_fails_and_it_recovers(service: Service) -> None:
    """Sedna's services that failed once stay so, be it for one loss of signal."""
    service.deployment("cloud")
    service.say("edge", 1)
    service.say("cloud", 0, progresses=False)
    until(lambda: service.is_at("Failed"), "the service failed", lambda: json.dumps(service.status))
    assert f"{NAME}-deployment-cloud" in service.status["conditions"][-1]["message"]
    service.say("cloud", 2)
    until(lambda: service.is_at("Running"), "the service ran again", lambda: json.dumps(service.status))


@pytest.mark.stricter
def test_a_change_of_the_service_reaches_its_workers(service: Service) -> None:
    changed = a_template("small", nodeName=NODE)
    changed["spec"]["containers"][0]["image"] = "conformance.invalid/smaller"
    service.world.change("JointInferenceService", NAME, {"edgeWorker": {"template": changed}})

    def changes() -> bool:
        (container,) = service.deployment("edge")["spec"]["template"]["spec"]["containers"]
        return bool(container["image"] == "conformance.invalid/smaller")

    until(changes, "the Deployment had the new image")
