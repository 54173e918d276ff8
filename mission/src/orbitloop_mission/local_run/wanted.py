"""What a run puts into its cluster in memory: the manifests, nodes of every name, and nothing that was there before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from orbitloop.domain.errors import BadInput
from orbitloop_mission.manifests.reading import Manifest
from orbitloop_operators.adapters.admission import pod_specs
from orbitloop_operators.adapters.memory_cluster import MemoryCluster
from orbitloop_operators.handlers.changes import Document, Key

JOB = ("sedna.io/v1alpha1", "IncrementalLearningJob")
SERVICE = ("sedna.io/v1alpha1", "JointInferenceService")
CARRIED_OUT = (JOB, SERVICE)
TRANSFORMATION = ("orbitloop.io/v1alpha1", "ApplicationTransformation")
_SEDNA = "sedna.io/v1alpha1"
_DATA = {"Dataset", "Model"}
_READY = {"conditions": [{"type": "Ready", "status": "True", "reason": "ThisMachine"}]}
"""Status of a node that this machine plays."""


def check_wanted(manifests: Sequence[Manifest]) -> None:
    """Refuse manifests in which there is nothing to run.

    Raises:
        BadInput: no IncrementalLearningJob and no JointInferenceService is among them.
    """
    if not any((one.document["apiVersion"], one.document["kind"]) in CARRIED_OUT for one in manifests):
        place = manifests[0].place.rpartition(":")[0]
        raise BadInput(f"{place}: no {JOB[1]} and no {SERVICE[1]} in it; there is nothing to run")


def not_carried_out(manifests: Sequence[Manifest]) -> Iterator[str]:
    """What is said of objects that do nothing on one machine."""
    for manifest in manifests:
        version, kind = manifest.document["apiVersion"], manifest.document["kind"]
        name = manifest.document["metadata"]["name"]
        if version == _SEDNA and (version, kind) not in CARRIED_OUT and kind not in _DATA:
            yield f"{manifest.place}: {kind} {name} is not carried out: there are {JOB[1]} and {SERVICE[1]}"
        elif (version, kind) == TRANSFORMATION:
            yield f"{manifest.place}: {kind} {name} is not carried out; `orbitloop transform` does it on one machine"
        elif kind in {"Satellite", "SelectionLogic"}:
            yield f"{manifest.place}: {kind} {name} has no link here: what is to fly waits; see `orbitloop demo`"


def put_wanted(cluster: MemoryCluster, manifests: Sequence[Manifest], node: str) -> None:
    """Have the cluster hold what the manifests say, and what of earlier manifests they no longer say be gone.

    Args:
        node: this machine's own name; each other node that the manifests name is played too.

    Raises:
        Refused: an object is not what its kind allows.
    """
    wanted = {Key.of(manifest.document) for manifest in manifests}
    for version, kind in sorted({(key.api_version, key.kind) for key in wanted} | _kinds(cluster)):
        for document in cluster.all(version, kind):
            if Key.of(document) not in wanted and not document["metadata"].get("ownerReferences"):
                cluster.remove(Key.of(document), document["metadata"]["uid"])
    for name in sorted({node, *_nodes(manifests)}):
        cluster.apply(_node(name), status=_READY)
    for manifest in manifests:
        cluster.apply(manifest.document)


def _kinds(cluster: MemoryCluster) -> set[tuple[str, str]]:
    return {(key.api_version, key.kind) for key in cluster.places()} - {("v1", "Node"), ("v1", "Event")}


def _nodes(manifests: Sequence[Manifest]) -> Iterator[str]:
    for manifest in manifests:
        named = (manifest.document.get("spec") or {}).get("nodeName")
        specs = [spec.get("nodeName") for _, spec in pod_specs(manifest.document)]
        yield from (name for name in (named, *specs) if isinstance(name, str) and name)


def _node(name: str) -> Document:
    metadata: dict[str, Any] = {"name": name, "labels": {"kubernetes.io/hostname": name}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
