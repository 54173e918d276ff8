"""Which cells of a frame are of high value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import BadInput
from orbitloop.domain.value_map import (
    map_of_boxes,
    map_of_detections,
    map_of_label,
    map_of_mask,
    map_of_tiles,
    regrid,
    tiles_of_map,
)


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_a_box_makes_the_cells_that_it_touches_valuable() -> None:
    found = map_of_boxes(boxes((11, 1, 19, 9)), (40, 40), 4)
    assert np.argwhere(found).tolist() == [[0, 1]]


def test_a_box_that_ends_on_a_border_does_not_touch_the_next_cell() -> None:
    assert map_of_boxes(boxes((0, 0, 10, 10)), (40, 40), 4).sum() == 1


def test_a_margin_reaches_into_the_cells_around() -> None:
    assert map_of_boxes(boxes((11, 11, 19, 19)), (40, 40), 4, margin=2).sum() == 9


def test_rows_follow_the_height_and_columns_the_width() -> None:
    found = map_of_boxes(boxes((70, 0, 79, 9)), (40, 80), 4)
    assert np.argwhere(found).tolist() == [[0, 3]]


def test_a_box_outside_of_the_frame_touches_nothing() -> None:
    assert not map_of_boxes(boxes((-9, -9, -1, -1), (41, 41, 50, 50)), (40, 40), 4).any()


def test_no_boxes_no_value() -> None:
    assert not map_of_boxes(boxes(), (40, 40), 4).any()


def test_a_detector_is_as_sure_of_a_cell_as_of_its_surest_box() -> None:
    found = Detections(
        boxes=boxes((0, 0, 9, 9), (1, 1, 19, 9)), scores=np.array([0.9, 0.4], np.float32), labels=np.zeros(2, np.int64)
    )
    assert map_of_detections(found, (40, 40), 4)[0, :3].tolist() == pytest.approx([0.9, 0.4, 0.0])


def test_a_mask_is_judged_by_its_share_of_a_cell() -> None:
    mask = np.zeros((8, 8), bool)
    mask[:4, :2] = True
    mask[4, 4] = True
    assert map_of_mask(mask, 2).tolist() == [[True, False], [False, False]]
    assert map_of_mask(mask, 2, least=0.05).tolist() == [[True, False], [False, True]]


def test_a_label_holds_for_the_whole() -> None:
    assert map_of_label(True, 3).all()
    assert not map_of_label(False, 3).any()


@pytest.mark.parametrize("size", [(0, 4), (4, 0)])
def test_an_empty_frame_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="cannot be divided"):
        map_of_boxes(boxes(), size, 4)


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput, match="neither divides"):
        regrid(np.zeros((6, 6), np.float32), 4)
    with pytest.raises(BadInput, match="cannot be dealt out"):
        tiles_of_map(np.zeros((6, 6)), 4)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_a_coarser_map_keeps_the_mean(cells: int, times: int, seed: int) -> None:
    fine = np.random.default_rng(seed).random((2, cells * times, cells * times), np.float32)
    coarse = regrid(fine, cells)
    assert coarse.shape == (2, cells, cells)
    assert coarse.mean() == pytest.approx(fine.mean(), abs=1e-5)
    assert np.array_equal(regrid(regrid(coarse, cells * times), cells), coarse) or np.allclose(
        regrid(regrid(coarse, cells * times), cells), coarse
    )


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_tiles_are_put_together_again(tiles: int, part: int, seed: int) -> None:
    whole = np.random.default_rng(seed).random((tiles * part, tiles * part))
    parts = tiles_of_map(whole, tiles)
    assert parts.shape == (tiles * tiles, part, part)
    assert np.array_equal(map_of_tiles(parts, tiles), whole)
    assert np.array_equal(parts[0], whole[:part, :part])
