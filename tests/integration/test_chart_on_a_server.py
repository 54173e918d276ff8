"""The chart on a real API server: what it takes of it, and what an installation, an upgrade and its end leave there."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.control_plane import Cluster, control_plane
from tests.helm import CHART, NAMESPACE, helms, only, pod_specs, rendered, run_helm
from tests.pods import ACCOUNT, Pod, asks, free_port

from orbitloop_operators.http.probes import Probes, serve_probes

SERVED = "1.20.2"
MADE_ONCE = ("orbitloop-minio", "orbitloop-postgresql")
AUTHORITY_DATA = "{.clusters[0].cluster.certificate-authority-data}"
AUTHORITY = base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()
STATIONS = {"ground": {"gateway": "https://192.0.2.10:30400"}}
FULL: dict[str, Any] = {
    "gateway": {
        "replicas": 2,
        "datagramPort": 8402,
        "ingress": {"enabled": True},
        "service": {"type": "NodePort", "nodePort": 30400},
        "exports": [{"satellite": "bupt-1", "to": "/data/bupt-1"}],
    },
    "database": {"kind": "builtin"},
    "objects": {"kind": "builtin"},
    "mqtt": {"enabled": True},
    "grafanaDashboard": {"enabled": True},
    "localController": {
        "enabled": True,
        "stations": STATIONS,
        "model": "/srv/model",
        "satellites": [{"name": "bupt-1", "keysSecret": "bupt-1-keys"}],
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One of our own: the chart and the manifests cannot both own the account."""
    with control_plane(tmp_path_factory.mktemp("control-plane")) as started:
        started.kubectl("create", "namespace", NAMESPACE)
        started.kubectl("-n", NAMESPACE, "create", "serviceaccount", "default")  # a controller's work, and none runs
        yield started


def helm(server: Cluster, program: Path, *arguments: str, said: dict[str, Any] | None = None) -> str:
    """What helm prints about ``server``."""
    place = ("--kubeconfig", str(server.plane.kubeconfig), "--namespace", NAMESPACE)
    ran = run_helm(program, *arguments, *place, said=said)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("values", "files"),
    [
        ({}, ()),
        ({}, ("values-kind.yaml",)),
        ({"localController": {"stations": STATIONS}}, ("values-kubeedge.yaml",)),
        (FULL, ()),
    ],
    ids=["default", "kind", "KubeEdge", "everything"],
)
def test_a_server_of_1_20_takes_all_of_it(server: Cluster, values: dict[str, Any], files: tuple[str, ...]) -> None:
    documents = rendered(values, *files, kubernetes=SERVED)
    listed = {"apiVersion": "v1", "kind": "List", "items": documents}
    said = server.kubectl("apply", "--dry-run=server", "--validate=true", "-f", "-", said=json.dumps(listed))
    assert said.count("(server dry run)") == len(documents)


@pytest.fixture(params=["oldest", "newest"])
def program(request: pytest.FixtureRequest) -> Path:
    return helms()[0 if request.param == "oldest" else -1]


def objects(server: Cluster) -> set[tuple[str, str]]:
    """Kind and name of all that is there of the chart, definitions aside."""
    kinds = {(one["apiVersion"].partition("/")[0], one["kind"]) for one in rendered(FULL, kubernetes=SERVED)}
    words = ",".join(f"{kind}.{group}" if "." in group else kind for group, kind in sorted(kinds))
    listed = server.kubectl("-n", NAMESPACE, "get", words, "-l", "app.kubernetes.io/part-of=orbitloop", "-o", "json")
    return {(one["kind"], one["metadata"]["name"]) for one in json.loads(listed)["items"]}


def named(server: Cluster, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.kubectl("-n", NAMESPACE, "get", kind, name, "-o", "json"))
    return found


def test_it_comes_changes_goes_back_and_goes_and_leaves_the_data(server: Cluster, program: Path) -> None:
    helm(server, program, "install", "orbitloop", str(CHART), said=FULL)
    made = rendered(FULL, kubernetes=SERVED)
    claim = named(server, "pvc", "orbitloop-gateway")
    passwords = {name: named(server, "secret", name)["data"] for name in MADE_ONCE}
    assert objects(server) == {(one["kind"], one["metadata"]["name"]) for one in made} - {("Pod", "orbitloop-test")}
    assert server.kubectl("get", "crd", "incrementallearningjobs.sedna.io", "satellites.orbitloop.io")

    # the Global Manager puts its authority there, and Helm is not to take it away
    registration = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/orbitloop"
    webhooks = server.get(registration)["webhooks"]
    webhooks[0]["clientConfig"]["caBundle"] = AUTHORITY
    server.patch(registration, {"webhooks": webhooks})

    helm(server, program, "upgrade", "orbitloop", str(CHART), said={"gateway": {"settings": {"max_open_uploads": 4}}})
    assert named(server, "pvc", "orbitloop-gateway")["metadata"]["uid"] == claim["metadata"]["uid"]
    assert server.get(registration)["webhooks"][0]["clientConfig"]["caBundle"] == AUTHORITY
    assert "DaemonSet" not in {kind for kind, _ in objects(server)}

    helm(server, program, "rollback", "orbitloop", "1")
    assert {"DaemonSet", "StatefulSet"} <= {kind for kind, _ in objects(server)}
    helm(server, program, "upgrade", "orbitloop", str(CHART), said=FULL | {"mqtt": {"enabled": False}})
    assert {name: named(server, "secret", name)["data"] for name in MADE_ONCE} == passwords

    helm(server, program, "uninstall", "orbitloop")
    kept = {("PersistentVolumeClaim", "orbitloop-gateway"), *(("Secret", name) for name in MADE_ONCE)}
    assert objects(server) == kept
    assert named(server, "pvc", "orbitloop-gateway")["metadata"]["uid"] == claim["metadata"]["uid"]
    assert {name: named(server, "secret", name)["data"] for name in MADE_ONCE} == passwords
    assert server.kubectl("get", "crd", "incrementallearningjobs.sedna.io")


