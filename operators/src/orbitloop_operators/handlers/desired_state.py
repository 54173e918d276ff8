"""What is wanted of nodes that the cluster does not reach: the state that each finds at the ground's gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orbitloop_operators.handlers.changes import Document, View

_SEDNA, _ORBITLOOP = "sedna.io/v1alpha1", "orbitloop.io/v1alpha1"
_VERSION = 1


def desired_state(node: str, view: View) -> Document:
    """What is wanted of ``node`` now: the datasets to watch, by ``NAMESPACE/NAME``."""
    return _state(node, [dataset for dataset in view.all(_SEDNA, "Dataset") if _node_of(dataset) == node])


def desired_states(view: View) -> Mapping[str, Document]:
    """The same of every node that a Dataset or a Satellite names, by node."""
    nodes: dict[str, list[Document]] = {}
    for satellite in view.all(_ORBITLOOP, "Satellite"):
        nodes.setdefault(_node_of(satellite), [])
    for dataset in view.all(_SEDNA, "Dataset"):
        nodes.setdefault(_node_of(dataset), []).append(dataset)
    return {node: _state(node, datasets) for node, datasets in sorted(nodes.items()) if node}


def encoded(state: Document) -> bytes:
    """The state as it crosses the link: the same state, the same bytes."""
    return json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _state(node: str, datasets: list[Document]) -> Document:
    return {"version": _VERSION, "node": node, "datasets": dict(_watched(dataset) for dataset in datasets)}


def _watched(dataset: Document) -> tuple[str, dict[str, Any]]:
    metadata, spec = dataset["metadata"], dataset.get("spec") or {}
    fields = {name: str(spec.get(name, "")) for name in ("url", "format")}
    return f"{metadata.get('namespace', '')}/{metadata['name']}", fields


def _node_of(document: Document) -> str:
    """Empty where it names none, which its own reconciler says."""
    spec = document.get("spec")
    return str(spec.get("nodeName") or "") if isinstance(spec, Mapping) else ""
