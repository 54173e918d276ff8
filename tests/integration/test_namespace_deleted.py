"""A namespace that is deleted takes its jobs with it, and disturbs no other."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml
from tests.control_plane import Cluster
from tests.global_manager import Kubelet, global_manager, until

pytestmark = pytest.mark.timeout(300)

MANIFESTS = Path(__file__).parents[1] / "golden" / "manifests" / "incremental-learning.yaml"
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "edge-1"}}


def has_samples(cluster: Cluster, namespace: str, number: int) -> None:
    path = f"/apis/sedna.io/v1alpha1/namespaces/{namespace}/datasets/ships/status"
    cluster.patch(path, {"status": {"numberOfSamples": number}})


def trains(cluster: Cluster, namespace: str) -> list[str]:
    pods = Kubelet(cluster=cluster, namespace=namespace).pods()
    return [pod["metadata"]["name"] for pod in pods if "-train-" in pod["metadata"]["name"]]


def is_gone(cluster: Cluster, namespace: str) -> bool:
    """Whether a namespace is gone; its pods are let go, as their nodes would."""
    cluster.try_kubectl("-n", namespace, "delete", "pods", "--all", "--force", "--grace-period=0")
    return cluster.try_kubectl("get", "namespace", namespace).returncode != 0


def test_what_is_deleted_in_mid_round_is_gone_and_its_neighbour_goes_on(controlled: Cluster, tmp_path: Path) -> None:
    controlled.kubectl("apply", "-f", "-", said=json.dumps(NODE))
    documents = list(yaml.safe_load_all(MANIFESTS.read_text()))
    for document in documents:
        document["spec"].get("trainSpec", {}).get("trigger", {}).pop("timer", None)  # it trains at any hour
    with global_manager(controlled, tmp_path, "--lease-name", "deleted") as manager:
        for namespace in ("doomed", "neighbour"):
            controlled.kubectl("create", "namespace", namespace)
            for document in copy.deepcopy(documents):
                controlled.kubectl("-n", namespace, "apply", "-f", "-", said=json.dumps(document))
        has_samples(controlled, "doomed", 2_000)
        until(lambda: bool(trains(controlled, "doomed")), "the first one trained", manager.log.read_text)
        controlled.kubectl("delete", "namespace", "doomed", "--wait=false")
        has_samples(controlled, "neighbour", 2_000)
        until(lambda: bool(trains(controlled, "neighbour")), "its neighbour trained", manager.log.read_text)
        until(lambda: is_gone(controlled, "doomed"), "the namespace was gone", manager.log.read_text)
        assert manager.process is not None
        assert manager.process.poll() is None
        assert 'outcome="broke"' not in manager.metrics()
