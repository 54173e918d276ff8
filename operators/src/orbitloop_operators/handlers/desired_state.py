"""What is wanted of nodes that the cluster does not reach: the state that each finds at the ground's gateway."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orbitloop_operators.handlers.changes import Document, Key, View
from orbitloop_operators.handlers.dataset import ANNOTATIONS
from orbitloop_operators.handlers.stage_pods import HOT_UPDATE, hot_update_folder

_SEDNA, _ORBITLOOP = "sedna.io/v1alpha1", "orbitloop.io/v1alpha1"
_VERSION = 1


def desired_state(node: str, view: View) -> Document:
    """What is wanted of ``node`` now: the datasets to watch, and the models to keep at what flies there."""
    return desired_states(view).get(node) or _Wanted().of(node)


def desired_states(view: View) -> Mapping[str, Document]:
    """The same of every node that a Dataset, a Satellite or a job on satellites names, by node."""
    nodes: dict[str, _Wanted] = defaultdict(_Wanted)
    for satellite in view.all(_ORBITLOOP, "Satellite"):
        nodes.setdefault(_node_of(satellite), _Wanted())
    for dataset in view.all(_SEDNA, "Dataset"):
        nodes[_node_of(dataset)].datasets |= _watched(dataset)
    for job in view.all(_SEDNA, "IncrementalLearningJob"):
        served = _served(job, view)
        for node in _nodes_with(job) if served else ():
            nodes[node].models |= served
    return {node: wanted.of(node) for node, wanted in sorted(nodes.items()) if node}


def encoded(state: Document) -> bytes:
    """The state as it crosses the link: the same state, the same bytes."""
    return json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(slots=True, kw_only=True)
class _Wanted:
    datasets: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)

    def of(self, node: str) -> Document:
        state = {"version": _VERSION, "node": node, "datasets": self.datasets}
        return state | ({"models": self.models} if self.models else {})


def _watched(dataset: Document) -> dict[str, Any]:
    spec = dataset.get("spec") or {}
    if str(spec.get("format", "")).lower() == ANNOTATIONS:
        return {}
    return {_name_of(dataset): {name: str(spec.get(name, "")) for name in ("url", "format")}}


def _nodes_with(job: Document) -> list[str]:
    """The nodes of the satellites that fly the job's model."""
    said = job.get("status")
    satellites = said.get("satellites") if isinstance(said, Mapping) else None
    return [str(one.get("node") or "") for one in satellites or () if isinstance(one, Mapping)]


def _served(job: Document, view: View) -> dict[str, Any]:
    """The file that the job's inference workers load, unless its Model is not there."""
    namespace, name = job["metadata"].get("namespace", ""), job["metadata"]["name"]
    deploy = ((job.get("spec") or {}).get("deploySpec") or {}).get("model") or {}
    model = view.get(Key(api_version=_SEDNA, kind="Model", namespace=namespace, name=str(deploy.get("name"))))
    if model is None:
        return {}
    spec = model.get("spec") or {}
    file: dict[str, Any] = {part: str(spec.get(part, "")) for part in ("url", "format")}
    if deploy.get("hotUpdateEnabled"):
        file["hotUpdate"] = {"folder": hot_update_folder(namespace, name), "seenAt": HOT_UPDATE}
    return {_name_of(job): file}


def _name_of(document: Document) -> str:
    metadata = document["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"


def _node_of(document: Document) -> str:
    """Empty where it names none, which its own reconciler says."""
    spec = document.get("spec")
    return str(spec.get("nodeName") or "") if isinstance(spec, Mapping) else ""
