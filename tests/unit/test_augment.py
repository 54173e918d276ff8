"""Training crops: whatever is done to the picture is done to its boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from orbitloop.domain.detection import iou
from orbitloop.testing.builders import boxes_of, plain_ground, with_squares
from orbitloop_ground.adapters.yolo.augment import (
    Augmentation,
    LabelledImage,
    crop,
    mosaic,
    relight,
    training_crop,
    turn,
)

SAME_LIGHT = Augmentation(light=0, mosaic=0)
seeds = st.integers(0, 2**32 - 1)


def a_labelled_square(x: int, y: int, width: int, height: int, *, side: int = 160) -> LabelledImage:
    """Dark ground with one bright object, and the box around it."""
    corners = (x, y, min(x + width, side), min(y + height, side))
    return LabelledImage(
        pixels=with_squares(plain_ground(side, level=20), corners, level=255),
        boxes=boxes_of([corners]),
        labels=np.zeros(1, np.int64),
    )


def around_bright(pixels: NDArray[np.uint8]) -> tuple[float, float, float, float] | None:
    rows, columns = np.nonzero(pixels[..., 0] > 190)
    if not len(rows):
        return None
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)


@settings(max_examples=120)
@given(
    seed=seeds,
    x=st.integers(0, 130),
    y=st.integers(0, 130),
    width=st.integers(20, 60),
    height=st.integers(20, 60),
    side=st.sampled_from([64, 96, 200]),
)
def test_a_box_stays_on_its_object_through_crop_scale_and_turn(
    seed: int, x: int, y: int, width: int, height: int, side: int
) -> None:
    image = a_labelled_square(x, y, width, height)
    cropped = crop(image, side, SAME_LIGHT, np.random.default_rng(seed))
    assert cropped.pixels.shape == (side, side, 3)
    seen = around_bright(cropped.pixels)
    assert len(cropped.boxes) == len(cropped.labels)
    if len(cropped.boxes):
        assert seen is not None
        np.testing.assert_allclose(cropped.boxes[0], seen, atol=2.5)
        assert (cropped.boxes >= 0).all()
        assert (cropped.boxes <= side).all()


@given(seed=seeds, x=st.integers(0, 90), y=st.integers(0, 90))
def test_a_turn_moves_box_and_object_together(seed: int, x: int, y: int) -> None:
    turned = turn(a_labelled_square(x, y, 40, 20), np.random.default_rng(seed))
    assert turned.boxes[0].tolist() == list(around_bright(turned.pixels) or ())


def test_all_eight_turns_occur() -> None:
    image = a_labelled_square(10, 30, 40, 20)
    rng = np.random.default_rng(1)
    assert len({tuple(turn(image, rng).boxes[0].tolist()) for _ in range(100)}) == 8


@given(seed=seeds)
def test_light_changes_no_box_and_stays_in_range(seed: int) -> None:
    image = a_labelled_square(10, 30, 40, 20)
    lit = relight(image, 0.25, np.random.default_rng(seed))
    assert lit.pixels.dtype == np.uint8
    np.testing.assert_array_equal(lit.boxes, image.boxes)
    assert lit.pixels[40, 20].astype(int).sum() > lit.pixels[0, 0].astype(int).sum()  # bright stays brighter


def test_no_light_changes_nothing() -> None:
    image = a_labelled_square(10, 30, 40, 20)
    np.testing.assert_array_equal(relight(image, 0, np.random.default_rng(1)).pixels, image.pixels)


def test_a_mosaic_holds_four_crops_with_their_boxes() -> None:
    parts = [a_labelled_square(5 + index, 6, 12, 10, side=32) for index in range(4)]
    joined = mosaic(parts, 64)
    assert joined.boxes.tolist() == [[5, 6, 17, 16], [38, 6, 50, 16], [7, 38, 19, 48], [40, 38, 52, 48]]
    for box in joined.boxes.astype(int):
        assert (joined.pixels[box[1] : box[3], box[0] : box[2]] == 255).all()
    assert (joined.pixels == 255).all(axis=2).sum() == 4 * 12 * 10


def test_a_mosaic_of_an_odd_side_has_no_undefined_pixels() -> None:
    parts = [a_labelled_square(5, 6, 12, 10, side=32) for _ in range(4)]
    assert set(np.unique(mosaic(parts, 65).pixels).tolist()) == {20, 114, 255}


@given(seed=seeds, mosaics=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=30)
def test_a_training_crop_of_the_same_seed_is_the_same(seed: int, mosaics: float) -> None:
    images = [a_labelled_square(20 * index, 50, 30, 30) for index in range(4)]
    augmentation = replace(Augmentation(), mosaic=mosaics)
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    first, second = (training_crop(images, shares, 96, augmentation, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.boxes, second.boxes)
    assert first.pixels.shape == (96, 96, 3)


def test_an_image_without_a_share_is_never_drawn() -> None:
    images = [a_labelled_square(20, 50, 30, 30), a_labelled_square(20, 50, 60, 60)]
    images[1] = replace(images[1], labels=np.ones(1, np.int64))
    rng = np.random.default_rng(1)
    drawn = [training_crop(images, np.array([1.0, 0.0]), 96, Augmentation(), rng) for _ in range(30)]
    assert not any(example.labels.any() for example in drawn)


def test_crops_near_objects_show_them_more_often() -> None:
    image = a_labelled_square(140, 140, 20, 20, side=640)
    rng = np.random.default_rng(2)
    shown = {
        share: sum(len(crop(image, 96, Augmentation(on_object=share), rng).boxes) for _ in range(60))
        for share in (0.0, 1.0)
    }
    assert shown[1.0] > 50 > shown[0.0]


def test_an_image_without_objects_gives_crops_without_boxes() -> None:
    image = LabelledImage(pixels=plain_ground(50), boxes=boxes_of([]), labels=np.zeros(0, np.int64))
    cropped = crop(image, 96, Augmentation(), np.random.default_rng(1))
    assert cropped.boxes.shape == (0, 4)
    assert iou(cropped.boxes, cropped.boxes).shape == (0, 0)
