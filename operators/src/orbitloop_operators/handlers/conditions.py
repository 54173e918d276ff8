"""Conditions in the form that Kubernetes itself uses, and the status around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from orbitloop.domain.errors import BadInput, Refused
from orbitloop_operators.handlers.changes import Changes, Document, Notice, Severity

READY = "Ready"
_LONGEST_MESSAGE = 1024
"""Characters of a message; an Event takes no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is found of one condition.

    Args:
        type: its type, in camel case.
        holds: whether it does; ``None``: nobody knows yet.
        reason: why, one word in camel case.
        message: why, for people, with what to do where something is to be done. Says nothing that changes by itself.
        is_routine: it comes and goes, and nobody has to be told.
    """

    type: str = READY
    holds: bool | None
    reason: str
    message: str = ""
    is_routine: bool = False


def stamp(moment: datetime) -> str:
    """A moment as Kubernetes writes it: UTC, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def conditioned(
    document: Document,
    fields: Mapping[str, Any],
    findings: Sequence[Finding],
    now: datetime,
    again: timedelta | None = None,
) -> Changes:
    """The whole status: ``fields`` without those that are ``None``, and a condition for every finding.

    A condition keeps the time of its last transition while its status stays. Conditions of other types stay. There is
    an Event for what does not hold, once as long as it is said in the same words, and one for what holds again.
    """
    before = _by_type(document)
    made = {finding.type: _condition(document, finding, before.get(finding.type), now) for finding in findings}
    others = [condition for kind, condition in before.items() if kind not in made]
    status = {name: value for name, value in fields.items() if value is not None}
    status |= {"conditions": [*made.values(), *others]} | generation_of(document)
    told = (_notice(finding, made[finding.type], before.get(finding.type)) for finding in findings)
    return Changes(status=status, notices=tuple(notice for notice in told if notice is not None), again=again)


def refusal(document: Document, error: Refused, now: datetime) -> Changes:
    """An object that cannot be worked with: it is not ready, and says why; what else is known of it stays."""
    finding = Finding(holds=False, reason=reason_of(error), message=str(error))
    return conditioned(document, kept(document), [finding], now)


def kept(document: Document, *names: str) -> dict[str, Any]:
    """Fields of the status as they are: these, or all but the conditions."""
    status = document.get("status") or {}
    if names:
        return {name: status.get(name) for name in names}
    return {name: value for name, value in status.items() if name not in {"conditions", "observedGeneration"}}


def still_said(document: Document, *reasons: str, kind: str = READY) -> Finding | None:
    """What a condition says of the present spec, if it is for one of these reasons."""
    shown = _by_type(document).get(kind)
    if shown is None or shown.get("reason") not in reasons:
        return None
    if shown.get("observedGeneration") != document["metadata"].get("generation"):
        return None
    holds = {"True": True, "False": False}.get(shown["status"])
    return Finding(type=kind, holds=holds, reason=shown["reason"], message=shown.get("message", ""))


def _by_type(document: Document) -> dict[str, Document]:
    return {condition["type"]: condition for condition in (document.get("status") or {}).get("conditions") or ()}


def generation_of(document: Document) -> dict[str, int]:
    """``observedGeneration`` of a status that is about the present spec."""
    generation = document["metadata"].get("generation")
    return {} if generation is None else {"observedGeneration": generation}


def _condition(document: Document, finding: Finding, before: Document | None, now: datetime) -> Document:
    status = {True: "True", False: "False", None: "Unknown"}[finding.holds]
    since = before.get("lastTransitionTime") if before is not None and before.get("status") == status else None
    return {
        "type": finding.type,
        "status": status,
        "reason": finding.reason,
        "message": cut(finding.message),
        **generation_of(document),
        "lastTransitionTime": since or stamp(now),
    }


def _notice(finding: Finding, condition: Document, before: Document | None) -> Notice | None:
    """What is told of a condition that says something else than before."""
    if finding.is_routine:
        return None
    was = None if before is None else (before.get("status"), before.get("reason"), before.get("message"))
    if finding.holds is False and was != (condition["status"], condition["reason"], condition["message"]):
        return Notice(severity=Severity.WARNING, reason=finding.reason, message=condition["message"])
    if finding.holds and before is not None and before.get("status") == "False":
        message = condition["message"] or f"{finding.type} again"
        return Notice(severity=Severity.NORMAL, reason=finding.reason, message=message)
    return None


def reason_of(error: Refused) -> str:
    """The word for what was refused: what a user wrote is invalid, everything else has its own name."""
    return "Invalid" if isinstance(error, BadInput) else type(error).__name__


def cut(message: str) -> str:
    """A message that is no longer than an Event takes."""
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[: _LONGEST_MESSAGE - 1]}…"
