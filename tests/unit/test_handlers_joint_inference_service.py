"""JointInferenceServices: what runs for them, and how they are when the edge falls silent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.handler_world import NOON, ORBITLOOP, SEDNA, World, a_node, an_object

from orbitloop.domain.errors import Refused
from orbitloop_operators.handlers.changes import Changes, Document, Key, Severity
from orbitloop_operators.handlers.conditions import stamp
from orbitloop_operators.handlers.joint_inference_service import JointInferenceServices

EDGE_NODE = "sat-1"
HPA = {"minReplicas": 2, "maxReplicas": 5, "metrics": [{"type": "Resource", "resource": {"name": "cpu"}}]}


def a_template(**spec: Any) -> dict[str, Any]:
    container = {"name": "worker", "image": "lab/worker:1", "env": [{"name": "input_shape", "value": "544,544"}]}
    return {"spec": {"containers": [container], **spec}}


def a_service(name: str = "helmets", edge: Any = None, cloud: Any = None) -> dict[str, Any]:
    mining = {"name": "IBT", "parameters": [{"key": "threshold_img", "value": "0.9"}]}
    spec = {
        "edgeWorker": {
            "model": {"name": "little"},
            "hardExampleMining": mining,
            "template": a_template(nodeName=EDGE_NODE),
            **(edge or {}),
        },
        "cloudWorker": {"model": {"name": "big"}, "template": a_template(), **(cloud or {})},
    }
    return an_object(SEDNA, "JointInferenceService", name, spec)


def a_model(name: str, **spec: Any) -> dict[str, Any]:
    return an_object(SEDNA, "Model", name, {"url": f"/models/{name}.onnx", "format": "onnx"} | spec)


SERVICE = a_service()


def a_world(*more: dict[str, Any]) -> World:
    world = World(JointInferenceServices(local_controller="http://localhost:9100"))
    world.put(SERVICE, a_model("little"), a_model("big"), a_node(EDGE_NODE), *more)
    return world


def wanted(changes: Changes) -> dict[str, Any]:
    """The objects that should be there, by name."""
    return {one["metadata"]["name"]: one for one in changes.replace}


def settle(world: World, **available: int) -> Changes:
    """What is wanted is made, and so many workers of each role are available."""
    for one in world.reconcile(SERVICE).replace:
        status: dict[str, Any] = {}
        if one["kind"] == "Deployment":
            status = {"availableReplicas": available.get(one["metadata"]["name"].rpartition("-")[2], 0)}
        world.put({**one, "metadata": {**one["metadata"], "uid": one["metadata"]["name"]}, "status": status})
    return world.reconcile(SERVICE)


def set_deployment(world: World, role: str, **status: Any) -> None:
    key = Key(api_version="apps/v1", kind="Deployment", namespace="lab", name=f"helmets-deployment-{role}")
    known = world.store.get(key)
    assert known is not None
    world.put({**known, "status": status})


def state(changes: Changes) -> tuple[str, str]:
    """Type and reason of the condition that is true."""
    assert changes.status is not None
    (one,) = (one for one in changes.status["conditions"] if one["status"] == "True")
    assert one is changes.status["conditions"][-1]
    return one["type"], one["reason"]


def said(changes: Changes) -> str:
    assert changes.status is not None
    return str(changes.status["conditions"][-1]["message"])


def containers(deployment: Document) -> Any:
    return deployment["spec"]["template"]["spec"]["containers"]


def environment(deployment: Document) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in containers(deployment)[0]["env"]}


def test_two_deployments_and_the_service_between_them_are_made_under_sednas_names() -> None:
    made = wanted(a_world().reconcile(SERVICE))
    assert set(made) == {"helmets-deployment-cloud", "helmets-deployment-edge", "helmets-cloud"}
    service = made["helmets-cloud"]["spec"]
    assert service["ports"] == [{"name": "tcp-0", "protocol": "TCP", "port": 5000, "targetPort": 5000}]
    for role in ("Cloud", "Edge"):
        spec = made[f"helmets-deployment-{role.lower()}"]["spec"]
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"] == {"app.sedna.io": f"helmets-{role}-svc"}
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        assert labels["jointinferenceservice.sedna.io/name"] == "helmets"
        assert labels["jointinferenceservice.sedna.io/worker-type"] == role.lower()
    assert service["selector"] == {"app.sedna.io": "helmets-Cloud-svc"}


def test_all_that_is_made_goes_with_the_service() -> None:
    owners = [one["metadata"]["ownerReferences"] for one in a_world().reconcile(SERVICE).replace]
    assert [(owner[0]["uid"], owner[0]["controller"]) for owner in owners] == [(SERVICE["metadata"]["uid"], True)] * 3


def test_workers_are_told_what_sednas_are() -> None:
    made = wanted(a_world().reconcile(SERVICE))
    cloud, edge = (environment(made[f"helmets-deployment-{role}"]) for role in ("cloud", "edge"))
    both = {"NAMESPACE": "lab", "SERVICE_NAME": "helmets", "JOB_NAME": "helmets", "input_shape": "544,544"}
    assert both.items() <= cloud.items()
    assert both.items() <= edge.items()
    assert cloud["MODEL_URL"] == "/home/data/models/big.onnx"
    assert cloud["BIG_MODEL_BIND_PORT"] == "5000"
    assert edge["MODEL_URL"] == "/home/data/models/little.onnx"
    assert (edge["BIG_MODEL_IP"], edge["BIG_MODEL_PORT"]) == ("helmets-cloud.lab", "5000")
    assert (edge["HEM_NAME"], json.loads(edge["HEM_PARAMETERS"])) == (
        "IBT",
        [{"key": "threshold_img", "value": "0.9"}],
    )
    assert edge["LC_SERVER"] == "http://localhost:9100"
    assert "LC_SERVER" not in cloud


def test_models_are_mounted_with_their_folder() -> None:
    edge = wanted(a_world().reconcile(SERVICE))["helmets-deployment-edge"]
    (volume,) = edge["spec"]["template"]["spec"]["volumes"]
    (mount,) = containers(edge)[0]["volumeMounts"]
    assert volume["hostPath"]["path"] == "/models"
    assert mount == {"name": volume["name"], "mountPath": "/home/data/models"}


def test_secrets_are_referred_to_and_never_read() -> None:
    world = a_world()
    world.put(a_model("big", url="s3://models/big.onnx", credentialName="bucket"))
    told = environment(wanted(world.reconcile(SERVICE))["helmets-deployment-cloud"])
    assert told["MODEL_URL"] == "s3://models/big.onnx"
    assert told["SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "bucket", "key": "SECRET_ACCESS_KEY"}}


def test_an_edge_worker_stays_on_a_silent_node_and_a_cloud_worker_never_lands_on_one() -> None:
    made = wanted(a_world().reconcile(SERVICE))
    cloud, edge = (made[f"helmets-deployment-{role}"]["spec"]["template"]["spec"] for role in ("cloud", "edge"))
    assert {one["key"] for one in edge["tolerations"]} == {
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/not-ready",
    }
    assert edge["nodeName"] == EDGE_NODE
    assert edge["hostNetwork"] is True
    assert "hostNetwork" not in cloud
    assert "DoesNotExist" in json.dumps(cloud["affinity"])


def test_an_edge_worker_is_replaced_one_after_the_other_for_its_ports_are_the_hosts() -> None:
    edge = wanted(a_world().reconcile(SERVICE))["helmets-deployment-edge"]
    assert edge["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_the_templates_labels_and_annotations_reach_the_pods() -> None:
    template = {**a_template(), "metadata": {"labels": {"team": "lab"}, "annotations": {"note": "mine"}}}
    world = a_world()
    world.put(a_service(cloud={"template": template}))
    made = wanted(world.reconcile(SERVICE))["helmets-deployment-cloud"]["spec"]["template"]["metadata"]
    assert made["labels"]["team"] == "lab"
    assert made["annotations"] == {"note": "mine"}


def test_an_autoscaler_is_made_for_each_worker_that_asks_for_one() -> None:
    world = a_world()
    world.put(a_service(cloud={"hpa": HPA}))
    made = wanted(world.reconcile(SERVICE))
    hpa = made["hpa-helmets-deployment-cloud"]
    assert hpa["apiVersion"] == "autoscaling/v2"
    assert hpa["spec"]["scaleTargetRef"]["name"] == "helmets-deployment-cloud"
    assert HPA.items() <= hpa["spec"].items()
    assert made["helmets-deployment-cloud"]["spec"]["replicas"] == 2
    assert made["helmets-deployment-edge"]["spec"]["replicas"] == 1


@pytest.mark.parametrize(("now", "stays"), [(4, 4), (1, 2), (9, 5), (0, 2)])
def test_what_an_autoscaler_has_set_stays_within_its_bounds(now: int, stays: int) -> None:
    world = a_world()
    settle(world)
    world.put(a_service(cloud={"hpa": HPA}))
    key = Key(api_version="apps/v1", kind="Deployment", namespace="lab", name="helmets-deployment-cloud")
    known = world.store.get(key)
    assert known is not None
    world.put({**known, "spec": {**known["spec"], "replicas": now}})
    made = wanted(world.reconcile(SERVICE))
    assert made["helmets-deployment-cloud"]["spec"]["replicas"] == stays


def test_an_autoscaler_that_is_no_longer_asked_for_is_deleted() -> None:
    world = a_world()
    world.put(a_service(cloud={"hpa": HPA}))
    settle(world)
    world.put(SERVICE)
    assert [key.name for key in world.reconcile(SERVICE).delete] == ["hpa-helmets-deployment-cloud"]


def test_a_service_is_pending_until_both_workers_are_available() -> None:
    world = a_world()
    assert state(world.reconcile(SERVICE)) == ("Pending", "Starting")
    changes = settle(world, cloud=1)
    assert state(changes) == ("Pending", "Starting")
    assert said(changes) == "the edge worker is not available yet"
    set_deployment(world, "edge", availableReplicas=1)
    changes = world.reconcile(SERVICE)
    assert state(changes) == ("Running", "Available")
    assert changes.status is not None
    assert (changes.status["active"], changes.status["failed"]) == (2, 0)
    assert changes.status["startTime"] == stamp(NOON)


SATELLITE = an_object(ORBITLOOP, "Satellite", "bupt-1", {"nodeName": EDGE_NODE})
STUCK = {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}


@pytest.mark.parametrize("more", [(), (SATELLITE,)], ids=["edge node", "satellite"])
def test_loss_of_signal_is_no_failure_and_is_over_when_the_node_is_back(more: tuple[dict[str, Any], ...]) -> None:
    world = a_world(*more)
    settle(world, cloud=1, edge=1)
    world.put(a_node(EDGE_NODE, ready=False))
    set_deployment(world, "edge", **STUCK)
    for _ in range(3):
        world.pass_by(hours=13)
        changes = world.reconcile(SERVICE)
        assert state(changes) == ("Pending", "WaitingForContact")
        assert changes.status is not None
        assert (changes.status["active"], changes.status["failed"]) == (1, 0)
    world.put(a_node(EDGE_NODE))
    set_deployment(world, "edge", availableReplicas=1)
    assert state(world.reconcile(SERVICE)) == ("Running", "Available")


def test_a_worker_that_does_not_start_on_a_node_that_is_in_touch_has_failed_and_says_where_to_look() -> None:
    world = a_world()
    settle(world, cloud=1)
    set_deployment(world, "edge", **STUCK)
    changes = world.reconcile(SERVICE)
    assert state(changes) == ("Failed", "WorkerFailed")
    assert "ProgressDeadlineExceeded; kubectl describe pods -l app.sedna.io=helmets-Edge-svc" in said(changes)
    assert changes.status is not None
    assert changes.status["failed"] == 1
    assert changes.notices[0].severity is Severity.WARNING


def test_a_failure_is_over_once_its_cause_is() -> None:
    world = a_world()
    settle(world, cloud=1)
    set_deployment(world, "edge", **STUCK)
    world.reconcile(SERVICE)
    set_deployment(world, "edge", availableReplicas=1)
    assert state(world.reconcile(SERVICE)) == ("Running", "Available")


def test_pods_that_the_cluster_will_not_have_are_a_failure() -> None:
    world = a_world()
    settle(world, edge=1)
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    set_deployment(world, "cloud", conditions=[condition])
    changes = world.reconcile(SERVICE)
    assert state(changes) == ("Failed", "WorkerFailed")
    assert "FailedCreate: exceeded quota" in said(changes)


PLACES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], str]] = {
    "on a node that there is not": ({"nodeName": "sat-9"}, [], "UnknownNode"),
    "by labels that no node has": ({"nodeSelector": {"orbit": "low"}}, [], "NoNode"),
    "by labels of a silent node": (
        {"nodeSelector": {"orbit": "low"}},
        [{"name": "a", "ready": False}],
        "WaitingForContact",
    ),
    "by labels of two, one in touch": (
        {"nodeSelector": {"orbit": "low"}},
        [{"name": "a", "ready": False}, {"name": "b", "ready": True}],
        "Starting",
    ),
    "wherever there is room": ({}, [], "Starting"),
}


@pytest.mark.parametrize(("place", "nodes", "reason"), PLACES.values(), ids=PLACES.keys())
def test_what_an_edge_worker_waits_for_depends_on_its_place(
    place: dict[str, Any], nodes: list[dict[str, Any]], reason: str
) -> None:
    world = a_world()
    for one in nodes:
        node = a_node(one["name"], ready=one["ready"])
        world.put({**node, "metadata": {**node["metadata"], "labels": {"orbit": "low"}}})
    world.put(a_service(edge={"template": a_template(**place)}))
    assert state(world.reconcile(SERVICE)) == ("Pending", reason)


def test_a_service_whose_models_are_missing_names_them_and_makes_nothing_yet() -> None:
    world = World(JointInferenceServices(local_controller="http://localhost:9100"))
    world.put(SERVICE)
    changes = world.reconcile(SERVICE)
    assert state(changes) == ("Pending", "MissingModel")
    assert "no Model big, no Model little" in said(changes)
    assert changes.replace == ()
    world.put(a_model("little"), a_model("big"))
    assert len(world.reconcile(SERVICE).replace) == 3


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no container": (a_service(edge={"template": {"spec": {}}}), "containers"),
    "a rule with a parameter of another": (
        a_service(edge={"hardExampleMining": {"name": "IBT", "parameters": [{"key": "ratio", "value": "1"}]}}),
        "hardExampleMining",
    ),
    "more replicas than most": (a_service(cloud={"hpa": {"minReplicas": 3, "maxReplicas": 2}}), "maxReplicas"),
    "a field that there is not": (a_service(cloud={"gpu": 1}), "gpu"),
}


@pytest.mark.parametrize(("document", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_spec_that_cannot_be_worked_with_is_a_failure_that_names_the_field(
    document: dict[str, Any], says: str
) -> None:
    world = a_world()
    world.put(document)
    changes = world.reconcile(SERVICE)
    assert state(changes) == ("Failed", "Invalid")
    assert says in said(changes)


def test_a_name_that_no_service_can_have_is_refused_with_the_rule() -> None:
    world, dotted = a_world(), a_service("helmets.v2")
    world.put(dotted)
    assert "without dots" in said(world.reconcile(dotted))


def test_a_write_that_is_refused_is_a_failure_that_keeps_what_is_counted() -> None:
    world = a_world()
    settle(world, cloud=1, edge=1)
    seen = world.store.get(Key.of(SERVICE))
    assert seen is not None
    changes = world.reconciler.refused(seen, Refused("belongs to another owner"), NOON)
    assert state(changes) == ("Failed", "Refused")
    assert changes.status is not None
    assert changes.status["active"] == 2


def infers(number: int, hard: int, ratio: float, begun: str = "10:00") -> dict[str, Any]:
    info = {
        "startTime": f"2026-03-01T{begun}:00+00:00",
        "updateTime": "2026-03-01T11:00:00+00:00",
        "inferenceNumber": number,
        "hardExampleNumber": hard,
        "uploadCloudRatio": ratio,
    }
    return {"lab/helmets-deployment-edge": {"kind": "inference", "ownerInfo": info}}


def metrics(changes: Changes) -> dict[str, str]:
    assert changes.status is not None
    return {one["key"]: one["value"] for one in changes.status["metrics"]}


def test_metrics_are_what_the_edge_workers_report_of_themselves() -> None:
    world = a_world()
    world.report(EDGE_NODE, workers=infers(10, 4, 0.2))
    assert metrics(world.reconcile(SERVICE)) == {
        "startTime": "2026-03-01T10:00:00+00:00",
        "updateTime": "2026-03-01T11:00:00+00:00",
        "inferenceNumber": "10",
        "hardExampleNumber": "4",
        "uploadCloudRatio": "0.2",
    }
    world.report("sat-2", workers=infers(30, 1, 0.6, "09:00"))
    both = metrics(world.reconcile(SERVICE))
    assert (both["inferenceNumber"], both["hardExampleNumber"], both["uploadCloudRatio"]) == ("40", "5", "0.5")
    assert both["startTime"] == "2026-03-01T09:00:00+00:00"


def test_metrics_stay_while_nobody_reports() -> None:
    world = a_world()
    world.report(EDGE_NODE, workers=infers(10, 4, 0.2))
    before = world.reconcile(SERVICE).status
    assert before is not None
    restarted = a_world()
    restarted.put({**SERVICE, "status": before})
    assert restarted.reconcile(SERVICE).status == before


@given(st.permutations(range(4)))
def test_the_order_in_which_things_are_seen_does_not_matter(order: list[int]) -> None:
    world = World(JointInferenceServices(local_controller="http://localhost:9100"))
    world.put(SERVICE)
    steps = [
        lambda: world.put(a_model("little")),
        lambda: world.put(a_model("big")),
        lambda: world.put(a_node("sat-1")),
    ]
    for number in order:
        if number < len(steps):
            steps[number]()
        else:
            world.report(EDGE_NODE, workers=infers(10, 4, 0.2))
        world.reconcile(SERVICE)
    changes = world.reconcile(SERVICE)
    assert state(changes) == ("Pending", "Starting")
    assert metrics(changes)["inferenceNumber"] == "10"
    assert len(changes.replace) == 3


def test_a_service_is_looked_at_again_when_something_that_it_has_or_uses_changes() -> None:
    world = a_world(a_service("other", cloud={"model": {"name": "huge"}}))
    settle(world)
    world.report(EDGE_NODE, workers=infers(1, 0, 0))
    report = world.store.all("observed.orbitloop.io/v1", "NodeReport")[0]
    (deployment, *_) = world.store.all("apps/v1", "Deployment")
    assert world.related(deployment) == {"helmets"}
    assert world.related(a_model("huge")) == {"other"}
    assert world.related(a_model("big")) == {"helmets"}
    assert world.related(report) == {"helmets"}
    assert world.related(a_node(EDGE_NODE)) == {"helmets", "other"}
    assert world.related(an_object(SEDNA, "Dataset", "frames", {})) == set()
