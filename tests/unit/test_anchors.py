"""Anchors fitted to the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbitloop.domain.detection import Floats
from orbitloop.domain.errors import BadInput
from orbitloop_ground.adapters.yolo.anchors import fit_anchors, heads_for, shape_overlap


def shapes_of(seed: int, count: int = 200) -> Floats:
    """Aircraft of three kinds, in pixels."""
    rng = np.random.default_rng(seed)
    kinds = np.array([[14, 12], [40, 38], [90, 70]], np.float32)[rng.integers(3, size=count)]
    return (kinds * rng.uniform(0.7, 1.4, (count, 2))).astype(np.float32)


def mean_overlap(shapes: Floats, anchors: Floats) -> float:
    return float(shape_overlap(shapes, anchors).max(axis=1).mean())


@settings(max_examples=20)
@given(seed=st.integers(0, 999))
def test_fitted_anchors_overlap_better_than_random_ones(seed: int) -> None:
    shapes = shapes_of(seed)
    random = shapes[np.random.default_rng(seed).choice(len(shapes), 6, replace=False)]
    fitted = fit_anchors(shapes, count=6, seed=seed)
    assert mean_overlap(shapes, fitted) >= mean_overlap(shapes, random)
    assert mean_overlap(shapes, fitted) > 0.7


def test_the_same_seed_gives_the_same_anchors_smallest_first() -> None:
    anchors = fit_anchors(shapes_of(1), count=6, seed=3)
    np.testing.assert_array_equal(anchors, fit_anchors(shapes_of(1), count=6, seed=3))
    assert (np.diff(anchors.prod(axis=1)) >= 0).all()
    assert anchors.shape == (6, 2)


def test_overlap_of_shapes_is_symmetric_and_one_for_equals() -> None:
    shapes = shapes_of(2, 9)
    overlaps = shape_overlap(shapes, shapes)
    np.testing.assert_allclose(overlaps, overlaps.T)
    np.testing.assert_allclose(np.diag(overlaps), 1)
    assert shape_overlap(np.array([[10, 10]], np.float32), np.array([[5, 10]], np.float32))[0, 0] == 0.5


def test_equal_shapes_still_give_anchors() -> None:
    assert fit_anchors(np.full((9, 2), 20, np.float32), count=6, seed=1).tolist() == [[20, 20]] * 6


def test_the_large_anchors_go_to_the_coarse_head() -> None:
    coarse, fine = heads_for(fit_anchors(shapes_of(1), count=6, seed=3))
    assert (coarse.stride, fine.stride) == (32, 16)
    assert min(w * h for w, h in coarse.anchors) >= max(w * h for w, h in fine.anchors)


def test_fewer_objects_than_anchors_are_refused() -> None:
    with pytest.raises(BadInput, match="6 anchors need at least 6 labelled objects, not 5"):
        fit_anchors(shapes_of(1, 5), count=6, seed=1)
