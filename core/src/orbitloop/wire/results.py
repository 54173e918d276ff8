"""A worker's result where there is little room: metrics go first, and it is said that they are missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_LONGEST_MESSAGE = 1024
_LONGEST_NAMES = 200


def as_json(value: object) -> bytes:
    """Compact JSON in ASCII."""
    return json.dumps(value, separators=(",", ":")).encode()


def fitted(result: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """As much of a worker's result as fits.

    Left out, as far as it takes: metrics, the longest ones before others and always of all models, so that those which
    are left can be compared; the end of the message; what is said of the owner; the last models.

    Args:
        result: with ``results``, a list of models each with ``metrics``, ``message``, a text, and whatever else is
            small; ``ownerInfo`` where there is one.
        longest: bytes of the JSON, from 2,048 on.

    Returns:
        The result; ``message`` says what was left out.
    """
    models: list[Mapping[str, Any]] = list(result["results"])
    said, left_out = str(result["message"]), list[str]()
    now = dict(result)
    while len(as_json(now)) > longest and (name := _longest_metric(models)):
        models = [_without(model, name) for model in models]
        left_out.append(name)
        now |= {"results": models, "message": _noted(said, left_out, longest)}
    if len(as_json(now)) > longest:
        said = _shortened(said)
        now["message"] = _noted(said, left_out, longest)
    if len(as_json(now)) > longest and now.get("ownerInfo"):
        now |= {"ownerInfo": {}, "message": _shortened(f"ownerInfo was left out for lack of room; {said}")}
    while len(as_json(now)) > longest and models:
        models = models[:-1]
        now |= {"results": models, "message": _shortened(f"models were left out for lack of room; {said}")}
    return now


def _longest_metric(models: Sequence[Mapping[str, Any]]) -> str:
    lengths: dict[str, int] = {}
    for model in models:
        for name, value in (model.get("metrics") or {}).items():
            lengths[name] = lengths.get(name, 0) + len(as_json([name, value]))
    return max(lengths, key=lambda name: (lengths[name], name), default="")


def _without(model: Mapping[str, Any], name: str) -> dict[str, Any]:
    if not model.get("metrics"):
        return dict(model)
    return {**model, "metrics": {key: value for key, value in model["metrics"].items() if key != name}}


def _noted(message: str, left_out: Sequence[str], longest: int) -> str:
    if not left_out:
        return message
    names = ", ".join(left_out)
    shown = names if len(names) <= _LONGEST_NAMES else f"{names[:_LONGEST_NAMES]}… ({len(left_out)} in all)"
    note = f"metrics left out, because a result takes at most {longest} bytes: {shown}"
    return f"{message}; {note}" if message else note


def _shortened(message: str) -> str:
    """As much of the message as fits, written as JSON."""
    lean = message
    while len(as_json(lean)) > _LONGEST_MESSAGE:
        lean = lean[: len(lean) * 3 // 4]
    return lean if lean == message else f"{lean}…"
