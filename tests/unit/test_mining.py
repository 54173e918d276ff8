"""Hard-example mining by Sedna's names: its vectors, and where we differ from it on purpose."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.mining import DEFAULTS, Miner, Uniform, certainty, mining_rule, verdict
from orbitloop.testing.builders import detections_scored

probabilities = st.floats(0, 1, allow_subnormal=False)


def never() -> float:
    raise AssertionError("this rule takes no chances")


def is_hard(name: str, scores: Sequence[float], *, uniform: Uniform = never, **parameters: str | float) -> bool:
    return verdict(mining_rule(name, parameters), uniform)(detections_scored(*scores))


@pytest.mark.parametrize(
    ("scores", "image", "box", "hard"),
    [
        ([0.9, 0.9], 0.5, 0.5, False),
        ([0.4, 0.9], 0.5, 0.5, True),
        ([0.4, 0.9, 0.9], 0.5, 0.5, False),
        ([0.5, 0.9], 0.5, 0.5, True),
        ([0.51, 0.9], 0.5, 0.5, False),
        ([0.95] * 9 + [0.9], 0.9, 0.9, True),
        ([0.95] * 10 + [0.9], 0.9, 0.9, False),
        ([0.95] * 7 + [0.1] * 3, 0.7, 0.1, True),
        ([0.1], "0.5", "0.5", True),
        ([0.9], 1, 0.5, True),
        ([0.0], 0, 0, True),
        ([1.0], 0.5, 1.0, True),
        ([], 0.5, 0.5, True),
    ],
    ids=[
        "all sure",
        "half doubtful is enough",
        "a third is not",
        "a score at the box threshold is doubtful",
        "a score above it is not",
        "a tenth at 0.9/0.9",
        "less than a tenth at 0.9/0.9",
        "three in ten at 0.7, as decimals",
        "parameters as text",
        "an image threshold of one calls everything hard",
        "both thresholds nought, score nought",
        "a box threshold of one doubts everything",
        "nothing found",
    ],
)
def test_image_box_threshold(scores: list[float], image: str | float, box: str | float, hard: bool) -> None:
    assert is_hard("IBT", scores, threshold_img=image, threshold_box=box) is hard


@pytest.mark.parametrize(
    ("scores", "threshold", "hard"),
    [
        ([0.4, 0.5], 0.5, True),
        ([0.5, 0.5], 0.5, False),
        ([0.9], 0.9, False),
        ([0.9, 0.2], "0.5", False),
        ([0.9, 0.05], "0.5", True),
        ([], 0.5, True),
        ([0.0], 0, False),
    ],
    ids=["below", "at", "at, as a decimal", "mean above", "mean below", "nothing found", "nothing is below nought"],
)
def test_threshold_on_the_mean(scores: list[float], threshold: str | float, hard: bool) -> None:
    assert is_hard("Threshold", scores, threshold=threshold) is hard


@pytest.mark.parametrize(
    ("scores", "threshold", "hard"),
    [
        ([0.5], 0.01, True),
        ([1.0], 0.99, False),
        ([0.0], 0.99, False),
        ([1.0, 0.5], "0.5", True),
        ([0.99, 0.98], 0.5, False),
        ([], 0.5, True),
    ],
    ids=["a coin", "certain", "certainly not", "one coin among certain ones", "nearly certain", "nothing found"],
)
def test_cross_entropy(scores: list[float], threshold: str | float, hard: bool) -> None:
    assert is_hard("CrossEntropy", scores, threshold_cross_entropy=threshold) is hard


@pytest.mark.parametrize(
    ("given_probabilities", "wanted"),
    [([0.25] * 4, 0.0), ([0.5, 0.5], 0.0), ([1.0, 0.0, 0.0], 1.0), ([1.0], 1.0), ([0.3], 1.0), ([], 1.0)],
    ids=[
        "uniform over four",
        "uniform over two",
        "one of three, the others nought",
        "one class",
        "one, unsure",
        "none",
    ],
)
def test_certainty_is_defined_where_logarithms_are_not(given_probabilities: list[float], wanted: float) -> None:
    assert certainty(given_probabilities) == pytest.approx(wanted, abs=1e-12)


@given(weights=st.lists(st.floats(0.01, 1), min_size=2, max_size=8))
def test_certainty_of_a_distribution_lies_between_nought_and_one(weights: list[float]) -> None:
    total = math.fsum(weights)
    value = certainty([min(1.0, weight / total) for weight in weights])
    assert -1e-9 <= value <= 1 + 1e-9
    assert certainty(list(reversed([min(1.0, weight / total) for weight in weights]))) == pytest.approx(value)


@pytest.mark.parametrize(
    ("ratio", "drawn", "hard"),
    [("0.3", 0.29, True), ("0.3", 0.3, False), (0.3, 0.31, False), (0, 0.0, False), ("1", 0.999, True)],
    ids=["text, below", "text, at", "number, above", "never", "always"],
)
def test_random_takes_its_share(ratio: str | float, drawn: float, hard: bool) -> None:
    assert is_hard("Random", [0.9], uniform=lambda: drawn, random_ratio=ratio) is hard


def test_random_sends_its_share_of_everything_in_the_long_run() -> None:
    chance = np.random.default_rng(1)
    rule = verdict(mining_rule("Random", {"random_ratio": "0.3"}), lambda: float(chance.random()))
    found = detections_scored(0.9)
    assert sum(rule(found) for _ in range(5_000)) / 5_000 == pytest.approx(0.3, abs=0.03)


@given(scores=st.lists(probabilities, max_size=5))
def test_cloud_only_sends_all_and_edge_only_nothing(scores: list[float]) -> None:
    assert is_hard("CloudOnly", scores)
    assert not is_hard("EdgeOnly", scores)


@pytest.mark.parametrize("name", ["IBT", "Threshold", "CrossEntropy"])
def test_a_frame_in_which_nothing_was_found_is_hard(name: str) -> None:
    assert is_hard(name, [])


@given(scores=st.lists(probabilities, min_size=1, max_size=8), low=probabilities, high=probabilities)
def test_a_higher_threshold_never_calls_less_hard(scores: list[float], low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert is_hard("IBT", scores, threshold_box=low) <= is_hard("IBT", scores, threshold_box=high)
    assert is_hard("IBT", scores, threshold_img=low) <= is_hard("IBT", scores, threshold_img=high)
    assert is_hard("Threshold", scores, threshold=low) <= is_hard("Threshold", scores, threshold=high)


@pytest.mark.parametrize("name", ["IBT", "Threshold", "CrossEntropy"])
@pytest.mark.parametrize("score", [-0.01, 1.01, math.nan, math.inf], ids=str)
def test_a_score_that_is_no_probability_is_refused(name: str, score: float) -> None:
    with pytest.raises(BadInput, match="no probability"):
        is_hard(name, [0.5, score])


@pytest.mark.parametrize(
    ("name", "parameters", "complaint"),
    [
        ("ibt", {}, "'ibt' is unknown; use one of IBT, CrossEntropy"),
        ("BertRouter", {}, "'BertRouter' is unknown"),
        ("IBT", {"threshold": 0.5}, "IBT has no parameter 'threshold'; it accepts: threshold_img, threshold_box"),
        ("CloudOnly", {"threshold": 0.5}, "it accepts: none"),
        ("IBT", {"threshold_box": "high"}, "threshold_box is 'high', which is not a number"),
        ("IBT", {"threshold_box": None}, "threshold_box is None, which is not a number"),
        ("IBT", {"threshold_box": "nan"}, "must lie between 0 and 1"),
        ("Random", {"random_ratio": "1.01"}, "must lie between 0 and 1"),
        ("Random", {"random_ratio": -0.1}, "must lie between 0 and 1"),
    ],
    ids=[
        "wrong case",
        "a text router",
        "another rule's parameter",
        "a parameter where there is none",
        "a word",
        "null",
        "not a number",
        "above one",
        "below nought",
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(name: str, parameters: dict[str, str | float], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        mining_rule(name, parameters)


@pytest.mark.parametrize("miner", Miner)
def test_a_rule_without_parameters_has_sednas_defaults(miner: Miner) -> None:
    assert mining_rule(miner.value).parameters == DEFAULTS[miner]
    assert mining_rule(miner.value, None).miner is miner
