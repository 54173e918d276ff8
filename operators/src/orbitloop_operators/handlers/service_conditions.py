"""Conditions in the form of Sedna's services and jobs without stages: one of them is ``True``, and it is the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orbitloop_operators.handlers.changes import Document, Notice, Severity
from orbitloop_operators.handlers.conditions import cut, stamp

FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How a service is.

    Args:
        type: in Sedna's words: Pending, Running, Failed.
        reason: why, one word in camel case.
        message: why, for people, with what to do where something is to be done. Says nothing that changes by itself.
        is_wrong: somebody has to do something about it.
    """

    type: str
    reason: str
    message: str = ""
    is_wrong: bool = False


def state_of(document: Document) -> Document | None:
    """The condition that is ``True``; ``None``: there is none yet."""
    return next((one for one in reversed(_conditions(document)) if one.get("status") == "True"), None)


def with_state(document: Document, state: State, now: datetime) -> list[Document]:
    """The conditions of ``document`` when it is in ``state``: one a type, what it was before is ``False``.

    The last one is how it is now. Times are those of the last change; a state that is as it was keeps them.
    """
    before = {one["type"]: one for one in _conditions(document)}
    others = [_past(one, now) for kind, one in before.items() if kind != state.type]
    return [*others, _present(before.get(state.type), state, now)]


def news(document: Document, state: State) -> tuple[Notice, ...]:
    """What is told of a service that comes into ``state``; nothing if it was in it."""
    before = state_of(document)
    if before is not None and _says(before) == (state.type, state.reason, cut(state.message)):
        return ()
    severity = Severity.WARNING if state.is_wrong or state.type == FAILED else Severity.NORMAL
    return (Notice(severity=severity, reason=state.reason, message=cut(state.message)),)


def _conditions(document: Document) -> Sequence[Document]:
    found: Sequence[Document] = (document.get("status") or {}).get("conditions") or ()
    return found


def _says(condition: Document) -> tuple[object, ...]:
    return tuple(condition.get(name, "") for name in ("type", "reason", "message"))


def _past(condition: Document, now: datetime) -> Document:
    if condition.get("status") != "True":
        return condition
    return {**condition, "status": "False", "lastHeartbeatTime": stamp(now), "lastTransitionTime": stamp(now)}


def _present(before: Document | None, state: State, now: datetime) -> Document:
    message = cut(state.message)
    was_so = before is not None and before.get("status") == "True"
    if before is not None and was_so and _says(before) == (state.type, state.reason, message):
        return before
    since = before.get("lastTransitionTime") if before is not None and was_so else None
    return {
        "type": state.type,
        "status": "True",
        "lastHeartbeatTime": stamp(now),
        "lastTransitionTime": since or stamp(now),
        "reason": state.reason,
        "message": message,
    }
