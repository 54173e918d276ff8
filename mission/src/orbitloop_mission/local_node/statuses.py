"""The status of a pod, as a kubelet writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias, assert_never

from orbitloop_operators.handlers.changes import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """It does not run yet, or not again yet."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """It runs since then."""

    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    """It has ended.

    Args:
        code: exit code.
        signal: that ended it; 0: none.
        reason: in the kubelet's words: Completed, Error, StartError.
        message: its last words.
    """

    code: int
    signal: int
    reason: str
    message: str
    began: datetime
    ended: datetime


State: TypeAlias = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """How a container is.

    Args:
        restarts: how often it was started again.
        last: how it ended before that.
    """

    name: str
    image: str
    state: State
    restarts: int = 0
    last: Terminated | None = None

    def now(self, state: State) -> ContainerState:
        """The same container in another state; its last end is kept."""
        ended = self.state if isinstance(self.state, Terminated) else self.last
        again = isinstance(state, Running) and ended is not None
        return replace(self, state=state, last=ended, restarts=self.restarts + (1 if again else 0))

    @property
    def is_good(self) -> bool:
        """Whether it ended well."""
        return isinstance(self.state, Terminated) and self.state.code == 0

    def document(self, *, first: bool) -> Document:
        """As the pod's status has it; of init containers (``first``) those that ended well are ready."""
        ready = self.is_good if first else isinstance(self.state, Running)
        return {
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "ready": ready,
            "started": isinstance(self.state, Running),
            "restartCount": self.restarts,
            "state": _state(self.state),
            "lastState": {} if self.last is None or self.last is self.state else _state(self.last),
        }


def states_of(pod: Document) -> dict[str, ContainerState]:
    """Where the containers of a pod begin: anew, with what its status says of them counted.

    A container that ran when its node stopped has ended with that.
    """
    status = pod.get("status") or {}
    known = {
        entry["name"]: entry
        for part in ("initContainerStatuses", "containerStatuses")
        for entry in status.get(part) or ()
    }
    spec = pod["spec"]
    return {
        one["name"]: ContainerState(
            name=one["name"],
            image=one["image"],
            state=Waiting(reason="PodInitializing" if spec.get("initContainers") else "ContainerCreating"),
            restarts=_restarts(known.get(one["name"], {})),
        )
        for one in [*(spec.get("initContainers") or ()), *spec["containers"]]
    }


def _restarts(known: Mapping[str, Any]) -> int:
    ran = bool(known.get("state", {}).keys() & {"running", "terminated"})
    return int(known.get("restartCount", 0)) + (1 if ran else 0)


def status_of(pod: Document, states: Mapping[str, ContainerState], phase: str, now: datetime) -> dict[str, Any]:
    """The whole status."""
    spec, before = pod["spec"], pod.get("status") or {}
    first = [states[one["name"]] for one in spec.get("initContainers") or ()]
    main = [states[one["name"]] for one in spec["containers"]]
    initialized = all(state.is_good for state in first)
    ready = all(isinstance(state.state, Running) for state in main)
    facts = (("Initialized", initialized), ("Ready", ready), ("ContainersReady", ready), ("PodScheduled", True))
    made: dict[str, Any] = {
        "phase": phase,
        "conditions": _conditions(before.get("conditions") or (), facts, now),
        "hostIP": "127.0.0.1",
        "podIP": "127.0.0.1",
        "startTime": before.get("startTime") or stamp(now),
        "containerStatuses": [state.document(first=False) for state in main],
    }
    return made | ({"initContainerStatuses": [state.document(first=True) for state in first]} if first else {})


def _conditions(
    before: Sequence[Mapping[str, Any]], facts: Sequence[tuple[str, bool]], now: datetime
) -> list[dict[str, Any]]:
    known = {condition["type"]: condition for condition in before}
    made = []
    for kind, holds in facts:
        status = "True" if holds else "False"
        same = known.get(kind, {}).get("status") == status
        since = known[kind]["lastTransitionTime"] if same else stamp(now)
        made.append({"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since})
    return made


def phase_of(first: Sequence[ContainerState], main: Sequence[ContainerState], policy: str) -> str:
    """The phase of a pod, of whose containers those that end are started again as ``policy`` says."""
    if any(isinstance(one.state, Terminated) and not one.is_good for one in first) and policy == "Never":
        return "Failed"
    if not all(one.is_good for one in first):
        return "Pending"
    if all(isinstance(one.state, Terminated) for one in main) and policy != "Always":
        if all(one.is_good for one in main):
            return "Succeeded"
        if policy == "Never":
            return "Failed"
    if all(isinstance(one.state, Waiting) and one.last is None for one in main):
        return "Pending"
    return "Running"


def _state(state: State) -> dict[str, Any]:
    match state:
        case Waiting():
            return {"waiting": {"reason": state.reason} | ({"message": state.message} if state.message else {})}
        case Running():
            return {"running": {"startedAt": stamp(state.since)}}
        case Terminated():
            made: dict[str, Any] = {
                "exitCode": state.code,
                "reason": state.reason,
                "startedAt": stamp(state.began),
                "finishedAt": stamp(state.ended),
            }
            made |= {"signal": state.signal} if state.signal else {}
            return {"terminated": made | ({"message": state.message} if state.message else {})}
        case _:
            assert_never(state)


def stamp(moment: datetime) -> str:
    """A time as Kubernetes writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
