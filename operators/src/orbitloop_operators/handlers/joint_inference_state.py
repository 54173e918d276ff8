"""How a JointInferenceService is: what its Deployments say, and whether the edge can be heard at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orbitloop_operators.handlers.changes import Document, View
from orbitloop_operators.handlers.joint_inference_objects import APP_LABEL, EDGE, Joint, deployment_name
from orbitloop_operators.handlers.nodes import is_in_cluster, is_ready, satellites_on
from orbitloop_operators.handlers.service_conditions import FAILED, State

_PENDING = "Pending"
_STOPPED = ("ReplicaFailure", "Progressing")
"""Conditions of a Deployment that say why it does not go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """How the workers are, together.

    Args:
        state: of the service.
        active: workers that are available.
        failed: Deployments that do not go on.
    """

    state: State
    active: int
    failed: int


def joint_state(joint: Joint, running: Mapping[str, Document | None], view: View) -> Workers:
    """How the service is, by its Deployments; a failure that is mended is over, and silence is no failure.

    Args:
        running: the Deployment of each role, once it is there.
    """
    active = {role: _available(one) for role, one in running.items()}
    waiting = None if active[EDGE] else _out_of_touch(joint, view)
    stopped = {
        role: why
        for role, one in running.items()
        if not active[role] and not (role == EDGE and waiting) and (why := _why_stopped(one))
    }
    return Workers(
        state=_state(joint, active, waiting, stopped), active=sum(active.values()), failed=len(stopped)
    )  # fmt: skip


def _state(joint: Joint, active: Mapping[str, int], waiting: State | None, stopped: Mapping[str, str]) -> State:
    if stopped:
        role, why = next(iter(stopped.items()))
        app = f"{APP_LABEL}={joint.owner.name}-{role.capitalize()}-svc"
        name = deployment_name(joint.owner.name, role)
        message = f"Deployment {name}: {why}; kubectl describe pods -l {app} says what its pods lack"
        return State(type=FAILED, reason="WorkerFailed", message=message)
    if waiting is not None:
        return waiting
    pending = [role for role, count in active.items() if not count]
    if pending:
        message = f"the {' and the '.join(pending)} worker is not available yet"
        return State(type=_PENDING, reason="Starting", message=message)
    return State(type="Running", reason="Available", message="both workers are available")


def _available(deployment: Document | None) -> int:
    return int(((deployment or {}).get("status") or {}).get("availableReplicas") or 0)


def _why_stopped(deployment: Document | None) -> str:
    """Why a Deployment does not go on; empty if it does."""
    conditions = {one["type"]: one for one in ((deployment or {}).get("status") or {}).get("conditions") or ()}
    for kind, bad in zip(_STOPPED, ("True", "False"), strict=True):
        condition = conditions.get(kind)
        if condition is not None and condition.get("status") == bad:
            return f"{condition.get('reason', kind)}: {condition.get('message', '')}".rstrip(": ")
    return ""


def _out_of_touch(joint: Joint, view: View) -> State | None:
    """Why nothing can be known of the edge worker; ``None`` if its node, or one that it may be on, is in touch."""
    template: Mapping[str, Any] = joint.spec.edge_worker.template.get("spec") or {}
    node = template.get("nodeName")
    if node:
        return _silence_of(str(node), view)
    selector = template.get("nodeSelector")
    if not selector:
        return None
    nodes = [str(one["metadata"]["name"]) for one in view.all("v1", "Node") if _has(one, selector)]
    if not nodes:
        wanted = ", ".join(f"{label}={value}" for label, value in sorted(selector.items()))
        message = f"no node has the labels {wanted} of edgeWorker.template.spec.nodeSelector; label one"
        return State(type=_PENDING, reason="NoNode", message=message, is_wrong=True)
    silent = [state for one in nodes if (state := _silence_of(one, view)) is not None]
    return silent[0] if len(silent) == len(nodes) else None


def _silence_of(node: str, view: View) -> State | None:
    satellites = satellites_on(view, node)
    if is_ready(view, node):
        return None
    if satellites:
        name = satellites[0]["metadata"]["name"]
        remedy = f"kubectl get satellite {name} says when it can be heard"
    elif is_in_cluster(view, node):
        remedy = "connect it again if it should be in touch"
    else:
        message = (
            f"edgeWorker.template.spec.nodeName: there is no node {node}; correct the name (kubectl get nodes shows "
            "them), or join the node to the cluster"
        )
        return State(type=_PENDING, reason="UnknownNode", message=message, is_wrong=True)
    message = f"node {node} is out of contact, and its worker goes on by itself; {remedy}"
    return State(type=_PENDING, reason="WaitingForContact", message=message)


def _has(node: Document, selector: Mapping[str, Any]) -> bool:
    labels = node["metadata"].get("labels") or {}
    return all(labels.get(label) == value for label, value in selector.items())
