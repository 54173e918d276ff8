"""Processes that train together: what each takes of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop_ground.adapters.yolo.augment import Augmentation, LabelledImage
from orbitloop_ground.adapters.yolo.batches import training_batches
from orbitloop_ground.adapters.yolo.peers import ALONE, Peers


@given(size=st.integers(1, 9), more=st.integers(0, 40))
def test_together_they_see_each_crop_once_and_weigh_it_alike(size: int, more: int) -> None:
    batch = list(range(size + more))
    peers = [Peers(rank=rank, size=size) for rank in range(size)]
    parts = [batch[one.part(len(batch))] for one in peers]
    assert sorted(crop for part in parts for crop in part) == batch
    weights = [one.weight(len(part), len(batch)) for one, part in zip(peers, parts, strict=True)]
    # the mean over processes of (mean over its part x its weight) is the mean over the batch
    means = [sum(part) / len(part) * weight for part, weight in zip(parts, weights, strict=True)]
    assert sum(means) / size == pytest.approx(sum(batch) / len(batch))


def test_more_processes_than_crops_are_refused() -> None:
    Peers(rank=0, size=8).check(8)
    with pytest.raises(BadInput, match="make BATCH at least 9"):
        Peers(rank=0, size=9).check(8)


def test_one_that_is_alone_asks_nobody() -> None:
    gradient = torch.tensor([1.0, 2.0])
    ALONE.average([gradient])
    assert gradient.tolist() == [1, 2]


def test_a_batch_that_is_shared_is_the_one_that_one_alone_draws() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([[8, 8, 40, 40], [50, 20, 80, 60]], np.float32)
    image = LabelledImage(pixels=rng.integers(0, 255, (96, 96, 3), np.uint8), boxes=boxes, labels=np.zeros(2, np.int64))

    def second(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        stream = training_batches([image], np.ones(1), side=64, size=5, augmentation=Augmentation(), seed=3, part=part)
        next(stream)
        return next(stream)

    whole, targets = second(slice(None))
    for rank in (0, 1):
        pixels, mine = second(Peers(rank=rank, size=2).part(5))
        assert torch.equal(pixels, whole[rank::2])
        numbers = targets[:, 0].int()
        expected = [targets[numbers == index, 1:] for index in range(rank, 5, 2)]
        assert torch.equal(mine[:, 1:], torch.cat(expected))
