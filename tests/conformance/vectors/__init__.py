"""Triggers, metrics and what follows, in a form that any language reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

Vector = dict[str, Any]


def triggers(name: str) -> list[Any]:
    """The vectors of one kind: train, deploy, hours or malformed; as parameters of a test."""
    read: dict[str, list[Vector]] = json.loads((Path(__file__).parent / "triggers.json").read_text())
    return [pytest.param(one, id=one["id"], marks=_marks(one)) for one in read[name]]


def _marks(vector: Vector) -> list[pytest.MarkDecorator]:
    return [pytest.mark.stricter] if vector.get("stricter") else []
