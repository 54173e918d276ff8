"""Sedna's miners, called with what user estimators give."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.worker.mining import RandomFilter, filter_from, scores_of
from orbitloop.worker.registry import ClassFactory, ClassType


def boxes(*scores: float) -> list[list[float]]:
    return [[0.0, 0.0, 10.0, 10.0, score, 1] for score in scores]


def judged(method: str, result: Any, **param: Any) -> bool:
    made = filter_from({"method": method, "param": param})
    assert made is not None
    return made(result)


IMG = {"threshold_img": "0.5", "threshold_box": "0.5"}


@pytest.mark.parametrize(
    ("method", "result", "param", "hard"),
    [
        ("IBT", boxes(0.5, 0.9), IMG, True),
        ("IBT", boxes(0.51, 0.9), IMG, False),
        ("IBT", boxes(0.1, 0.9, 0.9), IMG, False),
        ("IBT", [], IMG, True),
        ("IBT", [[1, 2, 3, 4]], IMG, False),
        ("IBT", np.array(boxes(0.5, 0.9), np.float32), IMG, True),
        ("Threshold", boxes(0.4, 0.5), {"threshold": "0.5"}, True),
        ("Threshold", boxes(0.5, 0.5), {"threshold": "0.5"}, False),
        ("Threshold", [[1, 2, 3]], {}, False),
        ("CrossEntropy", [0.25, 0.25, 0.25, 0.25], {"threshold_cross_entropy": "0.001"}, True),
        ("CrossEntropy", [0.0, 1.0, 0.0], {"threshold_cross_entropy": "0.9"}, False),
        ("CrossEntropy", [1.0], {"threshold_cross_entropy": 0.9}, False),
        ("CrossEntropy", np.array([0.5, 0.5]), {}, True),
        ("CloudOnly", None, {}, True),
        ("EdgeOnly", boxes(0.1), {}, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_miners_judge_as_the_reference_says(method: str, result: Any, param: dict[str, Any], hard: bool) -> None:
    assert judged(method, result, **param) is hard


def test_sednas_bug_that_random_fails_on_a_string_is_fixed() -> None:
    assert judged("Random", None, random_ratio="1.0") is True
    assert judged("Random", None, random_ratio="0.0") is False


def test_sednas_bug_that_arrays_have_no_truth_is_fixed() -> None:
    assert judged("Threshold", np.array(boxes(0.1, 0.2))) is True
    assert judged("Threshold", np.zeros((0, 6))) is True


def test_sednas_bugs_of_cross_entropy_with_zeros_and_one_class_are_fixed() -> None:
    assert judged("CrossEntropy", [1.0, 0.0]) is False
    assert judged("CrossEntropy", [1.0]) is False


@given(ratio=st.floats(0, 1), drawn=st.floats(0, 1, exclude_max=True))
def test_random_is_hard_exactly_below_its_ratio(ratio: float, drawn: float) -> None:
    assert RandomFilter(uniform=lambda: drawn, random_ratio=ratio)() is (drawn < ratio)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 19))
def test_a_rounding_error_above_one_is_still_a_score(scores: list[float], at: int) -> None:
    raised = [*scores, 1 + 1e-7]
    assert scores_of(boxes(*raised)) == pytest.approx(raised, abs=1e-6)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"method": "IBTT", "param": {}}, "IBTT"),
        ({"method": "IBT", "param": {"threshold": "0.5"}}, "threshold"),
        ({"method": "IBT", "param": {"threshold_img": "half"}}, "half"),
        ({"method": "Random", "param": {"random_ratio": "3"}}, "random_ratio"),
        ({"param": {}}, "method"),
    ],
    ids=str,
)
def test_what_no_miner_takes_is_refused_by_name(asked: dict[str, Any], names: str) -> None:
    with pytest.raises(BadInput, match=names):
        filter_from(asked)


def test_a_score_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match=r"rows are \[x1, y1, x2, y2, score, label\]"):
        judged("IBT", [[0, 0, 1, 1, 7.0, 0.9]])


def test_nothing_asked_for_mines_nothing() -> None:
    assert filter_from(None) is None
    assert filter_from({}) is None


def test_a_miner_of_the_user_gets_its_numbers_as_numbers() -> None:
    @ClassFactory.register(ClassType.HEM, alias="MoreThan")
    class MoreThan:
        def __init__(self, count: float, name: str) -> None:
            self.count, self.name = count, name

        def __call__(self, infer_result: list[Any]) -> bool:
            return len(infer_result) > self.count and self.name == "ships"

    assert judged("MoreThan", boxes(0.1, 0.2), count="1", name="ships") is True
    assert judged("MoreThan", boxes(0.1), count="1", name="ships") is False
