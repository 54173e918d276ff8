"""Batches for training: weighted sources of labelled images, cropped at random, drawn ahead in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orbitloop_ground.adapters.yolo.augment import Augmentation, LabelledImage, training_crop


def training_batches(
    images: list[LabelledImage],
    shares: NDArray[np.float64],
    *,
    side: int,
    size: int,
    augmentation: Augmentation,
    seed: int,
    part: slice = slice(None),
    first: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches; the same seed gives the same ones.

    Args:
        part: what of each batch is given, where several processes share it: together they see what one alone sees.
        first: how many batches to leave out, where a training goes on.

    Yields:
        Images ``(size, 3, side, side)``, or as many as ``part`` leaves, float32 in [0, 1] and targets ``(n, 6)`` as
        ``loss.assign`` wants them.
    """
    draw = partial(training_crop, images, shares, side, augmentation)
    with ThreadPoolExecutor(max_workers=1) as ahead:
        step = first
        following = ahead.submit(_batch, draw, size, (seed, step), part)
        while True:
            batch = following.result()
            step += 1
            following = ahead.submit(_batch, draw, size, (seed, step), part)
            yield batch


def _batch(
    draw: Callable[[np.random.Generator], LabelledImage], size: int, seed: tuple[int, int], part: slice
) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    examples = [draw(rng) for _ in range(size)][part]
    pixels = torch.from_numpy(np.stack([example.pixels for example in examples]))
    return pixels.permute(0, 3, 1, 2).float().div_(255), torch.from_numpy(targets_of(examples))


def targets_of(examples: list[LabelledImage]) -> NDArray[np.float32]:
    """``(n, 6)``: image index, label, centre x, centre y, width, height in pixels."""
    rows = []
    for index, example in enumerate(examples):
        low, high = example.boxes[:, :2], example.boxes[:, 2:]
        head = np.stack([np.full(len(low), index), example.labels], axis=1)
        rows.append(np.concatenate([head, (low + high) / 2, high - low], axis=1))
    return np.concatenate(rows).astype(np.float32)
