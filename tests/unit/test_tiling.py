"""Cutting a frame into tiles and seeing each object once."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orbitloop.domain.detection import DetectorSpec, Floats, Head, iou
from orbitloop.domain.errors import BadInput
from orbitloop.domain.tiling import PAD, Looking, Tiles, Window, cut, detect, in_floats, look, starts, windows
from orbitloop.testing.builders import boxes_of, plain_ground, with_squares

TILE, OVERLAP, STRIDE, ANCHOR = 128, 48, 32, 32.0
SPEC = DetectorSpec(classes=("square",), heads=(Head(stride=STRIDE, anchors=((ANCHOR, ANCHOR),)),), tile=TILE)


@given(length=st.integers(1, 5000), tile=st.integers(1, 900), share=st.floats(0, 0.99))
@example(length=2560, tile=640, share=0.25)
def test_tiles_cover_every_pixel_and_overlap_as_asked(length: int, tile: int, share: float) -> None:
    overlap = int(tile * share)
    begins = starts(length, tile, overlap)
    assert begins[0] == 0
    assert begins[-1] + tile >= length
    assert begins == sorted(begins)
    assert all(later <= earlier + tile - overlap for earlier, later in pairwise(begins))
    if length >= tile:
        assert begins[-1] + tile == length  # none reaches beyond
    if len(begins) > 1:  # and one fewer would not do
        assert tile + (len(begins) - 2) * (tile - overlap) < length


@pytest.mark.parametrize(("tile", "overlap"), [(64, 64), (64, 65), (64, -1), (0, 0)], ids=str)
def test_tiles_that_could_never_cover_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(BadInput, match=f"tiles of {tile} pixels cannot overlap by {overlap}"):
        starts(1000, tile, overlap)


@given(width=st.integers(1, 400), height=st.integers(1, 400))
def test_windows_cover_the_whole_frame(width: int, height: int) -> None:
    covered = np.zeros((height, width), bool)
    for window in windows(width, height, tile=TILE, overlap=OVERLAP):
        x0, y0, x1, y1 = window.box
        covered[y0:y1, x0:x1] = True
    assert covered.all()


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(BadInput, match="0x5 pixels is empty"):
        windows(0, 5, tile=64, overlap=8)


def test_a_window_beyond_the_frame_is_filled_with_grey() -> None:
    tile = cut(plain_ground(10, level=200), Window(x0=0, y0=0, width=16, height=12))
    assert tile.shape == (12, 16, 3)
    assert (tile[:10, :10] == 200).all()
    assert (tile[10:] == PAD).all()
    assert (tile[:, 10:] == PAD).all()


def test_floats_are_channels_first_between_nought_and_one() -> None:
    tiles = np.arange(2 * 20 * 30 * 3, dtype=np.uint32).astype(np.uint8).reshape(2, 20, 30, 3)
    images = in_floats(tiles)
    assert images.dtype == np.float32
    assert images.shape == (2, 3, 20, 30)
    assert images.flags.c_contiguous
    np.testing.assert_array_equal(images, tiles.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))


# One bright object and a detector that sees whatever of it lies in a tile


def sees_bright(images: Floats) -> list[Floats]:
    """Raw output of a detector that boxes what is bright in each tile, for ``SPEC``."""
    cells = TILE // STRIDE
    raw = np.full((len(images), SPEC.channels, cells, cells), -20, np.float32)
    for index, image in enumerate(images):
        rows, columns = np.nonzero(image[0] > 0.9)
        if not len(rows):
            continue
        x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
        x, y = (x0 + x1) / 2 / STRIDE, (y0 + y1) / 2 / STRIDE
        terms = [
            (x - int(x) + 0.5) / 2,
            (y - int(y) + 0.5) / 2,
            math.sqrt((x1 - x0) / ANCHOR) / 2,
            math.sqrt((y1 - y0) / ANCHOR) / 2,
            0.95,
            0.95,
        ]
        raw[index, :, int(y), int(x)] = [math.log(term / (1 - term)) for term in terms]
    return [raw]


@settings(max_examples=60)
@given(
    width=st.integers(OVERLAP, 420),
    height=st.integers(OVERLAP, 420),
    side=st.integers(20, OVERLAP - 4),
    across=st.floats(0, 1),
    down=st.floats(0, 1),
)
def test_an_object_is_found_once_wherever_tile_borders_run(
    width: int, height: int, side: int, across: float, down: float
) -> None:
    x, y = int(across * (width - side)), int(down * (height - side))
    frame = np.full((height, width, 3), 40, np.uint8)
    found = detect(with_squares(frame, (x, y, x + side, y + side)), sees_bright, SPEC, overlap=OVERLAP)
    assert len(found) == 1
    assert iou(found.boxes, boxes_of([(x, y, x + side, y + side)]))[0, 0] > 0.95
    assert (found.boxes >= 0).all()
    assert (found.boxes <= np.array([width, height, width, height])).all()


def test_a_frame_smaller_than_a_tile_is_looked_at_whole() -> None:
    frame = with_squares(plain_ground(50), (10, 15, 40, 45))
    found = detect(frame, sees_bright, SPEC, overlap=OVERLAP)
    np.testing.assert_allclose(found.boxes, [[10, 15, 40, 45]], atol=0.1)


def test_the_size_of_a_batch_changes_nothing() -> None:
    frame = with_squares(plain_ground(400), (20, 20, 60, 60), (300, 310, 340, 345))
    alone, together = (detect(frame, sees_bright, SPEC, overlap=OVERLAP, batch=size) for size in (1, 99))
    np.testing.assert_array_equal(alone.boxes, together.boxes)
    assert len(alone) == 2


def test_tiles_may_be_looked_at_in_threads() -> None:
    frame = with_squares(plain_ground(400), (20, 20, 60, 60), (300, 310, 340, 345))
    shapes: list[tuple[int, ...]] = []

    def see(tiles: Tiles) -> list[Floats]:
        shapes.append(tiles.shape)
        return sees_bright(in_floats(tiles))

    with ThreadPoolExecutor(3) as pool:
        found = look(frame, see, SPEC, Looking(overlap=OVERLAP, batch=2, spread=pool.map))
    np.testing.assert_array_equal(found.boxes, detect(frame, sees_bright, SPEC, overlap=OVERLAP).boxes)
    assert sum(shape[0] for shape in shapes) == len(windows(400, 400, tile=TILE, overlap=OVERLAP))
    assert {shape[1:] for shape in shapes} == {(TILE, TILE, 3)}


def test_an_empty_scene_has_no_detections() -> None:
    assert len(detect(plain_ground(300), sees_bright, SPEC, overlap=OVERLAP)) == 0
