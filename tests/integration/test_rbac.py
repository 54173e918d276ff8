"""The Global Manager's account on a real API server: what it needs it may, and nothing else."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.control_plane import Cluster

from orbitloop.adapters.wall_clock import WallClock
from orbitloop.api.kinds import KINDS
from orbitloop_operators.adapters.api_server import MERGE_PATCH, ApiServer, Request, configuration_from
from orbitloop_operators.adapters.cluster import Cluster as Writes
from orbitloop_operators.adapters.metrics import Metrics
from orbitloop_operators.handlers.changes import Key, Notice, Severity

ROOT = Path(__file__).parents[2]
OURS, ELSEWHERE = "orbitloop-system", "missions"
ACCOUNT = "orbitloop-operators"
FORBIDDEN = 403
_PRINTED = ("--dry-run=client", "-o", "json")


@dataclass(frozen=True, kw_only=True)
class Account:
    """The operators' own account, with a token as its pod would have one."""

    cluster: Cluster
    kubeconfig: Path
    server: ApiServer

    def status(self, verb: str, path: str, body: Any = None) -> int:
        """What the API server answers to one request; 403 is the authorizer's no."""
        route, _, query = path.partition("?")
        request = Request(
            verb=verb,
            path=route,
            resource="tried",
            body=body if body is not None else ({} if verb in {"POST", "PUT", "PATCH"} else None),
            content_type=MERGE_PATCH if verb == "PATCH" else "application/json",
            query=dict(part.split("=") for part in query.split("&")) if query else {},
        )
        return asyncio.run(self.server.ask_once(request)).status

    def may(self, verb: str, group: str, resource: str) -> bool:
        """What the authorizer says of all namespaces."""
        asked = {"verb": verb, "group": group, "resource": resource}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        body = review | {"spec": {"resourceAttributes": asked}}
        answer = asyncio.run(self.server.ask_once(Request(verb="POST", path=path, resource="tried", body=body)))
        return bool(answer.document["status"]["allowed"])

    def kubectl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """kubectl, as the account."""
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def account(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    cluster.kubectl("apply", "-f", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    cluster.kubectl("apply", "-f", str(ROOT / "operators" / "manifests"))
    cluster.kubectl("create", "namespace", ELSEWHERE)
    default = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": ELSEWHERE}}
    cluster.kubectl("apply", "-f", "-", said=json.dumps(default | {"automountServiceAccountToken": False}))
    token = cluster.kubectl("-n", OURS, "create", "token", ACCOUNT).strip()
    config = yaml.safe_load(cluster.plane.kubeconfig.read_text())
    config["users"] = [{"name": "admin", "user": {"token": token}}]
    kubeconfig = tmp_path_factory.mktemp("account") / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    server = ApiServer(configuration_from(kubeconfig), Metrics(lambda: 0), threads=1)
    yield Account(cluster=cluster, kubeconfig=kubeconfig, server=server)
    server.close()
    cluster.kubectl("-n", ELSEWHERE, "delete", "datasets", "--all")
    cluster.kubectl("delete", "validatingwebhookconfiguration", "orbitloop", "--ignore-not-found")


def test_the_manifests_apply_as_they_are_and_again(account: Account) -> None:
    said = account.cluster.kubectl("apply", "-f", str(ROOT / "operators" / "manifests"))
    assert {line.rsplit(" ", 1)[-1] for line in said.splitlines()} <= {"unchanged", "configured"}
    who = account.cluster.kubectl("-n", OURS, "get", "serviceaccount", ACCOUNT, "-o", "name")
    assert who.strip() == f"serviceaccount/{ACCOUNT}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_of_every_kind_it_reads_the_object_and_writes_the_status_alone(account: Account, kind: Any) -> None:
    everywhere = f"/apis/{kind.api_version}/{kind.plural}"
    one = f"/apis/{kind.api_version}/namespaces/{ELSEWHERE}/{kind.plural}/one"
    made = kind.name == "SelectionLogic"  # of transformations
    allowed = [
        account.status("GET", everywhere),
        account.status("GET", one),
        account.status("PATCH", f"{one}/status"),
    ]
    denied = [
        *([] if made else [account.status("POST", one.rpartition("/")[0]), account.status("PUT", one)]),
        account.status("PATCH", one),
        account.status("PUT", f"{one}/status"),
        account.status("DELETE", one),
        account.status("DELETE", one.rpartition("/")[0]),
    ]
    assert allowed == [200, 404, 404]
    assert account.may("watch", kind.group, kind.plural)
    assert account.may("create", kind.group, kind.plural) == account.may("update", kind.group, kind.plural) == made
    assert denied == [FORBIDDEN] * len(denied)


def at(group: str, resource: str, namespace: str = ELSEWHERE) -> str:
    root = f"/apis/{group}" if "/" in group else f"/api/{group}"
    return f"{root}/namespaces/{namespace}/{resource}"


ALLOWED = [
    *(
        pytest.param(verb, at(group, f"{plural}{name}"), id=f"{verb} {plural}{name}")
        for group, plural, verbs in [
            ("v1", "pods", ("GET", "DELETE")),
            ("v1", "services", ("GET", "PUT", "DELETE")),
            ("apps/v1", "deployments", ("GET", "PUT", "DELETE")),
            ("autoscaling/v1", "horizontalpodautoscalers", ("GET", "PUT", "DELETE")),
            ("batch/v1", "jobs", ("GET", "DELETE")),
            ("kubeflow.org/v1", "pytorchjobs", ("GET", "DELETE")),
            ("trainer.kubeflow.org/v1alpha1", "trainjobs", ("GET", "DELETE")),
            ("trainer.kubeflow.org/v1alpha1", "trainingruntimes", ("GET", "DELETE")),
        ]
        for verb, name in [*((verb, "/none") for verb in verbs), ("POST", ""), ("GET", "")]
    ),
    pytest.param("GET", "/api/v1/pods?watch=true&timeoutSeconds=1", id="watch pods of all namespaces"),
    pytest.param("GET", "/api/v1/nodes", id="list nodes"),
    pytest.param("GET", "/api/v1/nodes/none", id="get a node"),
    pytest.param("GET", "/api/v1/namespaces", id="list namespaces"),
    pytest.param("GET", "/apis", id="discovery of groups"),
    pytest.param("GET", "/version", id="which Kubernetes it is"),
    pytest.param("GET", "/apis/sedna.io/v1alpha1", id="discovery of kinds"),
    pytest.param("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", id="list definitions"),
    pytest.param("POST", at("v1", "events"), id="tell an event"),
    pytest.param("GET", at("v1", "events/none"), id="read an event"),
    pytest.param("PATCH", at("v1", "events/none"), id="count an event"),
    pytest.param("POST", at("coordination.k8s.io/v1", "leases", OURS), id="make its lease"),
    pytest.param("GET", at("coordination.k8s.io/v1", f"leases/{ACCOUNT}", OURS), id="read its lease"),
    pytest.param("PUT", at("coordination.k8s.io/v1", f"leases/{ACCOUNT}", OURS), id="renew its lease"),
]

_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_ROLES = "/apis/rbac.authorization.k8s.io/v1"

DENIED = [
    pytest.param("GET", "/api/v1/secrets", id="list all secrets"),
    pytest.param("GET", at("v1", "secrets"), id="list secrets"),
    pytest.param("GET", at("v1", "secrets/any"), id="read a secret"),
    pytest.param("GET", at("v1", "secrets/any", OURS), id="read a secret of its own namespace"),
    pytest.param("POST", at("v1", "secrets"), id="make a secret"),
    pytest.param("GET", at("v1", "configmaps"), id="list config maps"),
    pytest.param("POST", at("v1", "serviceaccounts/default/token"), id="take another account's token"),
    pytest.param("POST", at("v1", f"serviceaccounts/{ACCOUNT}/token", OURS), id="make itself a token"),
    pytest.param("POST", at("v1", "pods/any/exec"), id="run a command in a pod"),
    pytest.param("POST", at("v1", "pods/any/attach"), id="attach to a pod"),
    pytest.param("GET", at("v1", "pods/any/log"), id="read a pod's log"),
    pytest.param("POST", at("v1", "pods/any/eviction"), id="evict a pod"),
    pytest.param("PUT", at("v1", "pods/any"), id="change a pod"),
    pytest.param("PATCH", at("v1", "pods/any"), id="patch a pod"),
    pytest.param("PATCH", at("v1", "pods/any/status"), id="say what a pod does"),
    pytest.param("PATCH", at("apps/v1", "deployments/any"), id="patch a deployment"),
    pytest.param("DELETE", at("v1", "pods"), id="delete all pods"),
    pytest.param("DELETE", at("apps/v1", "deployments"), id="delete all deployments"),
    pytest.param("POST", at("apps/v1", "daemonsets"), id="make a daemon set"),
    pytest.param("PUT", at("batch/v1", "jobs/any"), id="change a Job"),
    pytest.param("PATCH", at("kubeflow.org/v1", "pytorchjobs/any"), id="patch a PyTorchJob"),
    pytest.param("DELETE", at("batch/v1", "jobs"), id="delete all Jobs"),
    pytest.param("POST", at("batch/v1", "cronjobs"), id="make a CronJob"),
    pytest.param("PUT", "/api/v1/nodes/any", id="change a node"),
    pytest.param("PATCH", "/api/v1/nodes/any", id="taint a node"),
    pytest.param("PATCH", "/api/v1/nodes/any/status", id="say how a node is"),
    pytest.param("DELETE", "/api/v1/nodes/any", id="delete a node"),
    pytest.param("GET", "/api/v1/nodes/any/proxy/", id="speak with a kubelet"),
    pytest.param("POST", "/api/v1/namespaces", id="make a namespace"),
    pytest.param("DELETE", f"/api/v1/namespaces/{ELSEWHERE}", id="delete a namespace"),
    pytest.param("GET", at("v1", "events"), id="list events"),
    pytest.param("DELETE", at("v1", "events/any"), id="delete an event"),
    pytest.param("GET", "/apis/coordination.k8s.io/v1/leases", id="list all leases"),
    pytest.param("POST", at("coordination.k8s.io/v1", "leases"), id="make a lease elsewhere"),
    pytest.param("PUT", at("coordination.k8s.io/v1", f"leases/{ACCOUNT}"), id="a lease of its name elsewhere"),
    pytest.param("PUT", at("coordination.k8s.io/v1", "leases/other", OURS), id="another's lease in its namespace"),
    pytest.param("DELETE", at("coordination.k8s.io/v1", f"leases/{ACCOUNT}", OURS), id="delete its lease"),
    pytest.param("PUT", at("coordination.k8s.io/v1", "leases/n", "kube-node-lease"), id="a node's lease"),
    pytest.param("GET", f"{_ROLES}/clusterroles", id="list roles"),
    pytest.param("POST", f"{_ROLES}/clusterroles", id="make a role"),
    pytest.param("PUT", f"{_ROLES}/clusterroles/{ACCOUNT}", id="widen its role"),
    pytest.param("POST", f"{_ROLES}/clusterrolebindings", id="bind a role"),
    pytest.param("POST", f"{_ROLES}/namespaces/{OURS}/rolebindings", id="bind a role in its namespace"),
    pytest.param("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", id="make a definition"),
    pytest.param(
        "PUT", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/datasets.sedna.io", id="change a definition"
    ),
    pytest.param("POST", _WEBHOOKS, id="register a webhook"),
    pytest.param("GET", _WEBHOOKS, id="list webhooks"),
    pytest.param("PATCH", f"{_WEBHOOKS}/another", id="change another's webhook"),
    pytest.param("DELETE", f"{_WEBHOOKS}/orbitloop", id="remove its webhook"),
    pytest.param(
        "POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", id="register a mutation"
    ),
    pytest.param("GET", "/metrics", id="read the server's metrics"),
]


@pytest.mark.parametrize(("verb", "path"), ALLOWED)
def test_what_its_code_asks_for_is_allowed(account: Account, verb: str, path: str) -> None:
    status = account.status(verb, path)
    assert status in {200, 400, 404, 405, 409, 415, 422}, f"{verb} {path} gave {status}"


@pytest.mark.parametrize(("verb", "path"), DENIED)
def test_everything_else_is_denied(account: Account, verb: str, path: str) -> None:
    assert account.status(verb, path) == FORBIDDEN


def test_it_may_patch_the_authority_of_its_own_webhook(account: Account) -> None:
    assert account.status("PATCH", f"{_WEBHOOKS}/orbitloop") in {200, 404}
    assert account.status("GET", f"{_WEBHOOKS}/orbitloop") in {200, 404}


def test_what_the_reconcilers_want_is_carried_out_with_these_permissions(account: Account) -> None:
    dataset = {
        "apiVersion": "sedna.io/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": "ships", "namespace": ELSEWHERE},
        "spec": {"url": "/data/ships.txt", "format": "txt", "nodeName": "edge-1"},
    }
    account.cluster.kubectl("apply", "-f", "-", said=json.dumps(dataset))
    seen = json.loads(account.cluster.kubectl("-n", ELSEWHERE, "get", "dataset", "ships", "-o", "json"))
    owner = {"apiVersion": "sedna.io/v1alpha1", "kind": "Dataset", "name": "ships", "uid": seen["metadata"]["uid"]}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "ships",
            "namespace": ELSEWHERE,
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
        },
        "spec": {"clusterIP": "None", "ports": [{"name": "tcp-0", "port": 5000}]},
    }
    changed = {**service, "spec": {"clusterIP": "None", "ports": [{"name": "tcp-0", "port": 5001}]}}
    writes = Writes(account.server, WallClock(), "tests")

    async def carry_out() -> None:
        made = await writes.create(service)
        await writes.replace(changed, made)
        written = await writes.patch_status(seen, {"numberOfSamples": 3})
        assert written is not None
        told = Notice(severity=Severity.NORMAL, reason="Tried", message="with least privilege")
        await writes.tell(written, told)
        await writes.tell(written, told)
        await writes.delete(Key.of(made), None)

    asyncio.run(carry_out())
    [event] = [
        event
        for event in json.loads(account.cluster.kubectl("-n", ELSEWHERE, "get", "events", "-o", "json"))["items"]
        if event["reason"] == "Tried"
    ]
    assert event["count"] == 2
    assert account.cluster.kubectl("-n", ELSEWHERE, "get", "dataset", "ships", "-o", "jsonpath={.status}") == (
        '{"numberOfSamples":3}'
    )


