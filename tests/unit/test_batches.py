"""Batches for training."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch

from orbitloop.testing.builders import boxes_of, plain_ground, with_squares
from orbitloop_ground.adapters.yolo.augment import Augmentation, LabelledImage
from orbitloop_ground.adapters.yolo.batches import targets_of, training_batches


def some_images() -> list[LabelledImage]:
    return [
        LabelledImage(
            pixels=with_squares(plain_ground(100), (x, 20, x + 30, 50)),
            boxes=boxes_of([(x, 20, x + 30, 50)]),
            labels=np.full(1, index, np.int64),
        )
        for index, x in enumerate((10, 40, 60))
    ]


def draw(seed: int, count: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    stream = training_batches(some_images(), np.full(3, 1 / 3), side=64, size=4, augmentation=Augmentation(), seed=seed)
    return list(islice(stream, count))


def test_batches_are_shaped_for_the_network_and_the_loss() -> None:
    for pixels, targets in draw(1):
        assert pixels.shape == (4, 3, 64, 64)
        assert pixels.dtype == targets.dtype == torch.float32
        assert 0 <= pixels.min() <= pixels.max() <= 1
        assert targets.shape[1] == 6
        assert set(targets[:, 0].tolist()) <= {0, 1, 2, 3}
        assert set(targets[:, 1].tolist()) <= {0, 1, 2}


def test_the_same_seed_gives_the_same_batches_and_another_others() -> None:
    for (first, wanted), (second, given) in zip(draw(1), draw(1), strict=True):
        assert torch.equal(first, second)
        assert torch.equal(wanted, given)
    assert not torch.equal(draw(1, 1)[0][0], draw(2, 1)[0][0])


def test_no_batch_is_like_the_one_before() -> None:
    first, second, _ = draw(1)
    assert not torch.equal(first[0], second[0])


def test_targets_name_image_label_centre_and_size() -> None:
    examples = some_images()[:2]
    examples.insert(1, LabelledImage(pixels=plain_ground(100), boxes=boxes_of([]), labels=np.zeros(0, np.int64)))
    assert targets_of(examples).tolist() == [[0, 0, 25, 35, 30, 30], [2, 1, 55, 35, 30, 30]]


def test_a_batch_without_objects_has_no_targets() -> None:
    empty = LabelledImage(pixels=plain_ground(100), boxes=boxes_of([]), labels=np.zeros(0, np.int64))
    assert targets_of([empty, empty]).shape == (0, 6)
