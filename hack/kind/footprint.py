"""What our pods take of memory while they idle, by the kubelets' own count."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hack.images.docker import Failed
from hack.kind.programs import GROUND, Programs
from hack.kind.site import NAMESPACE


@dataclass(frozen=True, slots=True, kw_only=True)
class PodMemory:
    """Working set of a pod, in bytes."""

    node: str
    pod: str
    size: int


_PATIENCE_S = 30


def settled_footprint(programs: Programs, satellites: Sequence[str]) -> list[PodMemory]:
    """The same, once the kubelets have counted every pod that has just begun; what they have not by then is 0."""
    until = time.monotonic() + _PATIENCE_S
    found = footprint(programs, satellites)
    while not all(one.size for one in found) and time.monotonic() < until:
        time.sleep(1)
        found = footprint(programs, satellites)
    return found


def footprint(programs: Programs, satellites: Sequence[str]) -> list[PodMemory]:
    """Our pods on every node that can be asked now: a satellite out of contact cannot, nor one without a kubelet."""
    found = []
    for node in [GROUND, *satellites]:
        try:
            summary = json.loads(programs.kube("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary", seconds=60))
        except Failed:
            continue
        found += [
            PodMemory(node=node, pod=pod["podRef"]["name"], size=int(pod.get("memory", {}).get("workingSetBytes", 0)))
            for pod in summary["pods"]
            if pod["podRef"]["namespace"] == NAMESPACE
        ]
    return sorted(found, key=lambda one: (one.node, one.pod))