def test_a_person_is_told_who_lacks_what(account: Account) -> None:
    refused = account.kubectl("-n", ELSEWHERE, "get", "secrets")
    assert f"system:serviceaccount:{OURS}:{ACCOUNT}" in refused.stderr
    assert "cannot list resource" in refused.stderr


@pytest.mark.parametrize(
    ("role", "verb", "answer"),
    [
        pytest.param("orbitloop-edit", "create", "yes", id="an editor makes jobs"),
        pytest.param("orbitloop-edit", "patch", "yes", id="an editor changes jobs"),
        pytest.param("orbitloop-view", "create", "no", id="a reader makes none"),
        pytest.param("orbitloop-view", "get", "yes", id="a reader reads them"),
    ],
)
def test_people_get_by_role_what_they_may_do(account: Account, role: str, verb: str, answer: str) -> None:
    bind = ("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}")
    account.cluster.kubectl("apply", "-f", "-", said=account.cluster.kubectl("-n", ELSEWHERE, *bind, *_PRINTED))
    asked = ("auth", "can-i", verb, "incrementallearningjobs.sedna.io", "--as", role)
    assert account.cluster.try_kubectl("-n", ELSEWHERE, *asked).stdout.strip() == answer


def test_the_global_manager_works_and_reviews_with_nothing_more(account: Account, tmp_path: Path) -> None:
    log, webhook = tmp_path / "log", free_port()
    register(account.cluster, webhook)
    command = [sys.executable, "-m", "orbitloop_operators", "run", "--kubeconfig", str(account.kubeconfig)]
    ports = ("--probes-port", "0", "--admission-port", str(webhook))
    with log.open("wb") as told:
        process = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, stderr=told)
    try:
        assert process.stdout is not None
        wait_until_ready(json.loads(process.stdout.readline())["probes_port"], process)
        bad = {
            "apiVersion": "sedna.io/v1alpha1",
            "kind": "Dataset",
            "metadata": {"name": "coco", "namespace": ELSEWHERE},
            "spec": {"url": "/data/ships.txt", "format": "coco", "nodeName": "edge-1"},
        }
        tried = ("apply", "--dry-run=server", "-f", "-")
        while (told_user := account.cluster.try_kubectl(*tried, said=json.dumps(bad))).returncode == 0:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        assert "Dataset coco: spec.format: must be txt or csv" in told_user.stderr
    finally:
        process.terminate()
        process.wait(30)
    assert "forbidden" not in log.read_text().lower()
    assert "permission" not in log.read_text().lower()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def register(cluster: Cluster, port: int) -> None:
    """Have the API server find the webhook on this machine, where there are no Services."""
    client = {"url": f"https://127.0.0.1:{port}/review", "service": None}
    change = [{"op": "replace", "path": "/webhooks/0/clientConfig", "value": client}]
    name = ("validatingwebhookconfiguration", "orbitloop")
    cluster.kubectl("patch", *name, "--type=json", "-p", json.dumps(change))


def wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except urllib.error.HTTPError:
            time.sleep(0.1)
    pytest.fail("it ended before it was ready")
