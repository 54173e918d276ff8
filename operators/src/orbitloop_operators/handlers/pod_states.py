"""What a worker's pod says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from orbitloop_operators.handlers.changes import Document

_LONGEST_REASON = 600
"""Characters of what a container says at its end that are passed on."""

_REMEDIES: Mapping[str, str] = {
    "ImagePullBackOff": "check the image's name, its registry, and imagePullSecrets in the template",
    "ErrImagePull": "check the image's name, its registry, and imagePullSecrets in the template",
    "ErrImageNeverPull": "load the image onto the node, or set imagePullPolicy in the template",
    "InvalidImageName": "correct the image's name in the template",
    "RegistryUnavailable": "the registry does not answer; it is asked again",
    "CreateContainerConfigError": "create the Secret or ConfigMap that it names, or correct the template",
    "CreateContainerError": "correct command, volumes or security settings in the template",
    "RunContainerError": "correct command, volumes or security settings in the template",
    "Unschedulable": "add such a node, or correct nodeName, nodeSelector or resources in the template",
}
"""What keeps a pod from starting, and what to do about it; it starts by itself once that is done."""

_ENDINGS: Mapping[str, str] = {
    "OOMKilled": "it took more memory than its limit; raise resources.limits.memory in the template",
    "Evicted": "its node lacked resources; free some, or set resources.requests in the template",
    "DeadlineExceeded": "it took longer than activeDeadlineSeconds in the template",
    "ContainerCannotRun": "correct its command in the template",
    "StartError": "correct its command in the template",
}
"""Why a container ended, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """It has not started yet, and nothing is known to be in its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """It cannot start until somebody does something; then it starts by itself.

    Args:
        reason: Kubernetes's word.
        message: what is wrong, and what to do.
        subject: only says that it is still so; ``message`` of an earlier time that has this in it says more.
    """

    reason: str
    message: str
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """It runs, or has been told to end and still does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """It ran, and runs no more.

    Args:
        well: all containers ended with 0.
        said: what its containers, but for those that run first, left as their last words.
        why: for people, where it did not end well.
        at: when; ``None`` where nothing says so.
    """

    well: bool
    said: tuple[str, ...] = ()
    why: str = ""
    at: datetime | None = None


PodState: TypeAlias = Pending | Blocked | Running | Ended


def pod_state(pod: Document) -> PodState:
    """What ``pod`` says of itself."""
    status = pod.get("status") or {}
    phase = status.get("phase", "Pending")
    if phase in {"Succeeded", "Failed"}:
        return _ended(pod, well=phase == "Succeeded")
    if phase in {"Running", "Unknown"}:
        return Running()
    return _blocked(pod) or Pending()


def is_leaving(pod: Document) -> bool:
    """Whether it was deleted, and is there until its containers have ended."""
    return "deletionTimestamp" in pod["metadata"]


def has_ended(pod: Document) -> bool:
    """Whether none of its containers runs, or ever will."""
    return isinstance(pod_state(pod), Ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A container that ends again and again, though it should run for good.

    Args:
        message: why it ended last.
        steady_after: it counts as steady if it runs that much longer; ``None``: it does not run now.
    """

    message: str
    steady_after: timedelta | None = None


def crash_of(pod: Document, now: datetime) -> Crash | None:
    """The first container of a pod that does not run steadily; the same is said of it while it comes and goes."""
    for container in _containers(pod):
        last = (container.get("lastState") or {}).get("terminated") or {}
        message = f"container {container.get('name', '')} ends again and again: {_ending(last)}"
        if _waiting(container).get("reason") == "CrashLoopBackOff":
            return Crash(message=message)
        began = moment_of(((container.get("state") or {}).get("running") or {}).get("startedAt"))
        if last.get("exitCode", 0) != 0 and began is not None and now < began + _STEADY:
            return Crash(message=message, steady_after=began + _STEADY - now)
    return None


_STEADY = timedelta(minutes=10)
"""Longer than the kubelet rests between two starts."""
_BETWEEN_PULLS = "ImagePullBackOff"


def _blocked(pod: Document) -> Blocked | None:
    for container in _containers(pod):
        waiting = _waiting(container)
        reason = str(waiting.get("reason", ""))
        if reason in _REMEDIES:
            told = _cut(str(waiting.get("message", "")))
            image = container.get("image", "")
            subject = f"container {container.get('name', '')} (image {image})"
            return Blocked(
                reason=reason,
                message=f"{subject}: {reason}{f': {told}' if told else ''}; {_REMEDIES[reason]}",
                subject=subject if reason == _BETWEEN_PULLS else "",
            )
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            told = _cut(str(condition.get("message", "")))
            return Blocked(reason="Unschedulable", message=f"no node takes it: {told}; {_REMEDIES['Unschedulable']}")
    return None


def _ended(pod: Document, *, well: bool) -> Ended:
    status = pod.get("status") or {}
    ends = [end for one in _containers(pod) if (end := _end(one))]
    said = tuple(
        str(end["message"]) for one in status.get("containerStatuses") or () if (end := _end(one)).get("message")
    )
    at = max((moment for end in ends if (moment := moment_of(end.get("finishedAt")))), default=None)
    if well:
        return Ended(well=True, said=said, at=at)
    bad = [end for end in ends if end.get("exitCode", 0) != 0]
    if bad:
        return Ended(well=False, said=said, at=at, why=_ending(bad[0]))
    reason, message = str(status.get("reason", "")), _cut(str(status.get("message", "")))
    parts = [part for part in (reason, message, _ENDINGS.get(reason, "")) if part]
    return Ended(well=False, said=said, at=at, why=": ".join(parts) or "it failed without a reason")


def _ending(end: Mapping[str, Any]) -> str:
    """Why a container ended, for people."""
    reason, code = str(end.get("reason", "")), end.get("exitCode")
    head = f"exit code {code}" if reason in {"", "Error", "Completed"} else f"{reason}, exit code {code}"
    told = _ENDINGS.get(reason) or _cut(str(end.get("message", "")))
    return f"{head}: {told}" if told else f"{head}; its log says more: kubectl logs"


def _containers(pod: Document) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _waiting(container: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (container.get("state") or {}).get("waiting") or {}
    return found


def _end(container: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (container.get("state") or {}).get("terminated") or {}
    return found


def _cut(text: str) -> str:
    """The end of a long text: a traceback says at its end what happened."""
    lean = " ".join(text.split())
    return lean if len(lean) <= _LONGEST_REASON else f"…{lean[-_LONGEST_REASON:]}"


def moment_of(text: object) -> datetime | None:
    """A time as Kubernetes writes it."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
