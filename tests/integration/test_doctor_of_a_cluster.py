"""``orbitloop doctor`` on a real API server: bare, installed, and with something taken away."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.control_plane import Cluster, control_plane
from tests.global_manager import global_manager, until
from tests.helm import NAMESPACE, rendered
from tests.processes import a_free_port

from orbitloop_mission.doctor.facts import EDGE, GROUND_KEYS

COMMAND = [sys.executable, "-c", "from orbitloop_mission.cli import main; main()", "doctor"]
LACKING = 1
GROUND, SATELLITE = "ground", "bupt-1"
SECRETS = {
    "orbitloop-gateway-keys": GROUND_KEYS,
    "orbitloop-link-keys": (f"{SATELLITE}.key",),
    "orbitloop-operator-token": ("token",),
}


@dataclass(frozen=True, kw_only=True)
class Patient:
    """A cluster, and the doctor on it."""

    cluster: Cluster

    def doctor(self, *options: str, kubeconfig: Path | None = None) -> tuple[int, dict[str, dict[str, str]]]:
        """Exit status, and the checks by what they are about."""
        place = ["--kubeconfig", str(kubeconfig or self.cluster.plane.kubeconfig), "--json", *options]
        ran = subprocess.run([*COMMAND, *place], capture_output=True, text=True, check=False)
        told: dict[str, Any] = json.loads(ran.stdout)
        assert told["ok"] == (ran.returncode == 0)
        return ran.returncode, {check["about"]: check for check in told["checks"]}

    def apply(self, *documents: dict[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self.cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", said=json.dumps(listed))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    with control_plane(tmp_path_factory.mktemp("control-plane")) as cluster:
        yield Patient(cluster=cluster)


@pytest.fixture(scope="module")
def before(bare: Patient) -> tuple[int, dict[str, dict[str, str]]]:
    """What is said before anything is installed."""
    return bare.doctor()


@pytest.fixture(scope="module")
def node_port() -> Iterator[int]:
    """Somebody who takes calls where a gateway would."""
    for port in itertools.count(30_500):
        try:
            listener = socket.create_server(("127.0.0.1", port))
        except OSError:
            continue
        with listener:
            yield port
        return


@pytest.fixture(scope="module")
def installed(
    bare: Patient, before: object, node_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Patient]:
    """All that the chart makes, on paper: no kubelet runs it, but the Global Manager does run."""
    bare.cluster.kubectl("apply", "-f", "crds/")
    bare.cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    bare.cluster.kubectl("create", "namespace", NAMESPACE)
    bare.cluster.kubectl("-n", NAMESPACE, "create", "serviceaccount", "default")
    admission = a_free_port()
    values = {"gateway": {"service": {"nodePort": node_port, "datagramNodePort": None}}}
    made = [one for one in rendered(values, "values-kind.yaml", kubernetes="1.20.2") if one["kind"] != "Pod"]
    for one in made:
        if one["kind"] == "ValidatingWebhookConfiguration":
            one["webhooks"][0]["clientConfig"] = {"url": f"https://127.0.0.1:{admission}/review"}
    bare.apply(*made)
    for name, labels in ((GROUND, {}), (SATELLITE, {EDGE: ""})):
        taints = [{"key": EDGE, "effect": "NoSchedule"}] if labels else []
        bare.apply(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": labels},
                "spec": {"taints": taints},
            }
        )
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        bare.cluster.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [ready]}})
    for secret, names in SECRETS.items():
        literals = [f"--from-literal={name}=secret" for name in names]
        bare.cluster.kubectl("-n", NAMESPACE, "create", "secret", "generic", secret, *literals)
    _run_on_paper(bare, made)
    folder = tmp_path_factory.mktemp("manager")
    options = ("--lease-namespace", NAMESPACE, "--admission-port", str(admission))
    with global_manager(bare.cluster, folder, *options) as manager:
        until(manager.is_ready, "it was ready")
        until(lambda: bare.doctor("--no-reach")[1]["admission"]["grade"] == "ok", "reviews are answered")
        yield bare


def _run_on_paper(patient: Patient, made: list[dict[str, Any]]) -> None:
    """What controllers and kubelets would say of it."""
    root = f"/apis/apps/v1/namespaces/{NAMESPACE}"
    replicas = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    patient.cluster.patch(f"{root}/deployments/orbitloop-operators/status", {"status": replicas})
    patient.cluster.patch(f"{root}/statefulsets/orbitloop-gateway/status", {"status": replicas})
    nodes = {"StatefulSet": GROUND, "DaemonSet": SATELLITE}
    for one in (one for one in made if one["kind"] in nodes):
        template, name = one["spec"]["template"], f"{one['metadata']['name']}-0"
        patient.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": NAMESPACE, "labels": template["metadata"]["labels"]},
                "spec": {**template["spec"], "nodeName": nodes[one["kind"]]},
            }
        )
        status = {"phase": "Running", "hostIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
        patient.cluster.patch(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/status", {"status": status})


def grades(checks: dict[str, dict[str, str]], grade: str) -> set[str]:
    return {about for about, check in checks.items() if check["grade"] == grade}


def test_of_a_bare_cluster_all_that_is_missing_is_named(before: tuple[int, dict[str, dict[str, str]]]) -> None:
    status, checks = before
    assert status == LACKING
    assert grades(checks, "missing") == {"definitions", "operators", "lease", "gateway", "ground nodes"}
    assert "kubectl apply -f crds/" in checks["definitions"]["remedy"]
    assert "helm install" in checks["operators"]["remedy"]


def test_an_installation_is_well_but_for_what_nobody_has_applied_yet(installed: Patient) -> None:
    status, checks = installed.doctor()
    assert status == 0, checks
    assert grades(checks, "warning") == {f"{SATELLITE}: Satellite"}
    assert "answers from here" in checks["way to it"]["says"]
    assert "was refused (a dry run)" in checks["admission"]["says"]
    assert checks["lease"]["says"].startswith("held by ")
    listed = json.loads(installed.cluster.kubectl("get", "satellites", "-A", "-o", "json"))
    assert listed["items"] == [], "looking makes nothing"


def test_a_secret_that_is_gone_or_half_and_a_field_that_is_missing_are_named(installed: Patient) -> None:
    kubectl = installed.cluster.kubectl
    kubectl("-n", NAMESPACE, "delete", "secret", "orbitloop-operator-token")
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets/orbitloop-gateway-keys"
    installed.cluster.patch(path, {"data": {"signing.key": None}})
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/satellites.orbitloop.io"
    [version] = installed.cluster.get(definition)["spec"]["versions"]
    del version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["linkPolicy"]
    installed.cluster.patch(definition, {"spec": {"versions": [version]}})
    try:
        status, checks = installed.doctor("--no-reach")
    finally:
        kubectl("apply", "-f", "crds/")
        installed.cluster.patch(path, {"data": {"signing.key": "a2V5"}})
        kubectl(
            "-n", NAMESPACE, "create", "secret", "generic", "orbitloop-operator-token", "--from-literal=token=secret"
        )
    assert status == LACKING
    assert grades(checks, "missing") == {
        "definitions",
        "Secret orbitloop-operator-token",
        "Secret orbitloop-gateway-keys",
    }
    assert "Satellite.spec.linkPolicy" in checks["definitions"]["says"]
    assert "signing.key" in checks["Secret orbitloop-gateway-keys"]["says"]


def test_a_clock_of_a_satellite_is_judged_by_its_lease(installed: Patient) -> None:
    renewed = datetime.now(UTC).replace(year=datetime.now(UTC).year + 1).isoformat(timespec="microseconds")
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": SATELLITE, "namespace": "kube-node-lease"},
        "spec": {"renewTime": renewed.replace("+00:00", "Z")},
    }
    installed.cluster.kubectl("apply", "-f", "-", said=json.dumps(lease))
    assert "ahead of the API server" in installed.doctor("--no-reach")[1][f"{SATELLITE}: clock"]["says"]
    installed.cluster.kubectl("-n", "kube-node-lease", "delete", "lease", SATELLITE)


def test_who_may_see_nothing_is_told_what_was_not_seen(installed: Patient, tmp_path: Path) -> None:
    installed.cluster.kubectl("-n", NAMESPACE, "create", "serviceaccount", "nobody")
    said = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/nobody/token"
    token = json.loads(installed.cluster.kubectl("create", "--raw", path, "-f", "-", said=said))["status"]["token"]
    config = json.loads(installed.cluster.plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    _, checks = installed.doctor(kubeconfig=tmp_path / "kubeconfig")
    assert checks["API server"]["grade"] == "ok"
    assert all("not seen" in checks[about]["says"] for about in ("definitions", "operators", "gateway", "nodes"))


def test_people_read_what_to_do(installed: Patient) -> None:
    command = [*COMMAND, "--kubeconfig", str(installed.cluster.plane.kubeconfig), "-n", "elsewhere"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == LACKING
    assert f"-> give --namespace {NAMESPACE}" in ran.stdout


def test_a_cluster_that_is_away_is_the_only_thing_said(tmp_path: Path) -> None:
    port = a_free_port()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "gone", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "me"}}],
        "current-context": "gone",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    command = [*COMMAND, "--kubeconfig", str(tmp_path / "kubeconfig"), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    [check] = json.loads(ran.stdout)["checks"]
    assert (ran.returncode, check["about"], check["grade"]) == (LACKING, "API server", "missing")
