"""What the chart makes, as real helm renders it; what an API server says of it is tried in the integration tests."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.helm import CHART, NAMESPACE, Document, helms, only, pod_specs, refusal, rendered, rendered_by, run_helm

from orbitloop_edge.adapters.credentials import read_credentials
from orbitloop_edge.cli import _parser as edge_parser
from orbitloop_edge.satellite_file import SatelliteFile, read_satellite_file
from orbitloop_ground.adapters.revocations import LinkKeys, RevocationList
from orbitloop_ground.adapters.tls import gateway_context
from orbitloop_ground.cli import _parser as ground_parser
from orbitloop_ground.settings import GroundSettings
from orbitloop_operators.cli import _parser as operators_parser
from orbitloop_operators.settings import OperatorSettings

ROOT = Path(__file__).parents[2]
STATIONS = {"tongchuan": {"gateway": "https://192.0.2.10:30400", "datagrams": "192.0.2.10:30402"}}
FULL: dict[str, Any] = {
    "gateway": {
        "replicas": 2,
        "datagramPort": 8402,
        "settings": {"max_update_bytes": 67_108_864, "uplink_peers": ["192.0.2.20"], "labels": "/data/labels.json"},
        "ingress": {"enabled": True},
        "exports": [{"satellite": "bupt-1", "to": "/data/bupt-1"}],
    },
    "operators": {"settings": {"at_once": 4, "namespaces": ["missions"]}},
    "localController": {
        "enabled": True,
        "stations": STATIONS,
        "model": "/srv/model",
        "dataFolders": ["/data"],
        "settings": 'layer = "http"\n[contacts]\nplan = "/config/passes.csv"',
        "files": {"passes.csv": "station,aos,los\n"},
        "satellites": [{"name": "bupt-1", "keysSecret": "bupt-1-keys"}],
    },
    "database": {"kind": "builtin"},
    "objects": {"kind": "builtin", "builtin": {"persistence": {"hostPath": "/srv/minio"}}},
    "mqtt": {"enabled": True},
    "serviceMonitor": {"enabled": True},
    "grafanaDashboard": {"enabled": True},
    "networkPolicies": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
}
USES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "default": ({}, ()),
    "kind": ({}, ("values-kind.yaml",)),
    "KubeEdge": ({"localController": {"stations": STATIONS}}, ("values-kubeedge.yaml",)),
    "everything": (FULL, ()),
}
METRICS = ("gateway.md", "operators.md")
every_use = pytest.mark.parametrize(("values", "files"), USES.values(), ids=USES.keys())


def containers(spec: Document) -> Iterator[Document]:
    yield from spec.get("initContainers", ())
    yield from spec["containers"]


def container(documents: list[Document], pod: str, name: str) -> Document:
    [found] = [one for one in containers(pod_specs(documents)[pod]) if one["name"] == name]
    return found


def environment(of: Document) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in of.get("env", ()) if "value" in entry}


# ------------------------------------------------------------------------------------------------- helm and Kubernetes


@pytest.mark.parametrize("files", [(), ("values-kind.yaml",)], ids=["default", "kind"])
def test_it_lints_clean(files: tuple[str, ...]) -> None:
    named = [part for file in files for part in ("-f", str(CHART / file))]
    for helm in helms():
        ran = run_helm(helm, "lint", "--strict", str(CHART), *named)
        assert ran.returncode == 0, ran.stdout
        assert "[WARNING]" not in ran.stdout


@every_use
def test_every_helm_makes_the_same_of_it(values: dict[str, Any], files: tuple[str, ...]) -> None:
    def made(helm: Path) -> list[Document]:
        documents = rendered_by(helm, json.dumps(values), files, "1.31.0")
        return [
            one | {"data": sorted(one["data"])} if one["kind"] == "Secret" else one for one in documents
        ]  # by chance

    first, *others = map(made, helms())
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    ("kubernetes", "version"),
    [("1.20.2", "policy/v1beta1"), ("1.21.0", "policy/v1"), ("1.36.1", "policy/v1")],
)
def test_disruption_budgets_are_of_the_version_that_the_server_has(kubernetes: str, version: str) -> None:
    budget = only(rendered(FULL, kubernetes=kubernetes), "PodDisruptionBudget", "orbitloop-gateway")
    assert budget["apiVersion"] == version


def test_a_lone_gateway_has_no_budget_that_would_keep_its_node_from_being_drained() -> None:
    assert not [one for one in rendered({}) if one["kind"] == "PodDisruptionBudget"]


# ---------------------------------------------------------------------------------------------------- the manifests


def _without_labels(document: Document) -> Document:
    metadata = {key: value for key, value in document["metadata"].items() if key != "labels"}
    return document | {"metadata": metadata}


def _manifests() -> list[Document]:
    files = sorted((ROOT / "operators" / "manifests").glob("*.yaml"))
    documents = [document for path in files for document in yaml.safe_load_all(path.read_text())]
    return [document for document in documents if document["kind"] != "Namespace"]


@pytest.mark.parametrize("manifest", _manifests(), ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_what_the_manifests_say_of_the_operators_the_chart_says_too(manifest: Document) -> None:
    ours = only(rendered({}), manifest["kind"], manifest["metadata"]["name"])
    assert _without_labels(ours) == _without_labels(manifest)
    assert ours["metadata"]["labels"].items() >= manifest["metadata"]["labels"].items()


def test_the_chart_grants_nothing_that_the_manifests_do_not() -> None:
    kinds = {"ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"}
    granted = {(one["kind"], one["metadata"]["name"]) for one in rendered(FULL) if one["kind"] in kinds}
    assert granted == {(one["kind"], one["metadata"]["name"]) for one in _manifests() if one["kind"] in kinds}


def test_all_of_it_is_in_the_release_s_namespace() -> None:
    place = ("orbitloop", str(CHART), "--namespace", "elsewhere")
    said = run_helm(helms()[0], "template", *place, said=FULL)
    assert "namespace: elsewhere" in said.stdout
    assert NAMESPACE not in said.stdout
    everywhere = {"ClusterRole", "ClusterRoleBinding", "ValidatingWebhookConfiguration"}
    for one in rendered(FULL):
        assert (one["kind"] in everywhere) == ("namespace" not in one["metadata"])


def test_the_chart_brings_the_definitions() -> None:
    names = {path.name for path in (CHART / "crds").glob("*.yaml")}
    assert names == {path.name for path in (ROOT / "crds").glob("*.yaml")}


def test_the_chart_has_the_version_of_everything_else() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == OperatorSettings.model_fields["tools_image"].default.split(":")[1]


# --------------------------------------------------------------------------------------------------- what pods may


@every_use
def test_no_container_is_root_but_those_that_prepare_folders(values: dict[str, Any], files: tuple[str, ...]) -> None:
    for pod, spec in pod_specs(rendered(values, *files)).items():
        assert spec["securityContext"]["runAsNonRoot"] is True
        for one in containers(spec):
            context = one["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, (pod, one["name"])
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"]["drop"] == ["ALL"]
            assert (context.get("runAsUser") == 0) == (one["name"] in {"prepare", "folders"})
            assert ("add" in context["capabilities"]) == (context.get("runAsUser") == 0)


@every_use
def test_every_container_says_what_it_needs_at_most(values: dict[str, Any], files: tuple[str, ...]) -> None:
    for spec in pod_specs(rendered(values, *files)).values():
        for one in containers(spec):
            assert one["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in one["resources"]["limits"]


@every_use
def test_only_the_operators_have_an_account(values: dict[str, Any], files: tuple[str, ...]) -> None:
    with_one = {
        pod
        for pod, spec in pod_specs(rendered(values, *files)).items()
        if spec.get("automountServiceAccountToken") is not False
    }
    assert with_one == {"orbitloop-operators"}


@every_use
def test_what_belongs_on_the_ground_is_kept_off_satellites(values: dict[str, Any], files: tuple[str, ...]) -> None:
    for pod, spec in pod_specs(rendered(values, *files)).items():
        edge = {"key": "node-role.kubernetes.io/edge", "operator": "DoesNotExist"}
        required = (
            spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
        )
        on_board = spec.get("nodeSelector", {}).get("node-role.kubernetes.io/edge") == ""
        assert on_board or required["nodeSelectorTerms"] == [{"matchExpressions": [edge]}], pod


@every_use
def test_every_mount_has_its_volume(values: dict[str, Any], files: tuple[str, ...]) -> None:
    documents = rendered(values, *files)
    claims = {one["metadata"]["name"]: one.get("spec", {}).get("volumeClaimTemplates", ()) for one in documents}
    for pod, spec in pod_specs(documents).items():
        there = {volume["name"] for volume in spec.get("volumes", ())}
        there |= {claim["metadata"]["name"] for claim in claims[pod]}
        mounted = {mount["name"] for one in containers(spec) for mount in one.get("volumeMounts", ())}
        assert mounted == there, pod


# ------------------------------------------------------------------------------------ what processes are told


def test_the_programs_take_what_the_pods_tell_them() -> None:
    documents = rendered(FULL)
    for pod, name, parser in (
        ("orbitloop-operators", "operators", operators_parser()),
        ("orbitloop-gateway", "gateway", ground_parser()),
        ("orbitloop-gateway", "export-bupt-1", ground_parser()),
        ("orbitloop-local-controller", "local-controller", edge_parser()),
    ):
        one = container(documents, pod, name)
        parser.parse_args([*one["command"][1:], *one.get("args", ())])


def test_the_operators_are_who_their_pod_is() -> None:
    one = container(rendered({}), "orbitloop-operators", "operators")
    fields = {entry["name"]: entry["valueFrom"]["fieldRef"]["fieldPath"] for entry in one["env"]}
    assert fields == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}
    assert {"--lease-identity=$(POD_NAME)", "--lease-namespace=$(POD_NAMESPACE)"} <= set(one["args"])
    assert {"--probes-host=0.0.0.0", "--admission-host=0.0.0.0"} <= set(one["args"])
    ports = {port["name"]: port["containerPort"] for port in one["ports"]}
    assert ports == {
        "probes": OperatorSettings.model_fields["probes_port"].default,
        "admission": OperatorSettings.model_fields["admission_port"].default,
    }


def test_no_second_operator_is_started_that_would_wait_for_the_lease_of_the_first() -> None:
    spec = only(rendered({}), "Deployment", "orbitloop-operators")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_settings_reach_the_operators_as_they_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(container(rendered(FULL), "orbitloop-operators", "operators")).items():
        monkeypatch.setenv(name, value)
    read = OperatorSettings.read({})
    assert (read.at_once, read.namespaces) == (4, ("missions",))


def test_settings_reach_gateway_and_exporters_as_they_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = rendered(FULL)
    told = environment(container(documents, "orbitloop-gateway", "gateway"))
    assert environment(container(documents, "orbitloop-gateway", "export-bupt-1")) == told
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    read = GroundSettings.read(None, {})
    assert (read.folder, read.keys, read.labels) == tuple(
        Path(path) for path in ("/var/lib/orbitloop", "/keys", "/data/labels.json")
    )
    assert (read.max_update_bytes, read.uplink_peers) == (67_108_864, ("192.0.2.20",))


def test_a_teacher_labels_in_the_exporters_and_people_decide_at_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = rendered(with_a_teacher("/data/teacher", reviewersSecret="people"))
    gateway, exporter = (container(documents, "orbitloop-gateway", name) for name in ("gateway", "export-bupt-1"))
    assert environment(exporter) == environment(gateway)
    assert exporter["resources"]["limits"] == {"memory": "3Gi"}
    for name, value in environment(exporter).items():
        monkeypatch.setenv(name, value)
    assert GroundSettings.read(None, {}).teacher == Path("/data/teacher")
    ground_parser().parse_args([*gateway["command"][1:], *gateway["args"]])
    assert "--reviewers=/reviewers/reviewers" in gateway["args"]
    [volume] = [one for one in pod_specs(documents)["orbitloop-gateway"]["volumes"] if one["name"] == "reviewers"]
    assert volume["secret"]["secretName"] == "people"
    [mount] = [one for one in gateway["volumeMounts"] if one["name"] == "reviewers"]
    assert mount == {"name": "reviewers", "mountPath": "/reviewers", "readOnly": True}
    assert "reviewers" not in {one["name"] for one in exporter["volumeMounts"]}


def with_a_teacher(folder: str, **more: object) -> dict[str, Any]:
    return {"gateway": {"teacher": folder, "exports": [{"satellite": "bupt-1", "to": "/data/bupt-1"}], **more}}


def test_who_names_no_reviewers_lets_nobody_in() -> None:
    gateway = container(rendered(FULL), "orbitloop-gateway", "gateway")
    assert not [argument for argument in gateway["args"] if "reviewers" in argument]


def test_an_exporter_takes_what_it_is_given() -> None:
    resources = {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"memory": "6Gi"}}
    documents = rendered(with_a_teacher("/data/teacher", exportResources=resources))
    assert container(documents, "orbitloop-gateway", "export-bupt-1")["resources"] == resources


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (with_a_teacher("/models/teacher"), "gateway.teacher: /models/teacher is in none of gateway.shared"),
        (with_a_teacher("models"), "teacher"),
        ({"gateway": {"settings": {"reviewers": "/data/reviewers"}}}, "reviewers"),
    ],
    ids=["not shared", "not absolute", "as a setting"],
)
def test_a_teacher_or_reviewers_that_nobody_could_read_are_refused(values: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(values)


def test_operators_and_gateway_share_one_token() -> None:
    specs = pod_specs(rendered({"gateway": {"tokenSecret": "shared"}}))
    for pod in ("orbitloop-operators", "orbitloop-gateway", "orbitloop-test"):
        [token] = [volume for volume in specs[pod]["volumes"] if volume["name"] == "token"]
        assert token["secret"]["secretName"] == "shared"


def test_a_gateway_elsewhere_is_called_where_it_is() -> None:
    documents = rendered({"gateway": {"enabled": False, "url": "http://192.0.2.9:8401"}})
    args = container(documents, "orbitloop-operators", "operators")["args"]
    assert {"--gateway=http://192.0.2.9:8401", "--gateway-token=/token/token"} <= set(args)
    assert "orbitloop-gateway" not in pod_specs(documents)


def test_without_any_gateway_the_operators_are_told_of_none() -> None:
    args = container(rendered({"gateway": {"enabled": False}}), "orbitloop-operators", "operators")["args"]
    assert not [argument for argument in args if "gateway" in argument]


# ------------------------------------------------------------------------------------------------ how it is reached


def test_the_admin_port_never_leaves_the_cluster() -> None:
    service = {"type": "NodePort", "nodePort": 30400, "datagramNodePort": 30402}
    documents = rendered({"gateway": {"service": service, "datagramPort": 8402}})
    outward = only(documents, "Service", "orbitloop-gateway")["spec"]
    assert {port["name"]: port.get("nodePort") for port in outward["ports"]} == {"gateway": 30400, "datagrams": 30402}
    assert only(documents, "Service", "orbitloop-gateway-admin")["spec"]["type"] == "ClusterIP"


def test_a_host_port_leads_to_the_gateway_alone() -> None:
    gateway = {"hostPort": 8400, "datagramPort": 8402, "datagramHostPort": 8402}
    ports = container(rendered({"gateway": gateway}), "orbitloop-gateway", "gateway")["ports"]
    assert {port["name"]: port.get("hostPort") for port in ports} == {
        "gateway": 8400,
        "datagrams": 8402,
        "admin": None,
    }


def test_policies_let_satellites_and_reviews_in_and_keep_the_admin_port_to_the_operators() -> None:
    documents = rendered(FULL)
    [to_all, to_some] = only(documents, "NetworkPolicy", "orbitloop-gateway")["spec"]["ingress"]
    assert "from" not in to_all
    assert [port["port"] for port in to_all["ports"]] == ["gateway", "datagrams"]
    assert [port["port"] for port in to_some["ports"]] == ["admin"]
    names = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in to_some["from"][:-1]]
    assert names == ["orbitloop-operators", "orbitloop-test"]
    assert to_some["from"][-1] == FULL["networkPolicies"]["metricsFrom"][0]


@every_use
def test_services_policies_and_monitors_select_what_there_is(values: dict[str, Any], files: tuple[str, ...]) -> None:
    documents = rendered(values, *files)
    labels = [
        one["metadata"]["labels"]
        if one["kind"] in {"Pod", "Service"}
        else one["spec"]["template"]["metadata"]["labels"]
        for one in documents
        if one["kind"] in {"Pod", "Service"} or "template" in one.get("spec", {})
    ]
    selectors = {
        "Service": lambda one: one["spec"]["selector"],
        "NetworkPolicy": lambda one: one["spec"]["podSelector"]["matchLabels"],
        "PodDisruptionBudget": lambda one: one["spec"]["selector"]["matchLabels"],
        "ServiceMonitor": lambda one: one["spec"]["selector"]["matchLabels"],
    }
    for one in documents:
        if select := selectors.get(one["kind"]):
            assert [each for each in labels if each.items() >= select(one).items()], one["metadata"]["name"]


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads(only(rendered(FULL), "ConfigMap", "orbitloop-dashboard")["data"]["orbitloop.json"])
    asked = set(re.findall(r"\borbitloop_\w+", json.dumps(dashboard)))
    served = re.findall(r"`(orbitloop_\w+)", "".join((ROOT / "docs/reference" / page).read_text() for page in METRICS))
    assert asked
    assert asked <= set(served)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


# ---------------------------------------------------------------------------------------------------------- on board


def test_what_flies_keeps_to_what_an_edge_pod_has() -> None:
    spec = pod_specs(rendered(FULL))["orbitloop-local-controller"]
    assert spec["automountServiceAccountToken"] is False
    assert (spec["hostNetwork"], spec["dnsPolicy"], spec["enableServiceLinks"]) == (True, "Default", False)
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"emptyDir", "hostPath", "configMap"}


def test_each_satellite_has_one_local_controller() -> None:
    specs = pod_specs(rendered(FULL))
    terms = {
        pod: specs[pod]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        for pod in ("orbitloop-local-controller", "orbitloop-satellite-bupt-1")
    }
    chosen = {pod: term["nodeSelectorTerms"][0]["matchExpressions"] for pod, term in terms.items()}
    assert chosen["orbitloop-satellite-bupt-1"] == [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": ["bupt-1"]}
    ]
    assert chosen["orbitloop-local-controller"] == [
        {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["bupt-1"]}
    ]


def test_new_contacts_restart_nothing_on_board_and_a_new_satellite_file_does() -> None:
    def annotations(**changed: Any) -> Any:
        values = FULL | {"localController": FULL["localController"] | changed}
        daemon = only(rendered(values), "DaemonSet", "orbitloop-local-controller")
        return daemon["spec"]["template"]["metadata"]["annotations"]

    assert annotations() == annotations(files={"passes.csv": "other\n"})
    assert annotations() != annotations(worker={"command": "none"})


@pytest.mark.parametrize("pod", ["orbitloop-local-controller", "orbitloop-satellite-bupt-1"])
def test_the_node_is_prepared_for_a_satellite_that_knows_itself(pod: str, keys: Path, tmp_path: Path) -> None:
    documents = rendered(FULL)
    prepare = container(documents, pod, "prepare")
    config = only(documents, "ConfigMap", "orbitloop-local-controller")["data"]
    places = {name: tmp_path / name for name in ("KEYS", "CONFIG", "RUN", "FOLDER")}
    for name in ("KEYS", "CONFIG", "RUN"):
        places[name].mkdir()
    for name, content in config.items():
        (places["CONFIG"] / name).write_text(content)
    told = {name: str(place) for name, place in places.items()} | {
        "FROM": str(keys / "satellites" / "sat-1"),
        "SATELLITE": "sat-1",
        "OWNER": str(os.getuid()),
        "MODEL_FOLDERS": f" {tmp_path / 'models'}",
    }
    assert {entry["name"] for entry in prepare["env"]} == told.keys()

    for _ in range(2):  # a container may be started again
        ran = _shell(prepare, told)
        assert ran.returncode == 0, ran.stderr

    read: SatelliteFile = read_satellite_file(places["RUN"] / "satellite.toml")
    assert read.satellite == read_credentials(places["KEYS"]).satellite == "sat-1"
    assert (read.folder, read.keys) == (Path("/var/lib/orbitloop"), Path("/keys"))
    assert read.contacts.plan == Path("/config/passes.csv")
    assert read.stations["tongchuan"].gateway == "https://192.0.2.10:30400"
    assert read.local_controller is not None
    assert read.local_controller.root == Path("/node")
    mounted = {mount["mountPath"] for mount in container(documents, pod, "local-controller")["volumeMounts"]}
    needed = {read.folder, read.keys, read.worker.frames, Path("/config"), Path("/node/data")}
    needed |= {Path(f"/node{folder}") for folder in read.local_controller.model_folders}
    assert {str(path) for path in needed} <= mounted


def test_keys_that_are_missing_on_the_node_are_named(tmp_path: Path) -> None:
    told = {name: str(tmp_path) for name in ("KEYS", "CONFIG", "RUN", "FOLDER", "FROM", "MODEL_FOLDERS")}
    ran = _shell(
        container(rendered(FULL), "orbitloop-local-controller", "prepare"),
        told | {"SATELLITE": "sat-1", "OWNER": str(os.getuid())},
    )
    assert ran.returncode == 1
    assert "/etc/orbitloop/keys has no satellite.key" in ran.stderr
    assert "build/keys/satellites/sat-1" in ran.stderr


# ------------------------------------------------------------------------------------------------------ its Secrets


def test_the_gateway_takes_its_keys_from_secrets_that_are_made_as_the_notes_say(keys: Path, tmp_path: Path) -> None:
    secret, links, taken = (tmp_path / name for name in ("secret", "links", "keys"))
    _mount_secret(keys / "ground", secret)
    _mount_secret(keys / "ground" / "links", links)
    taken.mkdir()
    told = {"SECRET": str(secret), "LINKS": str(links), "KEYS": str(taken)}

    init = container(rendered({}), "orbitloop-gateway", "keys")
    for _ in range(2):
        ran = _shell(init, told)
        assert ran.returncode == 0, ran.stderr

    gateway_context(taken)
    assert LinkKeys(taken / "links")("sat-1") == (keys / "ground" / "links" / "sat-1.key").read_bytes()
    revoked = RevocationList(taken / "revoked.json")
    assert 0xABC not in revoked
    (secret / "revoked.json").write_text('{"abc": {"satellite": "sat-1", "at": "2026-01-01T00:00:00Z"}}')
    assert 0xABC in revoked


def test_a_secret_that_lacks_a_key_is_refused_rather_than_made_up_for(keys: Path, tmp_path: Path) -> None:
    secret, taken = tmp_path / "secret", tmp_path / "keys"
    _mount_secret(keys / "ground", secret)
    (secret / "signing.key").unlink()
    taken.mkdir()
    told = {"SECRET": str(secret), "LINKS": str(tmp_path / "none"), "KEYS": str(taken)}
    ran = _shell(container(rendered({}), "orbitloop-gateway", "keys"), told)
    assert ran.returncode == 1
    assert "orbitloop-gateway-keys has no signing.key" in ran.stderr


def _mount_secret(folder: Path, at: Path) -> None:
    """Files as the kubelet shows those of a Secret that kubectl makes of ``folder``: readable to the group."""
    command = [
        "kubectl",
        "create",
        "secret",
        "generic",
        "tried",
        f"--from-file={folder}",
        "--dry-run=client",
        "-o",
        "json",
    ]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    at.mkdir()
    for name, encoded in json.loads(made.stdout)["data"].items():
        (at / name).write_bytes(base64.b64decode(encoded))
        (at / name).chmod(0o440)


def _shell(one: Document, told: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a container's command here."""
    return subprocess.run(
        [*one["command"], *one["args"]],
        env={"PATH": os.environ["PATH"]} | told,
        capture_output=True,
        text=True,
        check=False,
    )


