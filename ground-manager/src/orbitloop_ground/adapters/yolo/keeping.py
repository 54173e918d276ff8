"""What holds a model to what it could before it learns: a cost beside the detector's own loss.

Replay needs none: its old pictures are among those that are trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.loss import BALANCE, OBJECTNESS, assign
from orbitloop_ground.adapters.yolo.network import YoloTiny

DISTILLATION = 1.0
"""Weight of the old model's answers beside the truth."""
ELASTICITY = 0.01
"""Weight of the moved weights' importance, whose mean over all weights is 1."""
ANSWERED = 0.05
"""An anchor's box and class are kept to where the old model's objectness is above this."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """One step of training.

    Args:
        images: ``(b, 3, h, w)`` float32 on the device, as the network takes them.
        targets: ``(n, 6)``, as ``loss.assign`` wants them.
        outputs: raw logits per head.
        weights: the tensors that gave them, by name.
    """

    images: Tensor
    targets: Tensor
    outputs: tuple[Tensor, ...]
    weights: Mapping[str, Tensor]


class Keeper(Protocol):
    """Holds training to what the model could before."""

    def cost(self, seen: Seen) -> Tensor:
        """What is added to the loss of a step; a scalar, with gradient."""
        ...


class KeepsNothing:
    """Adds nothing."""

    def cost(self, seen: Seen) -> Tensor:
        """Zero."""
        return seen.outputs[0].new_zeros(())


class Distillation:
    """The old model's answers, as soft labels (Learning without Forgetting, Li and Hoiem 2016).

    As for detectors in Shmelkov et al. 2017, both heads answer: objectness everywhere but where the truth has an
    object, box and class where the old model sees one.

    Args:
        old: the network before it learns, on the device; it is not changed.
    """

    def __init__(self, old: YoloTiny, compute: Compute, weight: float = DISTILLATION) -> None:
        self._old = old
        self._compute = compute
        self._weight = weight

    def cost(self, seen: Seen) -> Tensor:
        """Cross-entropy of objectness and class, smooth L1 of the box's logits."""
        with torch.no_grad(), self._compute.autocast():
            answers: tuple[Tensor, ...] = self._old(seen.images)
        parts = zip(seen.outputs, answers, range(len(answers)), strict=True)
        return self._weight * torch.stack([self._of_head(new, old, seen.targets, at) for new, old, at in parts]).sum()

    def _of_head(self, output: Tensor, answer: Tensor, targets: Tensor, index: int) -> Tensor:
        head = self._old.spec.heads[index]
        batch, _, rows, columns = output.shape
        shape = (batch, len(head.anchors), self._old.spec.channels, rows, columns)
        new, old = output.float().view(shape), answer.float().view(shape)
        sure = old[:, :, 4].sigmoid()
        free = torch.ones_like(sure)
        image, anchor, row, column, _ = assign(targets, head, rows, columns)
        free[image, anchor, row, column] = 0
        seen = binary_cross_entropy_with_logits(new[:, :, 4], sure, weight=free)
        where = (sure * free > ANSWERED).nonzero(as_tuple=True)
        cost = OBJECTNESS * BALANCE[head.stride] * seen
        if not len(where[0]):
            return cost
        image, anchor, row, column = where
        mine, kept = new[image, anchor, :, row, column], old[image, anchor, :, row, column]
        trust = sure[where][:, None]
        box = (trust * smooth_l1_loss(mine[:, :4], kept[:, :4], reduction="none")).mean()
        named = binary_cross_entropy_with_logits(
            mine[:, 5:], kept[:, 5:].sigmoid(), weight=trust.expand_as(kept[:, 5:])
        )
        return cost + 3.0 * box + 0.3 * named


class ElasticWeights:
    """Elastic weight consolidation (Kirkpatrick et al. 2017): a spring on each weight, as stiff as old pictures say.

    Args:
        start: the tensors before training, by name.
        importance: of each of their values, from :func:`importance`.
    """

    def __init__(
        self, start: Mapping[str, Tensor], importance: Mapping[str, Tensor], weight: float = ELASTICITY
    ) -> None:
        self._start = {name: value.detach() for name, value in start.items()}
        self._importance = importance
        self._weight = weight

    def cost(self, seen: Seen) -> Tensor:
        """Half the sum of importance times squared move."""
        moved = [
            (stiffness * (seen.weights[name] - self._start[name]) ** 2).sum()
            for name, stiffness in self._importance.items()
        ]
        return 0.5 * self._weight * torch.stack(moved).sum()


def importance(gradients: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The diagonal of Fisher's information, estimated by squared gradients and scaled to a mean of 1.

    Args:
        gradients: of the loss on batches of old pictures, by name; one mapping a batch.

    Returns:
        By name, in the shape of each tensor; empty where there were no batches.
    """
    total: dict[str, Tensor] = {}
    for batch in gradients:
        for name, gradient in batch.items():
            square = gradient.detach().float() ** 2
            total[name] = total[name] + square if name in total else square
    if not total:
        return {}
    mean = sum(float(value.double().sum()) for value in total.values()) / sum(value.numel() for value in total.values())
    return {name: value / mean for name, value in total.items()} if mean > 0 else {}
