"""Training a base detector from scratch on a public set, before there is any satellite."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from orbitloop.domain.detection import DetectorSpec
from orbitloop_ground.adapters.yolo.anchors import fit_anchors, heads_for
from orbitloop_ground.adapters.yolo.augment import Augmentation, LabelledImage
from orbitloop_ground.adapters.yolo.batches import training_batches
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.loss import detection_loss
from orbitloop_ground.adapters.yolo.network import YoloTiny, fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a base detector is trained; the defaults are those of the bundled model.

    Args:
        steps: optimiser steps.
        batch: crops per step.
        side: side of a crop in pixels.
        tile: side of the tiles that the detector will look at, in pixels.
        rate: largest learning rate (AdamW, Loshchilov and Hutter 2019; linear warm-up, cosine decay).
        decay: weight decay.
        average: decay of the exponential moving average of the weights, which is what is released.
        width: factor on the number of channels, see :class:`YoloTiny`.
        seed: seed of everything random.
    """

    steps: int = 1200
    batch: int = 16
    side: int = 320
    tile: int = 640
    rate: float = 1.5e-3
    decay: float = 0.02
    average: float = 0.998
    warmup: int = 200
    width: int = 1
    seed: int = 7
    augmentation: Augmentation = Augmentation(scales=(0.85, 1.2))


def pretrain(
    images: list[LabelledImage],
    classes: tuple[str, ...],
    recipe: Recipe,
    progress: Callable[[int, int, float], None],
    checkpoint: Callable[[int, YoloTiny], None] | None = None,
) -> YoloTiny:
    """Train from random weights; returns the folded network, rounded to what float16 can hold.

    Args:
        progress: called after each step with step, steps, loss.
    """
    torch.manual_seed(recipe.seed)
    shapes = np.concatenate([image.boxes[:, 2:] - image.boxes[:, :2] for image in images])
    heads = heads_for(fit_anchors(shapes, count=6, seed=recipe.seed))
    compute = Compute.best()
    spec = DetectorSpec(classes=classes, heads=heads, tile=recipe.tile)
    network = compute.place(YoloTiny(spec, normalised=True, width=recipe.width))
    average = copy.deepcopy(network).eval()
    optimiser = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate_factor(step, recipe))
    shares = np.full(len(images), 1 / len(images))
    stream = training_batches(
        images, shares, side=recipe.side, size=recipe.batch, augmentation=recipe.augmentation, seed=recipe.seed
    )
    network.train()
    for step in range(1, recipe.steps + 1):
        pixels, targets = next(stream)
        with compute.autocast():
            outputs = network(compute.move(pixels))
        loss = detection_loss(outputs, targets.to(compute.device), network.spec)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        _follow(average, network, min(recipe.average, (1 + step) / (10 + step)))
        progress(step, recipe.steps, loss.item())
        if checkpoint is not None:
            checkpoint(step, average)
    return rounded(fold(average.cpu()))


def _rate_factor(step: int, recipe: Recipe) -> float:
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2


@torch.no_grad()
def _follow(average: YoloTiny, network: YoloTiny, decay: float) -> None:
    """Move the averaged weights (and running statistics) towards the trained ones."""
    target = network.state_dict()
    for name, tensor in average.state_dict().items():
        if tensor.dtype.is_floating_point:
            tensor.lerp_(target[name], 1 - decay)
        else:
            tensor.copy_(target[name])


@torch.no_grad()
def rounded(network: YoloTiny) -> YoloTiny:
    """The network with every weight rounded to float16 and back, so that a float16 file holds it exactly."""
    for parameter in network.parameters():
        parameter.copy_(parameter.half().float())
    return network
