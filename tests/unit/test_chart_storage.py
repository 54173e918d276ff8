"""Where the chart lets the gateway keep things, and the broker on board, as real helm renders them."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.helm import NAMESPACE, Document, only, pod_specs, refusal, rendered
from tests.pods import free_port

from orbitloop_ground.settings import GroundSettings

BUILTIN: dict[str, Any] = {"database": {"kind": "builtin"}, "objects": {"kind": "builtin"}}
ELSEWHERE: dict[str, Any] = {
    "database": {"kind": "external", "urlSecret": "the-database"},
    "objects": {"kind": "s3", "bucket": "samples", "prefix": "bupt/1", "endpoint": "https://s3.example:9000"},
    "gateway": {"exports": [{"satellite": "bupt-1", "to": "/data/bupt-1"}]},
}


def gateway(documents: list[Document], name: str = "gateway") -> Document:
    spec = pod_specs(documents)["orbitloop-gateway"]
    found: Document
    [found] = [one for one in (*spec["initContainers"], *spec["containers"]) if one["name"] == name]
    return found


def from_secrets(of: Document) -> dict[str, tuple[str, str]]:
    """Variables whose values come from Secrets: name and key of each."""
    told = {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in of["env"] if "valueFrom" in entry}
    return {name: (secret["name"], secret["key"]) for name, secret in told.items()}


def read(of: Document, monkeypatch: pytest.MonkeyPatch) -> GroundSettings:
    """What the gateway makes of its container's environment."""
    for entry in of["env"]:
        if "value" in entry:
            monkeypatch.setenv(entry["name"], entry["value"])
    return GroundSettings.read(None, {})


def test_unless_it_is_told_otherwise_the_gateway_keeps_all_in_its_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = rendered({})
    settings = read(gateway(documents), monkeypatch)
    assert (settings.database, settings.blobs, settings.blobs_endpoint) == (None, None, None)
    names = {one["metadata"]["name"] for one in documents}
    assert not names & {"orbitloop-postgresql", "orbitloop-minio", "orbitloop-mosquitto"}
    assert not [one for one in documents if one["kind"] == "Secret"]