def test_the_notes_ask_for_the_secrets_that_are_missing_and_then_no_more(server: Cluster, keys: Path) -> None:
    program = helms()[-1]
    elsewhere: dict[str, Any] = {"database": {"kind": "external"}, "objects": {"kind": "s3"}}
    said = helm(server, program, "install", "orbitloop", str(CHART), said=elsewhere)
    try:
        asked = [line.strip() for line in said.splitlines() if line.strip().startswith("kubectl") and "create" in line]
        assert len(asked) == 5
        place = f"--kubeconfig={server.plane.kubeconfig}"
        for line in asked:
            spelled = line.replace("build/keys", str(keys)).replace("kubectl ", f"kubectl {place} ", 1)
            subprocess.run(["bash", "-euc", spelled], check=True, capture_output=True)
        assert len(server.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/orbitloop-gateway-keys")["data"]) >= 4
        again = helm(server, program, "upgrade", "orbitloop", str(CHART), said=elsewhere)
        assert "create secret" not in again
        assert "helm test orbitloop" in again
    finally:
        helm(server, program, "uninstall", "orbitloop")


def test_the_notes_show_what_jobs_train_with(server: Cluster) -> None:
    gpu = {"limits": {"nvidia.com/gpu": 1}}
    said = helm(
        server,
        helms()[0],
        *("install", "orbitloop", str(CHART), "--dry-run"),
        said={"trainer": {"queue": "ground", "resources": gpu}, "images": {"registry": "registry.example"}},
    )
    shown = yaml.safe_load(said.partition("train with this:\n")[2].partition("Then write")[0])
    assert shown["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "ground"}
    [worker] = shown["spec"]["trainSpec"]["template"]["spec"]["containers"]
    assert worker["image"] == "registry.example/orbitloop-trainer:0.1.0"
    assert worker["resources"]["limits"] == {"memory": "4Gi"} | gpu["limits"]


def test_the_operators_pod_has_the_account_that_it_needs(server: Cluster, tmp_path: Path) -> None:
    program = helms()[-1]
    helm(server, program, "install", "orbitloop", str(CHART), said={"gateway": {"enabled": False}})
    spec = pod_specs(rendered({"gateway": {"enabled": False}}))["orbitloop-operators"]
    for name, content in (
        ("token", server.kubectl("-n", NAMESPACE, "create", "token", "orbitloop-operators").strip()),
        ("ca.crt", server.kubectl("config", "view", "--raw", "--flatten", "-o", f"jsonpath={AUTHORITY_DATA}")),
        ("namespace", NAMESPACE),
    ):
        (tmp_path / name).write_text(base64.b64decode(content).decode() if name == "ca.crt" else content)
    probes = free_port()
    pod = Pod(spec, tmp_path / "node", account=True)
    pod.folder_of(ACCOUNT, "0755", *(tmp_path / name for name in ("token", "ca.crt", "namespace")))
    pod.begins()
    pod.runs(
        "operators",
        told={
            "POD_NAME": "orbitloop-operators-0",
            "POD_NAMESPACE": NAMESPACE,
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(server.plane.port),
        },
        further=f" --probes-port={probes} --admission-port={free_port()} & operators=$!",
    )
    pod.says(asks(probes, "/readyz"))
    pod.says("kill $operators; wait $operators")
    try:
        assert "ready" in pod.ends().splitlines()
        registered = server.get("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/orbitloop")
        assert b"BEGIN CERTIFICATE" in base64.b64decode(registered["webhooks"][0]["clientConfig"]["caBundle"])
    finally:
        helm(server, program, "uninstall", "orbitloop")


@contextmanager
def a_gateway(keys: Path, folder: Path, token: Path) -> Iterator[dict[str, int]]:
    options = {"folder": folder, "keys": keys / "ground", "port": 0, "admin-port": 0, "operator-token": token}
    spelled = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    run = [sys.executable, "-c", "from orbitloop_ground.cli import main; raise SystemExit(main())", "serve", *spelled]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            yield json.loads(child.stdout.readline())
        finally:
            child.kill()


@pytest.mark.parametrize("shown", ["the token that both have", "another token, of nobody"])
def test_helm_s_test_asks_operators_and_gateway(keys: Path, tmp_path: Path, shown: str) -> None:
    spec = pod_specs([only(rendered({}), "Pod", "orbitloop-test")])["orbitloop-test"]
    [one] = spec["containers"]
    right, given = tmp_path / "right", tmp_path / "given"
    right.write_text("the token that both have\n")
    given.write_text(shown)
    probes = serve_probes("127.0.0.1", 0, Probes(ready=lambda: True, metrics=lambda: b""))
    try:
        with a_gateway(keys, tmp_path / "ground", right) as ports:
            told = {
                "PATIENCE": "0",
                "OPERATORS": f"http://127.0.0.1:{probes.server_port}",
                "GATEWAY": f"127.0.0.1:{ports['gateway']}",
                "ADMIN": f"http://127.0.0.1:{ports['admin']}",
                "TOKEN": str(given),
            }
            assert told.keys() == {entry["name"] for entry in one["env"]}
            run = [sys.executable, *one["command"][1:], *one["args"]]
            ran = subprocess.run(run, env=told, capture_output=True, text=True, check=False)
    finally:
        probes.shutdown()
        probes.server_close()
    if shown == "the token that both have":
        assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "the token opens the operators' API")
    else:
        assert ran.returncode == 1
        assert "not so: the token opens the operators' API" in ran.stderr
        assert "401" in ran.stderr
