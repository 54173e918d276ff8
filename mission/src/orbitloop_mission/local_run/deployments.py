"""Deployments on one machine, which has room for one pod of each: of several, all would want the same ports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orbitloop.domain.errors import Refused
from orbitloop_mission.local_node.statuses import stamp
from orbitloop_operators.handlers.changes import Changes, Document, Key, View
from orbitloop_operators.handlers.pod_states import Blocked, crash_of, is_leaving, pod_state

KIND = ("apps/v1", "Deployment")
_MANY = 3
"""So many restarts are no accident."""
_AGAIN = timedelta(minutes=1)
"""A pod that has run steadily for a while says nothing of that itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployments:
    """The reconciler of Deployments, in the place of Kubernetes' own two."""

    def related(self, document: Document, view: View) -> Sequence[Key]:  # noqa: ARG002  # a Reconciler's
        """A Deployment itself, and the one that a pod belongs to."""
        if (document["apiVersion"], document["kind"]) == KIND:
            return [Key.of(document)]
        namespace = document["metadata"].get("namespace", "")
        return [
            Key(api_version=KIND[0], kind=KIND[1], namespace=namespace, name=owner["name"])
            for owner in document["metadata"].get("ownerReferences") or ()
            if (owner.get("apiVersion"), owner.get("kind")) == KIND
        ]

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:
        """One pod of the present template; those of others go first."""
        pods = {pod["metadata"]["name"]: pod for pod in view.owned(document["metadata"]["uid"], "v1", "Pod")}
        wanted = [_pod(document)] if document["spec"].get("replicas", 1) else []
        names = {pod["metadata"]["name"] for pod in wanted}
        others = [pod for name, pod in pods.items() if name not in names]
        create = [] if others else [pod for pod in wanted if pod["metadata"]["name"] not in pods]
        delete = tuple(Key.of(pod) for pod in others if not is_leaving(pod))
        present = [pods[name] for name in sorted(names) if name in pods]
        status = _status(document, present, now)
        return Changes(create=tuple(create), delete=delete, status=status, again=_AGAIN if present else None)

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """A pod cannot be made, and the Deployment says why."""
        failure = ("ReplicaFailure", True, "FailedCreate", str(error))
        return Changes(status={**_counts(document, []), "conditions": _conditions(document, [failure], now)})


def _pod(deployment: Document) -> dict[str, Any]:
    metadata, template = deployment["metadata"], deployment["spec"]["template"]
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
    owner = {"apiVersion": KIND[0], "kind": KIND[1], "name": metadata["name"], "uid": metadata["uid"]}
    own = template.get("metadata") or {}
    made = {
        "name": f"{metadata['name']}-{digest}",
        "namespace": metadata["namespace"],
        "labels": dict(own.get("labels") or {}),
        "annotations": dict(own.get("annotations") or {}),
        "ownerReferences": [{**owner, "controller": True}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": template["spec"]}


def _status(deployment: Document, pods: Sequence[Document], now: datetime) -> dict[str, Any]:
    stopped = next((why for pod in pods if (why := _stopped(pod, now))), "")
    ready = [pod for pod in pods if _is_ready(pod)]
    facts = [
        ("Available", bool(ready), "MinimumReplicasAvailable" if ready else "MinimumReplicasUnavailable", ""),
        ("Progressing", not stopped, "PodStopped" if stopped else "NewReplicaSetAvailable", stopped),
    ]
    return {**_counts(deployment, pods, len(ready)), "conditions": _conditions(deployment, facts, now)}


def _counts(deployment: Document, pods: Sequence[Document], ready: int = 0) -> dict[str, Any]:
    there = len(pods)
    return {
        "observedGeneration": deployment["metadata"].get("generation"),
        "replicas": there,
        "updatedReplicas": there,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": there - ready,
    }


def _stopped(pod: Document, now: datetime) -> str:
    """Why a pod does not get to run."""
    state = pod_state(pod)
    if isinstance(state, Blocked):
        return state.message
    restarts = [int(one.get("restartCount", 0)) for one in (pod.get("status") or {}).get("containerStatuses") or ()]
    crash = crash_of(pod, now)
    return crash.message if crash is not None and max(restarts, default=0) >= _MANY else ""


def _is_ready(pod: Document) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return not is_leaving(pod) and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _conditions(
    deployment: Document, facts: Sequence[tuple[str, bool, str, str]], now: datetime
) -> list[dict[str, Any]]:
    known = {one["type"]: one for one in (deployment.get("status") or {}).get("conditions") or ()}
    made = []
    for kind, holds, reason, message in facts:
        status = "True" if holds else "False"
        before = known.get(kind, {})
        since = before["lastTransitionTime"] if before.get("status") == status else stamp(now)
        made.append({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since})
    return made
