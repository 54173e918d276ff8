"""Hard-example mining under Sedna's names: is a result doubtful enough to be looked at again?

The aliases, parameters and rules are those that Sedna's users write in ``hardExampleMining`` (``IBT``,
``CrossEntropy``, ``Threshold``, ``Random``, ``CloudOnly``, ``EdgeOnly``); values may be strings, as a custom
resource carries them. Different from Sedna on purpose: an empty result counts as hard, because a total miss is the
most valuable sample there is; a probability of zero or a single class has a defined score; scores outside [0, 1] and
unknown parameters are refused instead of being called easy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import BadInput

Verdict = Callable[[Detections], bool]
TOLERANCE = 1e-6
"""By how much a score may miss a threshold and still meet it: scores are float32, manifests are decimal."""

Uniform = Callable[[], float]
"""A source of numbers in [0, 1), such as ``random.Random(seed).random``."""


class Miner(StrEnum):
    """The aliases of Sedna's hard-example mining."""

    IBT = "IBT"
    CROSS_ENTROPY = "CrossEntropy"
    THRESHOLD = "Threshold"
    RANDOM = "Random"
    CLOUD_ONLY = "CloudOnly"
    EDGE_ONLY = "EdgeOnly"


DEFAULTS: Mapping[Miner, Mapping[str, float]] = {
    Miner.IBT: {"threshold_img": 0.5, "threshold_box": 0.5},
    Miner.CROSS_ENTROPY: {"threshold_cross_entropy": 0.5},
    Miner.THRESHOLD: {"threshold": 0.5},
    Miner.RANDOM: {"random_ratio": 0.3},
    Miner.CLOUD_ONLY: {},
    Miner.EDGE_ONLY: {},
}

_GRADED = (Miner.IBT, Miner.CROSS_ENTROPY, Miner.THRESHOLD)
"""Rules that say how hard a result is, not only whether."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningRule:
    """An alias with its parameters, checked."""

    miner: Miner
    parameters: Mapping[str, float]


def mining_rule(name: str, parameters: Mapping[str, str | float] | None = None) -> MiningRule:
    """Read what a manifest says; numbers may be strings.

    Raises:
        BadInput: the alias or a parameter is unknown, or a value is not a number in [0, 1].
    """
    try:
        miner = Miner(name)
    except ValueError as error:
        known = ", ".join(Miner)
        raise BadInput(f"hardExampleMining.name {name!r} is unknown; use one of {known}") from error
    values = dict(DEFAULTS[miner])
    for key, given in (parameters or {}).items():
        if key not in values:
            accepted = ", ".join(values) or "none"
            raise BadInput(f"{name} has no parameter {key!r}; it accepts: {accepted}")
        values[key] = _share(name, key, given)
    return MiningRule(miner=miner, parameters=values)


def _share(name: str, key: str, given: str | float) -> float:
    try:
        value = float(given)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name}: parameter {key} is {given!r}, which is not a number") from error
    if not 0 <= value <= 1:
        raise BadInput(f"{name}: parameter {key} is {given!r}; it must lie between 0 and 1")
    return value


def verdict(rule: MiningRule, uniform: Uniform) -> Verdict:
    """The predicate for ``rule``: from one frame's (or tile's) detections to whether it is a hard example."""
    value = rule.parameters
    match rule.miner:
        case Miner.IBT:
            return lambda found: is_hard_by_ibt(_scores(found), value["threshold_img"], value["threshold_box"])
        case Miner.CROSS_ENTROPY:
            return lambda found: is_hard_by_cross_entropy(_scores(found), value["threshold_cross_entropy"])
        case Miner.THRESHOLD:
            return lambda found: is_hard_by_threshold(_scores(found), value["threshold"])
        case Miner.RANDOM:
            return lambda found: uniform() < value["random_ratio"]
        case Miner.CLOUD_ONLY:
            return lambda found: True
        case Miner.EDGE_ONLY:
            return lambda found: False
        case _:
            assert_never(rule.miner)


def degree(rule: MiningRule, found: Detections, uniform: Uniform) -> float | None:
    """How hard a result is by ``rule``, to put hard ones in order; ``None`` for one that is not hard.

    For ``IBT`` the share of doubtful boxes, for ``CrossEntropy`` the doubt of the least certain one, for ``Threshold``
    how far the mean score is below 1, all in [0, 1]. A result without boxes gives no degree to measure, so it is the
    last of the hard ones, at -1. The other rules put all hard ones in an order by chance.
    """
    if not verdict(rule, uniform)(found):
        return None
    scores, value = _scores(found), rule.parameters
    if rule.miner not in _GRADED:
        return uniform()
    if not scores:
        return -1.0
    match rule.miner:
        case Miner.IBT:
            return sum(score <= value["threshold_box"] + TOLERANCE for score in scores) / len(scores)
        case Miner.CROSS_ENTROPY:
            return 1 - min(certainty([score, 1 - score]) for score in scores)
        case _:
            return 1 - sum(scores) / len(scores)


def _scores(found: Detections) -> list[float]:
    return [float(score) for score in found.scores]


def _checked(scores: Sequence[float]) -> Sequence[float]:
    for score in scores:
        if not 0 <= score <= 1:
            raise BadInput(f"score {score} is no probability; hard-example mining needs scores in [0, 1]")
    return scores


def is_hard_by_ibt(scores: Sequence[float], threshold_img: float, threshold_box: float) -> bool:
    """Image-box threshold: the share of boxes with score <= ``threshold_box`` is at least ``1 - threshold_img``."""
    if not _checked(scores):
        return True
    doubtful = sum(score <= threshold_box + TOLERANCE for score in scores)
    return doubtful / len(scores) >= 1 - threshold_img - TOLERANCE


def is_hard_by_threshold(scores: Sequence[float], threshold: float) -> bool:
    """The mean score is below ``threshold``."""
    if not _checked(scores):
        return True
    return sum(scores) / len(scores) < threshold - TOLERANCE


def is_hard_by_cross_entropy(scores: Sequence[float], threshold: float) -> bool:
    """The least certain detection, read as object or background, is less certain than ``threshold``."""
    if not _checked(scores):
        return True
    return min(certainty([score, 1 - score]) for score in scores) < threshold


def certainty(probabilities: Sequence[float]) -> float:
    """``1 + sum(p ln p) / ln n``: 0 for a uniform distribution, 1 for a certain one; ``0 ln 0`` is 0."""
    if len(_checked(probabilities)) < 2:
        return 1.0
    total = sum(p * math.log(p) for p in probabilities if p > 0)
    return 1 + total / math.log(len(probabilities))
