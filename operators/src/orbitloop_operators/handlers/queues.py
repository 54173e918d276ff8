"""Pods that wait until a queue of Kueue lets them start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

QUEUE = "kueue.x-k8s.io/queue-name"
"""Label of a job with the queue that its trainings and evaluations wait in."""
_GROUP = "kueue.x-k8s.io/pod-group-name"
_GROUP_SIZE = "kueue.x-k8s.io/pod-group-total-count"
_RETRIED = "kueue.x-k8s.io/retriable-in-group"
_GATED = "SchedulingGated"


def queue_of(metadata: Mapping[str, Any]) -> str:
    """The queue that a job names; empty: none."""
    return str((metadata.get("labels") or {}).get(QUEUE, ""))


def queued_labels(queue: str) -> dict[str, str]:
    """Labels of what waits in a queue."""
    return {QUEUE: queue} if queue else {}


def queued_pod(pod: Mapping[str, Any], queue: str, *, worker: str = "", size: int = 1) -> dict[str, Any]:
    """The pod, as Kueue lets it wait; the same, where there is no queue.

    Args:
        worker: that it is a part of, if that one is several pods: they start together, or not at all.
        size: how many these are.
    """
    if not queue:
        return dict(pod)
    metadata = dict(pod["metadata"])
    metadata["labels"] = {**(metadata.get("labels") or {}), **queued_labels(queue)}
    if worker:
        metadata["labels"][_GROUP] = worker
        told = {_GROUP_SIZE: str(size), _RETRIED: "false"}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **told}
    return {**pod, "metadata": metadata, "spec": _left_to_the_scheduler(pod["spec"])}


def is_held(pod: Mapping[str, Any]) -> bool:
    """Whether a queue still holds a pod back."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "PodScheduled" and one.get("reason") == _GATED for one in conditions)


def _left_to_the_scheduler(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The same node, by way of the scheduler: a pod that names its node can wait in no queue."""
    given = dict(spec)
    node = given.pop("nodeName", "")
    if not node:
        return given
    affinity = dict(given.get("affinity") or {})
    of_node = dict(affinity.get("nodeAffinity") or {})
    required = dict(of_node.get("requiredDuringSchedulingIgnoredDuringExecution") or {})
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms: list[dict[str, Any]] = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [{**term, "matchFields": [*term.get("matchFields", ()), field]} for term in terms]
    of_node["requiredDuringSchedulingIgnoredDuringExecution"] = required
    return given | {"affinity": affinity | {"nodeAffinity": of_node}}
