"""When a model is no longer tried: it made the worker die again and again before it had looked at a few frames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRule:
    """How often a model is tried.

    Args:
        deaths: the worker died so often with it: another model is tried.
        frames: so many frames, one after the other, prove that it lives.
        again: where no other model is left, it is tried again after this time: it may not have been its fault.
    """

    deaths: int = 3
    frames: int = 3
    again: timedelta = timedelta(hours=1)


class Choice(StrEnum):
    """What is done at a start."""

    FLY = "fly"
    FALL_BACK = "fall back"
    HOLD = "hold"


def choose(rule: BootRule, *, deaths: int, kept: int | None) -> Choice:
    """What is done at a start.

    Args:
        rule: how often a model is tried.
        deaths: how often the worker died with the model that flies, since it last looked at ``rule.frames`` frames.
        kept: the same of the last good model; ``None`` where that is no other.
    """
    if deaths < rule.deaths:
        return Choice.FLY
    return Choice.FALL_BACK if kept is not None and kept < rule.deaths else Choice.HOLD
