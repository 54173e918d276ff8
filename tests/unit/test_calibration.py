"""Confidence that can be believed, and how far it is from that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.calibration import Calibration, calibration_error, right_boxes
from orbitloop.domain.errors import BadInput
from orbitloop.testing.builders import some_detections, some_truth


def test_an_overconfident_detector_is_believed_less() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(2000).astype(np.float32)
    hits = rng.random(2000) < scores**2
    calibration = Calibration.fit(scores, hits)
    fresh = rng.random(2000).astype(np.float32)
    right = rng.random(2000) < fresh**2
    assert calibration(np.array([0.5], np.float32))[0] == pytest.approx(0.25, abs=0.06)
    assert calibration_error(calibration(fresh), right) < calibration_error(fresh, right) / 3


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=60))
def test_confidence_never_falls_as_scores_rise_and_is_never_certain(boxes: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 20 for score, _ in boxes], np.float32)
    calibration = Calibration.fit(scores, np.array([hit for _, hit in boxes]))
    confidence = calibration(np.linspace(0, 1, 101, dtype=np.float32))
    assert (np.diff(confidence) >= 0).all()
    assert 0 < confidence.min() <= confidence.max() < 1


def test_boxes_of_one_score_share_one_confidence() -> None:
    calibration = Calibration.fit(np.full(4, 0.5, np.float32), np.array([False, True, False, True]))
    assert calibration == Calibration(scores=(0.5,), confidence=(0.5,))


@pytest.mark.parametrize(
    ("scores", "confidence", "named"),
    [
        ((), (), "0 scores"),
        ((0.1,), (0.1, 0.2), "1 scores and 2"),
        ((0.1, 0.1), (0.1, 0.2), "must rise"),
        ((0.1, 0.2), (0.3, 0.2), "never fall"),
        ((0.1, 1.2), (0.1, 0.2), "from 0 to 1"),
        ((0.1, float("nan")), (0.1, 0.2), "from 0 to 1"),
    ],
)
def test_what_is_no_calibration_is_refused(
    scores: tuple[float, ...], confidence: tuple[float, ...], named: str
) -> None:
    with pytest.raises(BadInput, match=named):
        Calibration(scores=scores, confidence=confidence)


def test_nothing_cannot_be_fitted() -> None:
    with pytest.raises(BadInput, match="known to be right or wrong"):
        Calibration.fit(np.zeros(0, np.float32), np.zeros(0, bool))


def test_the_error_is_the_gap_between_what_is_said_and_what_holds() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.1], np.float32)
    hits = np.array([True, True, False, False, False])
    assert calibration_error(confidence, hits) == pytest.approx(0.8 * 0.4 + 0.2 * 0.1)
    assert calibration_error(np.zeros(0, np.float32), np.zeros(0, bool)) == 0
    assert Calibration.none()(confidence).tolist() == confidence.tolist()


def test_a_box_is_right_if_it_hits_an_object_of_its_kind_that_no_better_one_has() -> None:
    found = some_detections((0, 0, 10, 10), (1, 0, 11, 10), (40, 0, 50, 10), scores=[0.5, 0.9, 0.8], labels=[0, 0, 1])
    truth = some_truth((0, 0, 10, 10), (40, 0, 50, 10))
    assert right_boxes(found, truth).tolist() == [False, True, False]
    assert right_boxes(found, some_truth()).tolist() == [False] * 3
