"""Nodes: of the cluster, in orbit, or both."""

from __future__ import annotations

from orbitloop_operators.handlers.changes import Document, Key, View
from orbitloop_operators.handlers.conditions import Finding
from orbitloop_operators.handlers.node_reports import reporting_node

SATELLITE = ("orbitloop.io/v1alpha1", "Satellite")
_NODE = ("v1", "Node")


def node_of(document: Document) -> str | None:
    """The node that an object says something about: a Node, a Satellite or a node's report; ``None`` for others."""
    match (document["apiVersion"], document["kind"]):
        case kind if kind == _NODE:
            return str(document["metadata"]["name"])
        case kind if kind == SATELLITE:
            return str((document.get("spec") or {}).get("nodeName", ""))
        case _:
            return reporting_node(document)


def is_in_cluster(view: View, node: str) -> bool:
    """Whether the cluster has a node of that name."""
    return view.get(Key(api_version="v1", kind="Node", namespace="", name=node)) is not None


def satellites_on(view: View, node: str) -> list[Document]:
    """The Satellites whose node this is, in whatever namespace."""
    return [one for one in view.all(*SATELLITE) if (one.get("spec") or {}).get("nodeName") == node]


def is_known(view: View, node: str) -> bool:
    """Whether the cluster has a node of that name, or a Satellite says that it has one."""
    return is_in_cluster(view, node) or bool(satellites_on(view, node))


def is_ready(view: View, node: str) -> bool:
    """Whether a node is in touch with the cluster now, as Kubernetes sees it."""
    document = view.get(Key(api_version="v1", kind="Node", namespace="", name=node))
    conditions = ((document or {}).get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def unknown_node(node: str) -> Finding:
    """Nobody knows a node that a spec names."""
    message = (
        f"spec.nodeName: there is no node {node}, and no Satellite has it as its node; correct the name (kubectl get "
        "nodes shows them), join the node to the cluster, or create its Satellite"
    )
    return Finding(holds=False, reason="UnknownNode", message=message)
