"""Proving an update on board: is the new model at least as good on the tiles that were kept?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orbitloop.domain.units import Digest

CANARY_SHARE = 6
"""One sample in so many is held out: kept on board as a canary, never trained on, its labels sent with updates."""


class Outcome(StrEnum):
    """What became of an update on board."""

    APPLIED = "applied"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryRule:
    """When an update passes its canary.

    Args:
        tolerance: how much average precision may fall on the canary tiles before the update is rolled back.
        least: fewest tiles that prove anything; with fewer, the update is rolled back.
        class_tolerance: how much it may fall for a single class: the mean over many classes hides one that is lost.
        class_objects: fewest objects of a class on the tiles that say anything of it alone.
    """

    tolerance: float = 0.03
    least: int = 3
    class_tolerance: float = 0.1
    class_objects: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """Average precision of one class, by its name, over the ``objects`` of it on the canary tiles."""

    name: str
    objects: int
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryResult:
    """Average precision at IoU 0.5 of the flying and the new model over ``tiles`` canary tiles, and class by class."""

    tiles: int
    before: float
    after: float
    classes: tuple[ClassScore, ...] = ()


def is_canary(sample: Digest) -> bool:
    """Whether a sample is held out; both sides decide alike, from its id alone."""
    return int(sample[-8:], 16) % CANARY_SHARE == 0


def objection(result: CanaryResult, rule: CanaryRule) -> str | None:
    """Why the new model must not fly, or ``None``."""
    if result.tiles < rule.least:
        return f"only {result.tiles} canary tiles are on board, {rule.least} are needed to prove a model"
    if result.after >= result.before - rule.tolerance:
        return _objection_of_a_class(result.classes, rule)
    return (
        f"worse on {result.tiles} canary tiles: average precision {result.after:.3f} after, "
        f"{result.before:.3f} before, tolerance {rule.tolerance:.3f}"
    )


def _objection_of_a_class(classes: tuple[ClassScore, ...], rule: CanaryRule) -> str | None:
    for score in classes:
        if score.objects >= rule.class_objects and score.after < score.before - rule.class_tolerance:
            return (
                f"worse at {score.name}, {score.objects} of which are on the canary tiles: average precision "
                f"{score.after:.3f} after, {score.before:.3f} before, tolerance {rule.class_tolerance:.3f}"
            )
    return None