def test_the_gateway_finds_what_is_builtin_and_both_have_one_password(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = rendered(BUILTIN)
    settings = read(gateway(documents), monkeypatch)
    assert settings.database == f"postgresql://orbitloop@orbitloop-postgresql.{NAMESPACE}:5432/orbitloop"
    assert (settings.blobs, settings.blobs_endpoint) == ("s3://orbitloop", f"http://orbitloop-minio.{NAMESPACE}:9000")
    specs = pod_specs(documents)
    told = from_secrets(gateway(documents))
    for pod, own, ours in (
        ("orbitloop-postgresql", "POSTGRES_PASSWORD", "PGPASSWORD"),
        ("orbitloop-minio", "MINIO_ROOT_USER", "AWS_ACCESS_KEY_ID"),
        ("orbitloop-minio", "MINIO_ROOT_PASSWORD", "AWS_SECRET_ACCESS_KEY"),
    ):
        secret, key = told[ours]
        assert from_secrets(specs[pod]["containers"][0])[own] == (secret, key)
        assert key in only(documents, "Secret", secret)["data"]


@pytest.mark.parametrize("name", ["orbitloop-postgresql", "orbitloop-minio"])
def test_only_the_gateway_may_call_what_is_builtin(name: str) -> None:
    documents = rendered(BUILTIN)
    [rule] = only(documents, "NetworkPolicy", name)["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "orbitloop-gateway"}}}]
    [port] = rule["ports"]
    [offered] = pod_specs(documents)[name]["containers"][0]["ports"]
    assert port["port"] == offered["name"]


@pytest.mark.parametrize(("kind", "name"), [("database", "orbitloop-postgresql"), ("objects", "orbitloop-minio")])
def test_data_and_passwords_outlive_the_release(kind: str, name: str) -> None:
    documents = rendered({kind: {"kind": "builtin"}})
    assert only(documents, "Secret", name)["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    [claim] = only(documents, "StatefulSet", name)["spec"]["volumeClaimTemplates"]  # Kubernetes keeps those
    assert claim["metadata"]["name"] == "data"


@pytest.mark.parametrize(("kind", "name"), [("database", "orbitloop-postgresql"), ("objects", "orbitloop-minio")])
def test_a_folder_of_the_node_is_given_to_whoever_writes_there(kind: str, name: str) -> None:
    told = {"kind": "builtin", "builtin": {"persistence": {"hostPath": "/srv/kept"}, "existingSecret": "mine"}}
    documents = rendered({kind: told})
    spec = pod_specs(documents)[name]
    [folder] = [volume for volume in spec["volumes"] if volume["name"] == "data"]
    assert folder["hostPath"]["path"] == "/srv/kept"
    [prepares] = spec["initContainers"]
    assert str(spec["securityContext"]["runAsUser"]) in prepares["command"]
    assert "volumeClaimTemplates" not in only(documents, "StatefulSet", name)["spec"]
    assert not [one for one in documents if one["kind"] == "Secret"]
    assert {secret for secret, _ in from_secrets(gateway(documents)).values()} == {"mine"}


def test_gateway_and_exporters_are_told_of_what_is_elsewhere_by_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = rendered(ELSEWHERE)
    settings = read(gateway(documents), monkeypatch)
    assert (settings.blobs, settings.blobs_endpoint) == ("s3://samples/bupt/1", "https://s3.example:9000")
    assert from_secrets(gateway(documents)) == {
        "ORBITLOOP_GROUND_DATABASE": ("the-database", "url"),
        "AWS_ACCESS_KEY_ID": ("orbitloop-objects", "accessKey"),
        "AWS_SECRET_ACCESS_KEY": ("orbitloop-objects", "secretKey"),
    }
    assert gateway(documents, "export-bupt-1")["env"] == gateway(documents)["env"]
    assert not {"orbitloop-postgresql", "orbitloop-minio"} & pod_specs(documents).keys()


def test_a_node_that_has_the_right_itself_needs_no_keys() -> None:
    told = from_secrets(gateway(rendered({"objects": {"kind": "s3", "secret": None, "region": "eu-north-1"}})))
    assert told == {}


def test_the_gateway_waits_for_what_is_builtin(tmp_path: Path) -> None:
    waits = gateway(rendered(BUILTIN), "storage")
    program, *addresses = waits["args"]
    assert addresses == [f"orbitloop-postgresql.{NAMESPACE}:5432", f"orbitloop-minio.{NAMESPACE}:9000"]
    port = free_port()
    run = [sys.executable, *waits["command"][1:], program, f"127.0.0.1:{port}"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert f"waiting for 127.0.0.1:{port}" in child.stdout.readline()
        with socket.create_server(("127.0.0.1", port)):
            assert child.wait(30) == 0


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"database": {"kind": "mysql"}}, "database.kind"),
        ({"objects": {"kind": "s3", "bucket": "s3://samples"}}, "objects.bucket"),
        ({"objects": {"kind": "s3", "endpoint": "s3.example:9000"}}, "objects.endpoint"),
        ({"gateway": {"settings": {"database": "postgresql://user:secret@host/name"}}}, "gateway.settings"),
        ({"gateway": {"settings": {"blobs": "s3://samples"}}}, "gateway.settings"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_storage_that_cannot_be_is_refused(values: dict[str, Any], says: str) -> None:
    assert says in refusal(values)


def test_the_broker_on_board_listens_to_the_satellite_alone() -> None:
    documents = rendered({"mqtt": {"enabled": True}})
    spec = pod_specs(documents)["orbitloop-mosquitto"]
    assert spec["automountServiceAccountToken"] is False
    assert (spec["hostNetwork"], spec["dnsPolicy"], spec["enableServiceLinks"]) == (True, "Default", False)
    assert spec["nodeSelector"] == {"node-role.kubernetes.io/edge": ""}
    assert {"key": "node-role.kubernetes.io/edge", "operator": "Exists"} in spec["tolerations"]
    [one] = spec["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert one[probe]["tcpSocket"] == {"host": "127.0.0.1", "port": 1883}
    written = only(documents, "ConfigMap", "orbitloop-mosquitto")["data"]["mosquitto.conf"]
    assert [line for line in written.splitlines() if line.startswith("listener")] == ["listener 1883 127.0.0.1"]
