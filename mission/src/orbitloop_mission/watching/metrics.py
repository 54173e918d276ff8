"""What an evaluation measured of two models, out of the conditions of a job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def compared(data: str) -> Mapping[str, tuple[Any, Any]]:
    """Each metric of the deployed model and of the new one, by name, from what Sedna's conditions hold as JSON."""
    models = json.loads(data)["output"]["models"] if data else []
    new, old = ((models + 2 * [{}])[index].get("metrics") or {} for index in (0, 1))
    return {name: (old.get(name), value) for name, value in new.items()}


def in_words(metrics: Mapping[str, tuple[Any, Any]]) -> str:
    """The same for people: ``precision 0.500 → 0.900``."""
    return ", ".join(f"{name} {_short(old)} → {_short(new)}" for name, (old, new) in metrics.items())


def _short(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]"
    return f"{value:.3f}" if isinstance(value, int | float) else "–"
