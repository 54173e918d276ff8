"""What a second look at half the resolution finds that the first did not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections
from orbitloop.domain.second_look import halved, stretched, surprises
from orbitloop.testing.builders import plain_ground, some_detections, with_squares

SCENE = with_squares(plain_ground(64), (8, 8, 24, 24))


def seeing(found: Detections) -> Detections:
    return surprises(SCENE, some_detections((8, 8, 24, 24), scores=[0.6]), lambda _: found)


def test_what_both_looks_find_alike_is_no_surprise() -> None:
    assert len(seeing(some_detections((4, 4, 12, 12), scores=[0.6]))) == 0
    assert len(seeing(some_detections((4, 4, 12, 12), scores=[0.3]))) == 0


def test_a_surprise_counts_by_how_much_more_the_second_look_believes() -> None:
    found = seeing(some_detections((4, 4, 12, 12), (20, 20, 30, 30), scores=[0.9, 0.7]))
    assert found.boxes.tolist() == [[40, 40, 60, 60], [8, 8, 24, 24]]
    assert found.scores.tolist() == pytest.approx([0.7, 0.3])


def test_where_the_first_look_found_nothing_all_is_a_surprise() -> None:
    found = surprises(SCENE, Detections.none(), lambda _: some_detections((4, 4, 12, 12), scores=[0.9]))
    assert (found.boxes.tolist(), found.scores.tolist()) == ([[8, 8, 24, 24]], pytest.approx([0.9]))
    assert len(surprises(SCENE, Detections.none(), lambda _: Detections.none())) == 0


def test_weak_light_does_not_hide_an_object_from_the_second_look() -> None:
    """A total miss: a detector that needs contrast finds nothing in a dark frame, and something in the second look."""

    def detect(pixels: NDArray[np.uint8]) -> Detections:
        rows, columns = np.nonzero(pixels[..., 0] > 200)
        if not len(rows):
            return Detections.none()
        return some_detections((int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())), scores=[0.8])

    dark = (SCENE * 0.15).astype(np.uint8)
    assert len(detect(dark)) == 0
    assert surprises(dark, detect(dark), detect).scores.tolist() == pytest.approx([0.8])


def test_a_plain_picture_is_not_stretched() -> None:
    assert np.array_equal(stretched(plain_ground(16)), plain_ground(16))


@given(height=st.integers(1, 9), width=st.integers(1, 9))
def test_half_a_picture_is_half_as_large_and_as_bright(height: int, width: int) -> None:
    pixels = np.full((height, width, 3), 77, np.uint8)
    assert halved(pixels).shape == (max(1, height // 2), max(1, width // 2), 3)
    assert (halved(pixels) == 77).all()
