"""Automatic contexts."""

from __future__ import annotations

import numpy as np
import pytest

from orbitloop.domain.errors import BadInput
from orbitloop_ground.adapters.transformation.clusters import Metric, Transform, cluster, joined, whitening


def two_kinds(count: int = 30) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    chance = np.random.default_rng(0)
    sea = chance.normal((0.0, 0.9, 0.0), 0.02, (count, 3))
    city = chance.normal((0.8, 0.0, 0.5), 0.02, (count, 3))
    return np.concatenate([sea, city]).astype(np.float32)


def test_what_is_alike_is_one_context() -> None:
    found = cluster(two_kinds(), seed=0, least=5)
    assert found.chosen is not None
    assert found.chosen.count == 2
    assert len(set(found.labels[:30])) == len(set(found.labels[30:])) == 1
    assert found.labels[0] != found.labels[30]


def test_counts_metrics_and_transforms_are_swept() -> None:
    tried = cluster(two_kinds(), seed=0, least=5, counts=(2, 3)).tried
    assert {(way.metric, way.transform) for way in tried} == {
        (metric, transform) for metric in Metric for transform in Transform
    }
    assert {way.count for way in tried} == {2, 3}
    assert all(-1 <= way.silhouette <= 1 for way in tried)


def test_the_same_vectors_fall_apart_in_the_same_way() -> None:
    assert np.array_equal(cluster(two_kinds(), seed=3, least=5).labels, cluster(two_kinds(), seed=3, least=5).labels)


def test_what_does_not_fall_apart_is_one_context() -> None:
    found = cluster(np.ones((40, 3), np.float32), seed=0, least=5)
    assert found.chosen is None
    assert not found.labels.any()


def test_a_context_with_too_few_members_joins_the_nearest() -> None:
    vectors = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [4.0]], np.float32)
    labels = joined(vectors, np.array([0, 0, 0, 1, 1, 1, 2]), 2)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_outliers_are_no_context_where_there_is_another_way() -> None:
    vectors = np.concatenate([two_kinds(), np.full((1, 3), 40.0, np.float32)])
    found = cluster(vectors, seed=0, least=5)
    assert np.bincount(found.labels).min() >= 5


def test_whitened_vectors_have_unit_covariance() -> None:
    chance = np.random.default_rng(0)
    given = (chance.normal(size=(500, 3)) @ np.array([[3, 1, 0], [0, 1, 0], [0, 0, 0.1]])).astype(np.float32)
    centred = given - given.mean(axis=0)
    found = centred @ whitening(centred)
    assert np.allclose(found.T @ found / len(found), np.eye(3), atol=1e-2)


def test_no_vectors_are_refused() -> None:
    with pytest.raises(BadInput, match="cannot be clustered"):
        cluster(np.zeros((0, 3), np.float32), seed=0, least=5)
