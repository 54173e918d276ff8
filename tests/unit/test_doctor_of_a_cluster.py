"""What a doctor says of a cluster, from what the chart makes: one fact goes wrong at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.helm import NAMESPACE, rendered

from orbitloop.api.kinds import KINDS
from orbitloop.crdgen import manifest
from orbitloop.domain.findings import Finding, Grade, is_whole
from orbitloop_edge.usecases.checks_on_board import KEY_FILES
from orbitloop_mission.doctor.checks import CHECKS, examined
from orbitloop_mission.doctor.facts import (
    EDGE,
    GROUND_KEYS,
    ClusterFacts,
    Hidden,
    Reached,
    Review,
    Secret,
    gateway_addresses,
    wanted_secrets,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
IMAGE = "ghcr.io/orbitloop/orbitloop-edge:0.1.0"
Change = Callable[[dict[str, Any]], None]


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def a_node(name: str, *, edge: bool) -> dict[str, Any]:
    taints = [{"key": EDGE, "effect": "NoSchedule"}] if edge else []
    return {
        "metadata": {"name": name, "labels": {EDGE: ""} if edge else {}},
        "spec": {"taints": taints},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "images": []},
    }


def a_pod(workload: dict[str, Any], node: str) -> dict[str, Any]:
    template = workload["spec"]["template"]
    return {
        "metadata": {"name": f"{workload['metadata']['name']}-0", "labels": template["metadata"]["labels"]},
        "spec": {**template["spec"], "nodeName": node},
        "status": {"phase": "Running", "hostIP": "192.0.2.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }


@pytest.fixture(scope="module")
def healthy() -> ClusterFacts:
    """A ground node and a satellite, with all that the chart makes, and each pod of it ready."""
    satellites = [{"name": "bupt-9", "keysSecret": "bupt-9-keys"}]
    documents = rendered({"localController": {"satellites": satellites}}, "values-kind.yaml")
    by_kind = {
        kind: tuple(one for one in documents if one["kind"] == kind)
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "Service", "Ingress")
    }
    deployments = tuple({**one, "status": {"availableReplicas": 1}} for one in by_kind["Deployment"])
    sets = tuple({**one, "status": {"readyReplicas": 1}} for one in by_kind["StatefulSet"])
    [daemon] = [one for one in by_kind["DaemonSet"] if one["metadata"]["name"] == "orbitloop-local-controller"]
    webhook = next(one for one in documents if one["kind"] == "ValidatingWebhookConfiguration")
    facts = ClusterFacts(
        server="https://192.0.2.1:6443",
        namespace=NAMESPACE,
        version="v1.20.2",
        at=NOON,
        ahead=timedelta(seconds=1),
        definitions=tuple(manifest(kind) for kind in KINDS),
        deployments=deployments,
        stateful_sets=sets,
        daemon_sets=by_kind["DaemonSet"],
        pods=(*(a_pod(one, "ground") for one in (*deployments, *sets)), a_pod(daemon, "bupt-1")),
        services=by_kind["Service"],
        ingresses=by_kind["Ingress"],
        nodes=(a_node("ground", edge=False), a_node("bupt-1", edge=True)),
        node_leases=({"metadata": {"name": "bupt-1"}, "spec": {"renewTime": stamp(NOON - timedelta(seconds=9))}},),
        satellites=(
            {
                "metadata": {"name": "bupt-1", "namespace": "default"},
                "spec": {"nodeName": "bupt-1"},
                "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Heard"}]},
            },
        ),
        lease={"spec": {"holderIdentity": "pod-1", "renewTime": stamp(NOON), "leaseDurationSeconds": 15}},
        webhook=webhook,
        reviewed=Review.REFUSED,
        reached=(Reached(address="192.0.2.1:30400"),),
    )
    secrets = tuple(replace(one, found=frozenset(one.wanted)) for one in wanted_secrets(facts))
    return replace(facts, secrets=secrets)


def of(findings: tuple[Finding, ...], about: str) -> Finding:
    return next(finding for finding in findings if finding.about == about)


def changed(facts: ClusterFacts, part: str, change: Change) -> ClusterFacts:
    """The facts after a change to each object of a listing."""
    documents = copy.deepcopy(list(getattr(facts, part)))
    for document in documents:
        change(document)
    changes: dict[str, Any] = {part: tuple(documents)}
    return replace(facts, **changes)


def test_of_a_healthy_installation_nothing_is_said_but_that_it_is_well(healthy: ClusterFacts) -> None:
    findings = examined(healthy)
    assert [(one.about, one.says) for one in findings if one.grade is not Grade.OK] == []
    assert len(findings) > len(CHECKS)


def test_secrets_are_those_that_the_chart_mounts_with_what_has_to_be_in_them(healthy: ClusterFacts) -> None:
    assert {(one.name, one.wanted, one.optional) for one in wanted_secrets(healthy)} == {
        ("orbitloop-gateway-keys", GROUND_KEYS, False),
        ("orbitloop-link-keys", ("bupt-1.key",), True),
        ("orbitloop-operator-token", ("token",), False),
        ("bupt-9-keys", KEY_FILES, False),
    }


def test_secrets_in_the_environment_of_what_keeps_data_are_wanted_too(healthy: ClusterFacts) -> None:
    documents = rendered({"database": {"kind": "builtin"}}, "values-kind.yaml")
    sets = tuple(one for one in documents if one["kind"] == "StatefulSet")
    assert len(sets) > 1
    wanted = {one.name: one.wanted for one in wanted_secrets(replace(healthy, stateful_sets=sets))}
    assert wanted["orbitloop-postgresql"] == ("password",)


def _with_host_port(pod: dict[str, Any]) -> None:
    for container in pod["spec"]["containers"]:
        container["ports"] = [{"hostPort": 8400}]


def test_the_gateway_is_called_at_each_port_that_leads_to_it_from_outside(healthy: ClusterFacts) -> None:
    assert gateway_addresses(healthy) == (("192.0.2.1", 30400),)
    hosted = changed(healthy, "pods", _with_host_port)
    assert ("192.0.2.1", 8400) in gateway_addresses(hosted)


@pytest.mark.parametrize(
    ("change", "about", "grade", "says"),
    [
        pytest.param({"version": "v1.18.3"}, "API server", Grade.WARNING, "1.18", id="an old Kubernetes"),
        pytest.param({"ahead": timedelta(minutes=-2)}, "clock", Grade.WARNING, "120 s behind", id="a slow clock here"),
        pytest.param({"definitions": ()}, "definitions", Grade.MISSING, "and 14 more", id="no definitions"),
        pytest.param({"definitions": Hidden("forbidden")}, "definitions", Grade.WARNING, "forbidden", id="hidden"),
        pytest.param({"deployments": ()}, "operators", Grade.MISSING, "no Deployment", id="no operators"),
        pytest.param({"lease": None}, "lease", Grade.MISSING, "nobody holds it", id="no lease"),
        pytest.param(
            {"lease": {"spec": {"holderIdentity": "", "renewTime": stamp(NOON)}}},
            "lease",
            Grade.MISSING,
            "nobody",
            id="given back",
        ),
        pytest.param(
            {"lease": {"spec": {"holderIdentity": "pod-1", "renewTime": stamp(NOON - timedelta(minutes=1))}}},
            "lease",
            Grade.MISSING,
            "too long ago",
            id="a stale lease",
        ),
        pytest.param({"webhook": None}, "admission", Grade.WARNING, "no Validating", id="no webhook"),
        pytest.param({"reviewed": Review.PASSED}, "admission", Grade.WARNING, "does not answer", id="a silent webhook"),
        pytest.param(
            {"reviewed": Review.UNKNOWN, "review": "forbidden"}, "admission", Grade.WARNING, "forbidden", id="no right"
        ),
        pytest.param(
            {"reached": (Reached(address="192.0.2.1:30400", problem="timed out"),)},
            "way to it",
            Grade.WARNING,
            "timed out",
            id="a gateway out of reach",
        ),
        pytest.param({"satellites": ()}, "bupt-1: Satellite", Grade.WARNING, "no Satellite names", id="no Satellite"),
        pytest.param(
            {"claims": ({"metadata": {"name": "old"}, "status": {"phase": "Pending"}},)},
            "volume old",
            Grade.MISSING,
            "Pending",
            id="a volume that waits",
        ),
        pytest.param(
            {
                "node_leases": (
                    {"metadata": {"name": "bupt-1"}, "spec": {"renewTime": stamp(NOON + timedelta(hours=1))}},
                )
            },
            "bupt-1: clock",
            Grade.WARNING,
            "3600 s ahead",
            id="a satellite's clock ahead",
        ),
        pytest.param(
            {
                "node_leases": (
                    {"metadata": {"name": "bupt-1"}, "spec": {"renewTime": stamp(NOON - timedelta(hours=1))}},
                )
            },
            "bupt-1: clock",
            Grade.WARNING,
            "3600 s behind",
            id="a satellite's clock behind",
        ),
    ],
)
def test_what_is_wrong_is_named(
    healthy: ClusterFacts, change: dict[str, Any], about: str, grade: Grade, says: str
) -> None:
    findings = examined(replace(healthy, **change))
    finding = of(findings, about)
    assert (finding.grade, says in finding.says) == (grade, True), finding
    assert [one.about for one in findings if one.grade is not Grade.OK] == [about]


def _not_ready(pod: dict[str, Any]) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    state = [{"name": "main", "state": {"waiting": waiting}}]
    pod["status"] = {"phase": "Pending", "conditions": [], "containerStatuses": state, "hostIP": "192.0.2.1"}


def _out_of_contact(node: dict[str, Any]) -> None:
    if EDGE in node["metadata"]["labels"]:
        node["status"]["conditions"] = [
            {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "lastHeartbeatTime": stamp(NOON)}
        ]


@pytest.mark.parametrize(
    ("part", "change", "about", "grade", "says"),
    [
        pytest.param(
            "definitions",
            lambda one: one["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].pop(
                "nodeName", None
            ),
            "definitions",
            Grade.MISSING,
            "Dataset.spec.nodeName, Satellite.spec.nodeName",
            id="definitions of another version",
        ),
        pytest.param(
            "deployments",
            lambda one: one.update(status={}),
            "operators",
            Grade.MISSING,
            "not available",
            id="operators",
        ),
        pytest.param(
            "stateful_sets", lambda one: one.update(status={}), "gateway", Grade.MISSING, "0 of 1", id="gateway"
        ),
        pytest.param(
            "services",
            lambda one: one["spec"].update(type="ClusterIP"),
            "way to it",
            Grade.WARNING,
            "alone",
            id="inside",
        ),
        pytest.param(
            "nodes",
            lambda one: one["spec"].update(taints=[]),
            "bupt-1: taint",
            Grade.WARNING,
            "may land",
            id="no taint",
        ),
        pytest.param("nodes", _out_of_contact, "bupt-1: node", Grade.WARNING, "last heard", id="out of contact"),
        pytest.param(
            "pods",
            lambda one: one["spec"].update(automountServiceAccountToken=None),
            "bupt-1: Local Controller",
            Grade.MISSING,
            "token",
            id="a token on board",
        ),
        pytest.param(
            "pods",
            _not_ready,
            "bupt-1: Local Controller",
            Grade.MISSING,
            "ImagePullBackOff no such image",
            id="no image",
        ),
        pytest.param(
            "satellites",
            lambda one: one["status"].update(conditions=[{"type": "Ready", "status": "False", "message": "taken"}]),
            "bupt-1: Satellite",
            Grade.WARNING,
            "taken",
            id="a Satellite that is not ready",
        ),
    ],
)
def test_what_is_wrong_with_an_object_is_named(
    healthy: ClusterFacts, part: str, change: Change, about: str, grade: Grade, says: str
) -> None:
    finding = of(examined(changed(healthy, part, change)), about)
    assert (finding.grade, says in finding.says) == (grade, True), finding


def test_an_image_that_the_node_does_not_tell_of_is_named_where_no_pod_runs_of_it(healthy: ClusterFacts) -> None:
    waiting = changed(healthy, "pods", _not_ready)
    assert IMAGE in of(examined(waiting), "bupt-1: images").says
    loaded = changed(waiting, "nodes", lambda node: node["status"].update(images=[{"names": [IMAGE]}]))
    assert of(examined(loaded), "bupt-1: images").grade is Grade.OK


def test_a_taint_that_keeps_the_local_controller_away_is_what_to_tolerate(healthy: ClusterFacts) -> None:
    ground = tuple(pod for pod in healthy.pods if pod["spec"]["nodeName"] == "ground")  # type: ignore[union-attr]
    gone = replace(healthy, pods=ground)
    assert "nodeSelector" in of(examined(gone), "bupt-1: Local Controller").remedy
    taint = {"key": "radio", "value": "off", "effect": "NoExecute"}
    tainted = changed(gone, "nodes", lambda node: node["spec"]["taints"].append(taint))
    assert "{key: radio, operator: Exists}" in of(examined(tainted), "bupt-1: Local Controller").remedy


def test_sednas_own_manager_is_in_the_way_while_it_has_replicas(healthy: ClusterFacts) -> None:
    pod = {"spec": {"containers": [{"name": "gm", "image": "kubeedge/sedna-gm:v0.6"}]}}
    rival: dict[str, Any] = {"metadata": {"name": "gm", "namespace": "sedna"}, "spec": {"replicas": 1, "template": pod}}
    assert isinstance(healthy.deployments, tuple)
    both = replace(healthy, deployments=(*healthy.deployments, rival))
    finding = of(examined(both), "Sedna's manager")
    assert (finding.grade, "kubectl -n sedna scale" in finding.remedy) == (Grade.MISSING, True)
    rival["spec"]["replicas"] = 0
    assert is_whole(examined(both))


def test_an_installation_in_another_namespace_is_found(healthy: ClusterFacts) -> None:
    elsewhere = replace(healthy, namespace="elsewhere")
    assert of(examined(elsewhere), "operators").remedy == f"give --namespace {NAMESPACE}"


@pytest.mark.parametrize(
    ("found", "optional", "grade", "says"),
    [
        (None, False, Grade.MISSING, "has none"),
        (None, True, Grade.OK, "not there"),
        (frozenset({"gateway.key"}), False, Grade.MISSING, "signing.key"),
        (frozenset({"gateway.key"}), True, Grade.WARNING, "signing.key"),
        (Hidden("forbidden"), False, Grade.WARNING, "forbidden"),
        (frozenset({"gateway.key", "signing.key"}), False, Grade.OK, "it has"),
    ],
)
def test_what_a_secret_lacks_is_named(
    healthy: ClusterFacts, found: frozenset[str] | Hidden | None, optional: bool, grade: Grade, says: str
) -> None:
    secret = Secret(name="keys", wanted=("gateway.key", "signing.key"), optional=optional, found=found)
    finding = of(examined(replace(healthy, secrets=(secret,))), "Secret keys")
    assert (finding.grade, says in finding.says) == (grade, True), finding


def test_without_satellites_nodes_those_that_the_gateway_reaches_are_still_served(healthy: ClusterFacts) -> None:
    alone = replace(healthy, nodes=(a_node("ground", edge=False),))
    assert of(examined(alone), "satellites").grade is Grade.WARNING
    assert of(examined(replace(healthy, nodes=())), "ground nodes").grade is Grade.MISSING


def test_other_pods_of_the_installation_have_to_be_ready_or_done(healthy: ClusterFacts) -> None:
    assert isinstance(healthy.pods, tuple)
    database: dict[str, Any] = {"metadata": {"name": "postgresql-0"}, "spec": {}, "status": {"phase": "Succeeded"}}
    assert is_whole(examined(replace(healthy, pods=(*healthy.pods, database))))
    placed = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}
    database["status"] = {"phase": "Pending", "conditions": [placed]}
    assert of(examined(replace(healthy, pods=(*healthy.pods, database))), "pod postgresql-0").says == placed["message"]


def test_of_a_cluster_that_does_not_answer_nothing_else_is_said(healthy: ClusterFacts) -> None:
    (finding,) = examined(replace(healthy, away="connection refused"))
    assert (finding.about, finding.grade) == ("API server", Grade.MISSING)
