"""Training a base detector on a public set before there is any satellite, or a teacher out of one."""

from __future__ import annotations

import copy
import io
import math
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.detection import DetectorSpec
from orbitloop.domain.errors import BadInput, NotYet
from orbitloop_ground.adapters.yolo.anchors import fit_anchors, heads_for
from orbitloop_ground.adapters.yolo.augment import Augmentation, LabelledImage
from orbitloop_ground.adapters.yolo.batches import training_batches
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.loss import detection_loss
from orbitloop_ground.adapters.yolo.network import YoloTiny, fold
from orbitloop_ground.adapters.yolo.widen import widened


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


TEACHER = Recipe(
    steps=600, batch=8, rate=5e-4, warmup=50, width=2, augmentation=Augmentation(scales=(0.5, 2.0), mosaic=0.4)
)
"""A teacher out of the bundled model: twice its channels, and views from half to twice the set's own scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """A part of a training that takes long.

    Args:
        file: where the training is kept until it goes on.
        seconds: how long it may take; at least one step is done.
    """

    file: Path
    seconds: float


def pretrain(
    images: list[LabelledImage],
    classes: tuple[str, ...],
    recipe: Recipe,
    progress: Callable[[int, int, float], None],
    *,
    start: YoloTiny | None = None,
    sitting: Sitting | None = None,
) -> YoloTiny:
    """Train from random weights or from ``start``; returns the folded network, rounded to what float16 can hold.

    Args:
        progress: called after each step with step, steps, loss.
        start: a folded network of the same classes to begin with, made as wide as the recipe says.
        sitting: how much of it to do now; the same call goes on with it.

    Raises:
        BadInput: there are too few objects, ``start`` does not fit, or what is kept is of another training.
        NotYet: the sitting is over and the training is not.
    """
    torch.manual_seed(recipe.seed)
    training = _Training(_beginning(images, classes, recipe, start), recipe)
    until = math.inf if sitting is None else time.monotonic() + sitting.seconds
    if sitting is not None:
        training.restore(sitting.file)
    shares = np.full(len(images), 1 / len(images))
    stream = training_batches(
        images,
        shares,
        side=recipe.side,
        size=recipe.batch,
        augmentation=recipe.augmentation,
        seed=recipe.seed,
        first=training.step,
    )
    while training.step < recipe.steps:
        loss = training.descend(*next(stream))
        progress(training.step, recipe.steps, loss)
        if sitting is not None and (time.monotonic() > until or training.step == recipe.steps):
            training.keep(sitting.file)
            if training.step < recipe.steps:
                done = f"{training.step} of {recipe.steps} steps are done"
                raise NotYet(f"{done}; run the same again to go on from there")
    return training.released()


def _beginning(
    images: list[LabelledImage], classes: tuple[str, ...], recipe: Recipe, start: YoloTiny | None
) -> YoloTiny:
    if start is None:
        shapes = np.concatenate([image.boxes[:, 2:] - image.boxes[:, :2] for image in images])
        heads = heads_for(fit_anchors(shapes, count=6, seed=recipe.seed))
        return YoloTiny(
            DetectorSpec(classes=classes, heads=heads, tile=recipe.tile), normalised=True, width=recipe.width
        )
    if start.spec.classes != classes:
        raise BadInput(f"the set has {', '.join(classes)}, the model to start from {', '.join(start.spec.classes)}")
    return widened(start, recipe.width, seed=recipe.seed)


class _Training:
    """A network on its way."""

    def __init__(self, network: YoloTiny, recipe: Recipe) -> None:
        self.step = 0
        self._recipe = recipe
        self._compute = Compute.best()
        self._network = self._compute.place(network).train()
        self._average = copy.deepcopy(network).eval()
        self._optimiser = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.decay)

    def descend(self, pixels: torch.Tensor, targets: torch.Tensor) -> float:
        """One step; returns its loss."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._recipe.rate * _rate_factor(self.step, self._recipe)
        with self._compute.autocast():
            outputs = self._network(self._compute.move(pixels))
        loss = detection_loss(outputs, targets.to(self._compute.device), self._network.spec)
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 10.0)
        self._optimiser.step()
        self.step += 1
        _follow(self._average, self._network, min(self._recipe.average, (1 + self.step) / (10 + self.step)))
        return loss.item()

    def released(self) -> YoloTiny:
        """What flies or teaches: the average, without normalisation."""
        average = self._average.cpu()
        return rounded(fold(average) if average.normalised else average)

    def keep(self, file: Path) -> None:
        """Write all that is needed to go on."""
        data = io.BytesIO()
        state = {
            "recipe": repr(self._recipe),
            "step": self.step,
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        torch.save(state, data)
        write_durably(file, data.getvalue())

    def restore(self, file: Path) -> None:
        """Go on from what is kept, if anything is; raises ``BadInput`` if that is another training."""
        if not file.exists():
            return
        try:
            state = torch.load(file, map_location=self._compute.device, weights_only=True)
        except (OSError, RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError) as error:
            first = str(error).splitlines()[0][:200]
            raise BadInput(f"{file}: cannot be read as a training ({first}); remove it to begin anew") from error
        if state["recipe"] != repr(self._recipe):
            raise BadInput(f"{file}: keeps a training by another recipe; finish that one, or remove the file")
        self.step = state["step"]
        self._network.load_state_dict(state["network"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])


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
