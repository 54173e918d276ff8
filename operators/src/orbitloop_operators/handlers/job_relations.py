"""Which jobs are to be looked at again because an object changed: asked for every change, so one scan each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orbitloop_operators.handlers.changes import Document, Key, View
from orbitloop_operators.handlers.job_scene import SEDNA, names_of_satellites
from orbitloop_operators.handlers.node_reports import reporting_node
from orbitloop_operators.handlers.nodes import satellites_on
from orbitloop_operators.handlers.worker_groups import WORKER_LABEL

KIND = "IncrementalLearningJob"
_NAME_LABEL = "incrementallearningjob.sedna.io/name"
_Place = tuple[str, str]
"""Namespace and name."""


def jobs_that_see(document: Document, view: View) -> Iterator[Key]:
    """Jobs that a document is, owns, is named by, or says something about; some twice."""
    metadata = document["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    yield from _owners(metadata)
    match document["kind"]:
        case "IncrementalLearningJob":
            yield Key.of(document)
        case "Dataset":
            jobs = view.all(SEDNA, KIND, namespace)
            yield from (Key.of(job) for job in jobs if _name(_spec(job).get("dataset")) == name)
        case "Model":
            jobs = view.all(SEDNA, KIND, namespace)
            yield from (Key.of(job) for job in jobs if name in _models(_spec(job)))
        case "Satellite":
            yield from _at_node(_spec(document).get("nodeName"), {(namespace, name)}, view)
        case _ if (node := reporting_node(document)) is not None:
            yield from _at_node(node, {_place(one) for one in satellites_on(view, node)}, view)
            for pod in view.all("v1", "Pod"):
                if _spec(pod).get("nodeName") == node:
                    yield from _owners(pod["metadata"])
        case _:
            pass


def _at_node(node: object, satellites: set[_Place], view: View) -> Iterator[Key]:
    """Jobs whose samples are on a node, or whose model flies on one of the satellites."""
    datasets = {_place(one) for one in view.all(SEDNA, "Dataset") if _spec(one).get("nodeName") == node}
    for job in view.all(SEDNA, KIND):
        metadata = job["metadata"]
        namespace, annotations = metadata.get("namespace", ""), metadata.get("annotations")
        flies_on = names_of_satellites(annotations) if annotations else ()
        is_on_node = (namespace, _name(_spec(job).get("dataset"))) in datasets
        if is_on_node or any((namespace, name) in satellites for name in flies_on):
            yield Key.of(job)


def _owners(metadata: Mapping[str, Any]) -> Iterator[Key]:
    """Jobs that own an object, or had it made, as its labels say."""
    namespace, labels = metadata.get("namespace", ""), metadata.get("labels") or {}
    names = [
        owner["name"]
        for owner in metadata.get("ownerReferences") or ()
        if owner.get("kind") == KIND and owner.get("apiVersion") == SEDNA
    ]
    if WORKER_LABEL in labels and _NAME_LABEL in labels:
        names.append(labels[_NAME_LABEL])
    yield from (Key(api_version=SEDNA, kind=KIND, namespace=namespace, name=name) for name in names)


def _spec(document: Document) -> Mapping[str, Any]:
    spec: Mapping[str, Any] = document.get("spec") or {}
    return spec


def _models(spec: Mapping[str, Any]) -> tuple[str, ...]:
    evaluation, deployment = spec.get("evalSpec") or {}, spec.get("deploySpec") or {}
    named = (spec.get("initialModel"), evaluation.get("initialEvalModel"), deployment.get("model"))
    return tuple(_name(one) for one in named)


def _name(reference: Any) -> str:
    return str(reference.get("name", "")) if isinstance(reference, Mapping) else ""


def _place(document: Document) -> _Place:
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
