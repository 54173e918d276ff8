"""Weighted box fusion."""

from __future__ import annotations

import numpy as np
import pytest

from orbitloop.domain.detection import Detections
from orbitloop.domain.fusion import fuse
from orbitloop.testing.builders import some_detections


def test_what_all_views_see_keeps_its_score_and_what_one_sees_loses_it() -> None:
    both = some_detections((0, 0, 10, 10), scores=[0.8])
    one = some_detections((0, 0, 10, 10), (50, 0, 60, 10), scores=[0.6, 0.8])
    fused = fuse([both, one])
    assert fused.found.scores.tolist() == pytest.approx([0.7, 0.4])
    assert fused.agreement.tolist() == [1.0, 0.5]


def test_corners_are_the_mean_by_score() -> None:
    fused = fuse([some_detections((0, 0, 10, 10), scores=[0.9]), some_detections((2, 0, 12, 10), scores=[0.3])])
    assert fused.found.boxes[0].tolist() == pytest.approx([0.5, 0, 10.5, 10])


def test_objects_of_two_kinds_stay_two() -> None:
    fused = fuse([some_detections((0, 0, 10, 10)), some_detections((0, 0, 10, 10), labels=[1])])
    assert sorted(fused.found.labels.tolist()) == [0, 1]


def test_a_view_that_sees_an_object_twice_has_one_voice() -> None:
    twice = some_detections((0, 0, 10, 10), (0, 0, 10, 11), scores=[0.8, 0.8])
    assert fuse([twice, Detections.none()]).found.scores.tolist() == pytest.approx([0.4])


def test_nothing_seen_is_nothing() -> None:
    fused = fuse([Detections.none(), Detections.none()])
    assert len(fused.found) == 0
    assert fused.agreement.shape == (0,)


def test_the_order_of_views_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    views = []
    for _ in range(3):
        low = rng.uniform(0, 40, (6, 2))
        boxes = np.concatenate([low, low + rng.uniform(5, 15, (6, 2))], axis=1).astype(np.float32)
        scores = rng.random(6).astype(np.float32)
        views.append(Detections(boxes=boxes, scores=scores, labels=np.zeros(6, np.int64)))
    first, second = fuse(views).found, fuse(views[::-1]).found
    np.testing.assert_allclose(first.boxes, second.boxes, rtol=1e-5)
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-5)
