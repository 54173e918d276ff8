"""Hard-example mining on what user estimators give: Sedna's aliases, called with one result.

The rules are those of :mod:`orbitloop.domain.mining`. Boxes are rows ``[x1, y1, x2, y2, score, label]``;
``CrossEntropy`` takes one list of class probabilities. Nothing found counts as hard; rows without a score give no
reason to doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from orbitloop.domain.errors import BadInput
from orbitloop.domain.mining import (
    TOLERANCE,
    Miner,
    Uniform,
    certainty,
    is_hard_by_ibt,
    is_hard_by_threshold,
    mining_rule,
)
from orbitloop.worker.registry import ClassFactory, ClassType

HardExampleFilter = Callable[[Any], bool]
"""From one result of inference to whether it is a hard example."""

_SCORE = 4


class _Filter:
    """Base of the filters: an alias of the domain with its parameters, strings or numbers.

    Raises:
        BadInput: a parameter is unknown, or no number in [0, 1].
    """

    miner: Miner

    def __init__(self, **parameters: str | float) -> None:
        self.parameters = dict(mining_rule(self.miner, parameters).parameters)


@ClassFactory.register(ClassType.HEM, alias=Miner.THRESHOLD)
class ThresholdFilter(_Filter):
    """Hard when the mean score is below ``threshold``."""

    miner = Miner.THRESHOLD

    def __call__(self, infer_result: Any = None) -> bool:
        """Whether the boxes of one image are hard."""
        scores = scores_of(infer_result)
        return scores is not None and is_hard_by_threshold(scores, self.parameters["threshold"])


@ClassFactory.register(ClassType.HEM, alias=Miner.IBT)
class IBTFilter(_Filter):
    """Hard when the share of boxes with score <= ``threshold_box`` is at least ``1 - threshold_img``."""

    miner = Miner.IBT

    def __call__(self, infer_result: Any = None) -> bool:
        """Whether the boxes of one image are hard."""
        scores = scores_of(infer_result)
        value = self.parameters
        return scores is not None and is_hard_by_ibt(scores, value["threshold_img"], value["threshold_box"])


@ClassFactory.register(ClassType.HEM, alias=Miner.CROSS_ENTROPY)
class CrossEntropyFilter(_Filter):
    """Hard when ``1 + sum(p ln p) / ln n`` is below ``threshold_cross_entropy``."""

    miner = Miner.CROSS_ENTROPY

    def __call__(self, infer_result: Any = None) -> bool:
        """Whether one list of class probabilities is hard."""
        probabilities = _probabilities(_items(infer_result))
        if not probabilities:
            return True
        return max(0.0, certainty(probabilities)) < self.parameters["threshold_cross_entropy"]


@ClassFactory.register(ClassType.HEM, alias=Miner.RANDOM)
class RandomFilter(_Filter):
    """Hard by chance, in ``random_ratio`` of all cases.

    Args:
        uniform: where chance comes from; the system's, where it is not given.
        **parameters: ``random_ratio``.
    """

    miner = Miner.RANDOM

    def __init__(self, *, uniform: Uniform | None = None, **parameters: str | float) -> None:
        super().__init__(**parameters)
        self._uniform = uniform or np.random.default_rng().random

    def __call__(self, _infer_result: Any = None) -> bool:
        """Whether chance calls it hard; the result does not matter."""
        return self._uniform() < self.parameters["random_ratio"]


@ClassFactory.register(ClassType.HEM, alias=Miner.CLOUD_ONLY)
class CloudOnlyFilter(_Filter):
    """Everything is hard."""

    miner = Miner.CLOUD_ONLY

    def __call__(self, _infer_result: Any = None) -> bool:
        """True."""
        return True


@ClassFactory.register(ClassType.HEM, alias=Miner.EDGE_ONLY)
class EdgeOnlyFilter(_Filter):
    """Nothing is hard."""

    miner = Miner.EDGE_ONLY

    def __call__(self, _infer_result: Any = None) -> bool:
        """False."""
        return False


def scores_of(boxes: Any) -> list[float] | None:
    """The scores of rows ``[x1, y1, x2, y2, score, label]``; none where a row has no score.

    Raises:
        BadInput: a score is no number in [0, 1].
    """
    rows = [_items(row) for row in _items(boxes)]
    if any(len(row) <= _SCORE for row in rows):
        return None
    return _probabilities([row[_SCORE] for row in rows])


def _items(value: Any) -> list[Any]:
    """A list of what an array, a tensor or any sequence holds; a single value has one."""
    if value is None:
        return []
    if hasattr(value, "tolist"):
        value = value.tolist()
    try:
        return list(value)
    except TypeError:
        return [value]


def _probabilities(values: list[Any]) -> list[float]:
    """Each within [0, 1]: scores are float32, so that a softmax may be over by a rounding."""
    try:
        read = [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise BadInput(f"scores are {values!r}; hard-example mining needs numbers in [0, 1]") from error
    for value in read:
        if not -TOLERANCE <= value <= 1 + TOLERANCE:
            raise BadInput(
                f"score {value} is no probability; rows are [x1, y1, x2, y2, score, label] with scores in [0, 1]"
            )
    return [min(1.0, max(0.0, value)) for value in read]


def filter_from(asked: Mapping[str, Any] | None) -> HardExampleFilter | None:
    """The filter for ``{"method": alias, "param": {...}}``, user classes included; none where nothing is asked for.

    Values of the manifest are strings: those that spell a number are given as numbers.

    Raises:
        BadInput: the alias or a parameter is unknown, or a value does not fit.
    """
    if not asked:
        return None
    if "method" not in asked:
        raise BadInput(f'hard_example_mining is {dict(asked)!r}; write {{"method": "IBT", "param": {{...}}}}')
    given = {name: _number_or_same(value) for name, value in (asked.get("param") or {}).items()}
    found = ClassFactory.get_cls(ClassType.HEM, asked["method"])
    made: HardExampleFilter = found(**given)
    return made


def _number_or_same(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value