# --------------------------------------------------------------------------------------------- what is turned down


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"gatway": {}}, "Additional property gatway is not allowed"),
        ({"gateway": {"replicas": 0}}, "gateway.replicas"),
        ({"gateway": {"settings": {"keys": "/elsewhere"}}}, "gateway.settings"),
        ({"operators": {"settings": {"lease": False}}}, "operators.settings"),
        ({"gateway": {"service": {"nodePort": 8400}}}, "gateway.service.nodePort"),
        ({"gateway": {"replicas": 2, "hostPort": 8400}}, "set gateway.replicas to 1"),
        ({"gateway": {"datagramHostPort": 8402}}, "gateway.datagramPort: set it too"),
        ({"gateway": {"exports": [{"satellite": "a", "to": "/srv/a"}]}}, "/srv/a is in none of gateway.shared"),
        ({"localController": {"enabled": True}}, "localController.stations: name at least one"),
        (
            {"localController": {"stations": {"a": {"gateway": "http://192.0.2.1"}}}},
            "localController.stations.a.gateway",
        ),
        (
            {"localController": {"enabled": True, "stations": STATIONS, "settings": '[worker]\ncommand = "none"'}},
            "write worker, controller and stations beside it",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_values_that_cannot_work_are_refused_with_a_remedy(values: dict[str, Any], says: str) -> None:
    assert says in refusal(values)


def test_every_value_that_there_is_has_a_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def unknown(values: dict[str, Any], told: dict[str, Any], at: str) -> Iterator[str]:
        for name, value in values.items():
            known = told.get("properties", {})
            if name not in known:
                yield f"{at}{name}"
            elif isinstance(value, dict) and known[name].get("additionalProperties") is False:
                yield from unknown(value, known[name], f"{at}{name}.")

    assert list(unknown(yaml.safe_load((CHART / "values.yaml").read_text()), schema, "")) == []


def test_what_the_page_shows_can_be_installed() -> None:
    page = (ROOT / "docs" / "howto" / "install-with-helm.md").read_text()
    shown = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)]
    assert len(shown) == 5
    ground, labelled, storage, *satellites = shown
    merged = ground | {"gateway": ground["gateway"] | labelled["gateway"]} | storage
    merged |= {"localController": satellites[0]["localController"] | satellites[1]["localController"]}
    assert {"orbitloop-local-controller", "orbitloop-satellite-bupt-1"} <= pod_specs(rendered(merged)).keys()
    assert {"nodePort": 30400}.items() <= only(rendered(merged), "Service", "orbitloop-gateway")["spec"]["ports"][
        0
    ].items()


# ------------------------------------------------------------------------------------------------------------ helm test


def test_the_chart_s_own_test_names_what_does_not_answer() -> None:
    one = container(rendered({}), "orbitloop-test", "test")
    closed = "http://127.0.0.1:9"  # the discard service, which nothing offers
    told = environment(one) | {"PATIENCE": "0", "OPERATORS": closed}
    ran = subprocess.run(
        [sys.executable, *one["command"][1:], *one["args"]], env=told, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert f"not so: the operators are ready ({closed}/readyz" in ran.stderr
