"""The cluster itself: nodes, what they are called and allowed, and the images in them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hack.images.docker import Failed
from hack.kind.programs import CLUSTER, GROUND, Programs

_EDGE = "node-role.kubernetes.io/edge"
_LEAST_SPACE = 12 * 10**9
"""Bytes of the disk that nodes and images take, about."""


def exists(programs: Programs) -> bool:
    """Whether there is a cluster of ours."""
    return CLUSTER in programs.run(programs.kind, "get", "clusters").split()


def identity(programs: Programs) -> str:
    """What tells this cluster from others of its name."""
    return programs.kube("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")


def satellites(programs: Programs) -> list[str]:
    """The satellites' nodes, in their order."""
    nodes = programs.run(programs.kind, "get", "nodes", "--name", CLUSTER).split()
    return sorted((node for node in nodes if node.startswith(f"{CLUSTER}-worker")), key=lambda node: (len(node), node))


def create(programs: Programs, *, image: str | None, satellites: int) -> None:
    """One node for the ground, one for each satellite. Raises :class:`Failed`."""
    _check_space(programs)
    nodes = [{"role": "control-plane"}, *({"role": "worker"} for _ in range(satellites))]
    config = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": CLUSTER,
        "networking": {"ipFamily": "ipv4", "apiServerAddress": "127.0.0.1"},
        "nodes": nodes,
    }
    command = [programs.kind, "create", "cluster", "--config", "-", "--kubeconfig", str(programs.kubeconfig)]
    if image:
        command += ["--image", image]
    programs.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    try:
        programs.run(*command, "--wait", "180s", given=json.dumps(config), seconds=900)
    except KeyboardInterrupt:
        delete(programs)
        raise
    except Failed as error:
        delete(programs)
        raise Failed(f"{error}; nothing of the cluster was left") from None


def delete(programs: Programs) -> None:
    """Take the cluster away; whether it was there does not matter."""
    programs.run(programs.kind, "delete", "cluster", "--name", CLUSTER, "--kubeconfig", str(programs.kubeconfig))


def name_credentials(programs: Programs) -> None:
    """Write how the cluster is reached into the kubeconfig, again."""
    programs.run(programs.kind, "export", "kubeconfig", "--name", CLUSTER, "--kubeconfig", str(programs.kubeconfig))


def give_roles(programs: Programs, satellites: Sequence[str]) -> None:
    """Labels as KubeEdge sets them, and a taint that keeps the ground's work on the ground. Idempotent.

    The kubelet may not set these labels itself, and so they cannot stand in kind's configuration.
    """
    for node in satellites:
        programs.kube("label", "node", node, "--overwrite", f"{_EDGE}=", "node-role.kubernetes.io/agent=")
        programs.kube("taint", "node", node, "--overwrite", f"{_EDGE}=:NoSchedule")
    for role in ("master", "control-plane"):
        key = f"node-role.kubernetes.io/{role}"
        if key in programs.kube("get", "node", GROUND, "-o", "jsonpath={.spec.taints[*].key}").split():
            programs.kube("taint", "node", GROUND, f"{key}-")
    for pod in _strays(programs, satellites):
        programs.kube("-n", pod["metadata"]["namespace"], "delete", "pod", pod["metadata"]["name"], "--wait=false")


def _strays(programs: Programs, satellites: Sequence[str]) -> list[dict[str, Any]]:
    """Pods of Deployments that came to a satellite before its taint did, the cluster's DNS for one."""
    pods = json.loads(programs.kube("get", "pods", "-A", "-o", "json"))["items"]
    return [
        pod
        for pod in pods
        if pod["spec"].get("nodeName") in satellites
        and any(owner["kind"] == "ReplicaSet" for owner in pod["metadata"].get("ownerReferences", ()))
    ]


def wait_until_ready(programs: Programs) -> None:
    """Nodes, network and DNS. Raises :class:`Failed`."""
    programs.kube("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=180s")
    for what in ("daemonset/kindnet", "daemonset/kube-proxy", "deployment/coredns"):
        programs.kube("-n", "kube-system", "rollout", "status", what, "--timeout=180s")


def load(programs: Programs, images: Sequence[str], nodes: Sequence[str]) -> bool:
    """Bring images from Docker into nodes that lack them; whether any did. Raises :class:`Failed` if Docker does."""
    for image in images:
        if not programs.asks(programs.docker, "image", "inspect", image):
            raise Failed(f"Docker has no image {image}; run `make images`")
    lacking = [image for image in images if not all(_has(programs, node, image) for node in nodes)]
    if not lacking:
        return False
    names = ",".join(nodes)
    programs.run(programs.kind, "load", "docker-image", *lacking, "--name", CLUSTER, "--nodes", names, seconds=1200)
    return True


def _has(programs: Programs, node: str, image: str) -> bool:
    wanted = programs.run(programs.docker, "image", "inspect", "-f", "{{.Id}}", image).strip()
    name = image if "/" in image else f"docker.io/library/{image}"
    return wanted in programs.inside(node, f"crictl inspecti {name} 2>/dev/null || true")


def _check_space(programs: Programs) -> None:
    root = Path(programs.run(programs.docker, "info", "-f", "{{.DockerRootDir}}").strip())
    seen = root if root.is_dir() else Path(tempfile.gettempdir())
    if (free := shutil.disk_usage(seen).free) < _LEAST_SPACE:
        raise Failed(
            f"{seen} has {free / 1e9:.1f} GB free, and nodes and images take up to {_LEAST_SPACE / 1e9:.0f} GB; "
            "free some (docker system prune removes what nobody uses)"
        )
