"""Incremental learning inside a byte budget: what may change is chosen first, then trained as it will fly."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from orbitloop.domain.delta import Change, apply
from orbitloop.domain.detection import mean_average_precision
from orbitloop.domain.errors import BadInput
from orbitloop.domain.keeping import Keeping
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.versions import Weights
from orbitloop.ports.trainer import Lesson, Lessons, OnStep, Trained
from orbitloop.wire.model_folder import Model
from orbitloop.wire.update import Step, Update, pack_update
from orbitloop.wire.update_streams import shapes_of
from orbitloop_ground.adapters.yolo.augment import Augmentation, LabelledImage
from orbitloop_ground.adapters.yolo.batches import training_batches
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.encoders import Encoder, best_within
from orbitloop_ground.adapters.yolo.keeping import (
    Distillation,
    ElasticWeights,
    Keeper,
    KeepsNothing,
    Seen,
    importance,
)
from orbitloop_ground.adapters.yolo.knobs import Knob, SparseKnob
from orbitloop_ground.adapters.yolo.loss import detection_loss
from orbitloop_ground.adapters.yolo.network import YoloTiny, network_with
from orbitloop_ground.adapters.yolo.peers import ALONE, Peers
from orbitloop_ground.adapters.yolo.torch_detector import TorchDetector

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """How an update is trained.

    Args:
        steps: optimiser steps.
        probes: batches over which the gradient is summed before coordinates are chosen.
        batch: crops per step.
        side: side of a crop in pixels.
        encoder: how an update's bytes are spent; ``None``: by the one that gained most within the budget when measured.
        full_rate: learning rate when every weight is free (Adam; short warm-up, cosine decay, as for all).
        keeping: what is done against forgetting.
        replay: share of the crops that show old pictures, where they are replayed.
        augmentation: how crops are drawn; its scales reach down to the old domain's.
        seed: seed of everything random.
    """

    steps: int = 300
    probes: int = 12
    batch: int = 8
    side: int = 320
    encoder: Encoder | None = None
    full_rate: float = 1e-3
    keeping: Keeping = Keeping.REPLAY
    replay: float = 0.3
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(scales=(0.45, 1.3)))
    seed: int = 0


class TorchTrainer:
    """The :class:`~orbitloop.ports.trainer.Trainer` with torch.

    Args:
        recipe: how to train.
        on_measure: told after each picture of a measurement: pictures done, pictures in all.
        peers: the processes that train the same together; all are given the same arguments, and get the same model.

    Raises:
        BadInput: a batch has fewer crops than there are processes.
    """

    def __init__(
        self, recipe: FineTuning, on_measure: Callable[[int, int], None] | None = None, peers: Peers = ALONE
    ) -> None:
        peers.check(recipe.batch)
        self._recipe = recipe
        self._peers = peers
        self._compute = Compute.best()
        self._on_measure = on_measure or (lambda done, total: None)
        self._keeper: Keeper = KeepsNothing()

    def train(self, flying: Model, lessons: Lessons, budget: Bytes, on_step: OnStep) -> Trained:
        """Changes of ``flying`` that fit ``budget`` once packed, and the model they make."""
        torch.manual_seed(self._recipe.seed)
        network = self._compute.place(network_with(dict(flying.weights), flying.spec)).train()
        self._keeper = self._keeper_of(network, lessons)
        stream = self._stream(lessons)
        encoder = self._recipe.encoder or best_within(budget)
        knobs = encoder.knobs(network, lambda: self._gradients(network, stream), budget)
        self._optimise(network, knobs, stream, self._recipe.steps, on_step)
        while (size := packed_size(knobs, flying.weights)) > budget:
            knobs = thinned(knobs, keep=0.85 * budget / size)
            self._optimise(network, knobs, stream, max(1, self._recipe.steps // 5), on_step)
        changes: list[Change] = [knob.change() for knob in knobs]
        return Trained(steps=(tuple(changes),), weights=apply(flying.weights, changes))

    def train_fully(
        self, flying: Model, lessons: Lessons, on_step: OnStep, only: frozenset[str] | None = None
    ) -> Weights:
        """Every weight free, in full precision: the reference that a partial update is measured against.

        Args:
            only: names of the tensors that are free, where not all are.
        """
        torch.manual_seed(self._recipe.seed)
        network = self._compute.place(network_with(dict(flying.weights), flying.spec)).train()
        stream = self._stream(lessons)
        free = [value for name, value in network.named_parameters() if only is None or name in only]
        optimiser = torch.optim.Adam(free, self._recipe.full_rate)
        self._descend(optimiser, lambda: self._loss(network, [], next(stream)), self._recipe.steps, on_step)
        return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}

    def precision(self, model: Model, lessons: list[Lesson]) -> float:
        """Mean average precision at IoU 0.5 over pictures."""
        detector = TorchDetector(model, self._compute)
        found = []
        for number, lesson in enumerate(lessons, start=1):
            found.append(detector.detect(lesson.pixels))
            self._on_measure(number, len(lessons))
        truth = [lesson.truth for lesson in lessons]
        return mean_average_precision(found, truth, classes=len(model.spec.classes))

    def _stream(self, lessons: Lessons) -> Iterator[Batch]:
        images = [_labelled(lesson) for lesson in [*lessons.new, *lessons.old]]
        return training_batches(
            images,
            _shares(lessons, self._recipe.replay if self._recipe.keeping.replays else 0.0),
            side=self._recipe.side,
            size=self._recipe.batch,
            augmentation=self._recipe.augmentation,
            seed=self._recipe.seed,
            part=self._peers.part(self._recipe.batch),
        )

    def _keeper_of(self, network: YoloTiny, lessons: Lessons) -> Keeper:
        """What holds ``network`` to what it can now; elastic weights need old pictures to be worth anything."""
        if self._recipe.keeping.distils:
            return Distillation(copy.deepcopy(network).eval().requires_grad_(False), self._compute)
        if self._recipe.keeping is not Keeping.ELASTIC or not lessons.old:
            return KeepsNothing()
        weights = dict(network.named_parameters())
        old = self._stream(Lessons(new=[], old=lessons.old))

        def gradients() -> Iterator[dict[str, Tensor]]:
            for _ in range(self._recipe.probes):
                found = torch.autograd.grad(self._loss(network, [], next(old)), list(weights.values()))
                self._peers.average(found)
                yield dict(zip(weights, found, strict=True))

        return ElasticWeights(weights, importance(gradients()))

    def _gradients(self, network: YoloTiny, stream: Iterator[Batch]) -> dict[str, Tensor]:
        """Summed absolute gradients of the convolutions over the probes."""
        total = {name: torch.zeros_like(weight) for name, weight in network.named_parameters() if weight.ndim == 4}
        chosen = [weight for name, weight in network.named_parameters() if name in total]
        for _ in range(self._recipe.probes):
            loss = self._loss(network, [], next(stream))
            gradients = torch.autograd.grad(loss, chosen)
            self._peers.average(gradients)
            for name, gradient in zip(total, gradients, strict=True):
                total[name] += gradient.abs()
        return total

    def _optimise(
        self, network: YoloTiny, knobs: list[Knob], stream: Iterator[Batch], steps: int, on_step: OnStep
    ) -> None:
        optimiser = torch.optim.Adam([{"params": [value], "lr": rate} for knob in knobs for value, rate in knob.values])
        self._descend(optimiser, lambda: self._loss(network, knobs, next(stream)), steps, on_step)

    def _loss(self, network: YoloTiny, knobs: list[Knob], batch: Batch) -> Tensor:
        weights: dict[str, Tensor] = dict(network.named_parameters())
        for knob in knobs:
            weights[knob.tensor] = knob.turn(weights[knob.tensor])
        images, targets = self._compute.move(batch[0]), batch[1].to(self._compute.device)
        with self._compute.autocast():
            outputs = functional_call(network, weights, (images,))
        loss = detection_loss(outputs, targets, network.spec)
        if knobs:  # where every weight is free, or gradients are only looked at, nothing holds it
            loss = loss + self._keeper.cost(Seen(images=images, targets=targets, outputs=outputs, weights=weights))
        return loss * self._peers.weight(len(batch[0]), self._recipe.batch)

    def _descend(
        self, optimiser: torch.optim.Optimizer, loss_of_next: Callable[[], Tensor], steps: int, on_step: OnStep
    ) -> None:
        """``steps`` steps of ``optimiser`` with a short warm-up and cosine decay."""
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate_factor(step, steps))
        turned = [value for group in optimiser.param_groups for value in group["params"]]
        for step in range(1, steps + 1):
            loss = loss_of_next()
            optimiser.zero_grad()
            loss.backward()
            loss = loss.detach()
            self._peers.average([*(value.grad for value in turned), loss])
            optimiser.step()
            schedule.step()
            on_step(step, steps, loss.item())


def _rate_factor(step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / 20)
    return warm * (0.05 + 0.95 * (1 + math.cos(math.pi * step / steps)) / 2)


def packed_size(knobs: list[Knob], flying: Weights) -> int:
    """Bytes of the signed update that ``knobs`` make, without canaries."""
    nowhere = Digest("sha256:" + 64 * "0")
    step = Step(changes=tuple(knob.change() for knob in knobs), result=nowhere)
    update = Update(base=nowhere, steps=(step,))
    return len(pack_update(update, lambda message: bytes(64), shapes_of(flying)))


def thinned(knobs: list[Knob], *, keep: float) -> list[Knob]:
    """The same knobs with only the share ``keep`` of the coordinates that moved at all: those that moved furthest.

    What is dropped was trained together with what stays, so train on after it.
    """
    sparse = [knob for knob in knobs if isinstance(knob, SparseKnob)]
    if not sparse:
        raise BadInput("the update's budget does not even pay for biases and gains; allow more bytes")
    moves = torch.cat([knob.moves.detach().abs() for knob in sparse])
    count = int(keep * int((moves >= 2.0 ** (sparse[0].exponent - 1)).sum()))
    least = moves.topk(count).values[-1] if count else moves.max() + 1
    lean = [knob.at_least(float(least)) for knob in sparse]
    return [knob for knob in knobs if not isinstance(knob, SparseKnob)] + [knob for knob in lean if len(knob.where)]


def _labelled(lesson: Lesson) -> LabelledImage:
    return LabelledImage(pixels=lesson.pixels, boxes=lesson.truth.boxes, labels=lesson.truth.labels)


def _shares(lessons: Lessons, replay: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How often each picture is drawn: new ones by their objects, old ones together ``replay`` of the time."""
    new = np.array([1.0 + len(lesson.truth.labels) for lesson in lessons.new])
    old = np.ones(len(lessons.old))
    if not len(new) and not len(old):
        raise BadInput("there is nothing to learn from: no labelled sample came down, and the archive is empty")
    if not len(old) or not len(new):
        both = np.concatenate([new, old])
        return np.asarray(both / both.sum())
    return np.concatenate([new / new.sum() * (1 - replay), old / old.sum() * replay])
