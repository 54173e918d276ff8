"""What the chart puts on a KubeEdge node keeps to what such a node has, as seen on KubeEdge 1.23."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.helm import CHART, Document, only, pod_specs, refusal, rendered

VALUES = "values-kubeedge.yaml"
WALK = Path(__file__).parents[2] / "docs" / "howto" / "kubeedge.md"
SAID = {
    "localController": {
        "stations": {"ground": {"gateway": "https://192.0.2.10:30400"}},
        "model": "/srv/orbitloop/model",
        "dataFolders": ["/data"],
        "satellites": [{"name": "bupt-1", "keysSecret": "bupt-1-keys"}],
    }
}
KUBEEDGE_PORTS = {1883, 1884, 9060, 10350, 10550}
"""Of the MQTT brokers, the service bus, edged and the MetaServer."""


def daemons() -> list[Document]:
    return [one for one in rendered(SAID, VALUES) if one["kind"] == "DaemonSet"]


def containers(spec: Document) -> Iterator[Document]:
    yield from spec.get("initContainers", ())
    yield from spec["containers"]


@pytest.fixture(params=["orbitloop-local-controller", "orbitloop-satellite-bupt-1"])
def spec(request: pytest.FixtureRequest) -> Document:
    """The pod of each kind of satellite: with keys of the node, and with keys of a Secret."""
    return pod_specs(daemons())[request.param]


def test_everything_on_board_is_of_a_daemonset() -> None:
    """Pods of a Deployment are evicted 300 s after a loss of signal, and those of a DaemonSet never."""
    on_board = {
        name
        for name, spec in pod_specs(rendered(SAID, VALUES)).items()
        if "node-role.kubernetes.io/edge" in spec.get("nodeSelector", {})
    }
    assert on_board == {one["metadata"]["name"] for one in daemons()} != set()


def test_it_waits_out_any_loss_of_signal(spec: Document) -> None:
    assert not [one for one in spec["tolerations"] if "tolerationSeconds" in one]
    assert {"key": "node-role.kubernetes.io/edge", "operator": "Exists"} in spec["tolerations"]


def test_it_has_no_token_for_a_node_that_starts_out_of_contact_could_not_fetch_one(spec: Document) -> None:
    assert spec["automountServiceAccountToken"] is False
    assert not {"serviceAccount", "serviceAccountName"} & spec.keys()
    assert not [volume for volume in spec["volumes"] if "projected" in volume]


def test_it_asks_no_service_and_no_cluster_dns(spec: Document) -> None:
    assert (spec["hostNetwork"], spec["dnsPolicy"], spec["enableServiceLinks"]) == (True, "Default", False)
    config = only(rendered(SAID, VALUES), "ConfigMap", "orbitloop-local-controller")
    said = json.dumps(spec) + json.dumps(config["data"])
    assert ".svc" not in said
    assert "KUBERNETES_" not in said


def test_its_name_is_the_node_s_or_was_written(spec: Document) -> None:
    """The host's name is not the node's."""
    fields = {
        entry["valueFrom"]["fieldRef"]["fieldPath"]
        for one in containers(spec)
        for entry in one.get("env", ())
        if "valueFrom" in entry
    }
    assert fields <= {"spec.nodeName"}
    [told] = [entry for one in containers(spec) for entry in one.get("env", ()) if entry["name"] == "SATELLITE"]
    assert told.get("value") == "bupt-1" or "valueFrom" in told


def test_probes_ask_the_node_itself(spec: Document) -> None:
    """Probes by exec and by HTTP were seen to work."""
    [controller] = spec["containers"]
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = controller[name]
        assert "exec" in probe or probe["httpGet"]["host"] == "127.0.0.1"


def test_volumes_are_such_as_come_back_without_the_cloud(spec: Document) -> None:
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "emptyDir", "hostPath", "secret"}


def test_what_lasts_is_in_folders_of_the_node(spec: Document) -> None:
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume}
    assert {"/var/lib/orbitloop", "/var/lib/orbitloop-frames", "/data"} <= set(paths.values())


def test_nothing_that_a_pass_brings_comes_by_a_configmap() -> None:
    """A changed ConfigMap reaches a pod only a minute or two after KubeEdge has noticed that the link is back."""
    config = only(rendered(SAID, VALUES), "ConfigMap", "orbitloop-local-controller")
    assert config["data"].keys() == {"satellite.toml"}
    settings = config["data"]["satellite.toml"]
    assert "folder = " in settings
    assert not [word for word in ("digest", "weights", "threshold", "wanted") if word in settings]


def test_no_image_is_pulled_that_is_there_already(spec: Document) -> None:
    assert {one["imagePullPolicy"] for one in containers(spec)} <= {"IfNotPresent", "Never"}
    images = {one["image"] for one in containers(spec)}
    assert len(images) == 1
    [image] = images
    assert not image.endswith(":latest")
    assert ":" in image


def test_no_port_of_kubeedge_is_taken(spec: Document) -> None:
    ports = {port["containerPort"] for one in containers(spec) for port in one.get("ports", ())}
    assert not ports & KUBEEDGE_PORTS


def test_a_testbed_has_to_say_where_satellites_find_the_gateway() -> None:
    assert "localController.stations" in refusal({}, VALUES)


def test_satellites_reach_the_gateway_by_a_port_of_a_cloud_node() -> None:
    service = only(rendered(SAID, VALUES), "Service", "orbitloop-gateway")["spec"]
    assert service["type"] == "NodePort"
    assert "nodePort" in service["ports"][0]


def test_the_values_are_whole_but_for_the_stations() -> None:
    told: dict[str, Any] = yaml.safe_load((CHART / VALUES).read_text())
    assert told["localController"]["enabled"] is True
    assert "stations" not in told["localController"]


def test_the_walk_s_own_values_are_taken() -> None:
    [written] = re.findall(r"```yaml\n# my-values.yaml\n(.*?)```", WALK.read_text(), re.DOTALL)
    documents = rendered(yaml.safe_load(written), VALUES)
    config = only(documents, "ConfigMap", "orbitloop-local-controller")["data"]
    assert config["passes.csv"].startswith("station,aos,los\n")
    assert 'gateway = "https://192.0.2.10:30400"' in config["satellite.toml"]
