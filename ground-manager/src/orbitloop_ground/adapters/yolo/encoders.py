"""Which numbers of the model may change in an update: one encoder, one way to spend its bytes.

An encoder chooses knobs before training, so that training lives within them; what it may not move stays as it flies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Protocol

import torch
from pydantic import TypeAdapter
from torch import Tensor

from orbitloop.domain.frontier import Point, choose
from orbitloop.domain.units import Bytes
from orbitloop_ground.adapters.yolo.knobs import GainKnob, Knob, LowRankKnob, ShiftKnob, SparseKnob
from orbitloop_ground.adapters.yolo.network import YoloTiny

_log = logging.getLogger(__name__)

BYTES_PER_COORDINATE = 0.65
"""What a sparse coordinate costs once packed, its gap and its quanta: a first guess, measured after training."""
FIXED_BYTES = 8_000
"""What gains, biases, header and signature take at most."""

Gradients = Callable[[], dict[str, Tensor]]
"""The summed absolute gradients of the convolutions' weights by name; asked for where an encoder needs them."""


class Encoder(Protocol):
    """One way to spend an update's bytes."""

    @property
    def name(self) -> str:
        """As tables tell it."""
        ...

    def knobs(self, network: YoloTiny, gradients: Gradients, budget: Bytes) -> list[Knob]:
        """What may change within ``budget`` bytes; what it takes in the end is measured after training."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NormsAndBiases:
    """Every bias, and the scale of every output channel, into which normalisation was folded."""

    name: str = "gains and biases"

    def knobs(self, network: YoloTiny, gradients: Gradients, budget: Bytes) -> list[Knob]:  # noqa: ARG002
        """Whatever the budget is: they take some 6 kB."""
        return [_shift(name, of) if of.ndim == 1 else _gain(name, of) for name, of in network.named_parameters()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """Every weight and bias of the two heads, and no other tensor."""

    name: str = "heads"

    def knobs(self, network: YoloTiny, gradients: Gradients, budget: Bytes) -> list[Knob]:  # noqa: ARG002
        """Whatever the budget is: with one class they take some 15 kB."""
        return [_shift(name, of) for name, of in network.named_parameters() if "head" in name]


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseCoordinates:
    """Gains and biases, and the single weights with the largest gradients, as many as the budget pays for.

    Args:
        exponent: a weight moves in steps of ``2**exponent``; what moves less than half of one is not sent.
        limit: most steps either way: 127 for 8 bits, 7 for 4, 1 for a sign.
    """

    name: str = "sparse"
    exponent: int = -7
    limit: int = 31

    def knobs(self, network: YoloTiny, gradients: Gradients, budget: Bytes) -> list[Knob]:
        """By :data:`BYTES_PER_COORDINATE`."""
        fixed = NormsAndBiases().knobs(network, gradients, budget)
        count = int(max(0, budget - FIXED_BYTES) / BYTES_PER_COORDINATE)
        return [*fixed, *self._chosen(gradients(), count)] if count else fixed

    def _chosen(self, gradients: dict[str, Tensor], count: int) -> list[Knob]:
        everything = torch.cat([gradient.reshape(-1) for gradient in gradients.values()])
        least = everything.topk(min(count, len(everything))).values[-1]
        knobs: list[Knob] = []
        for name, gradient in gradients.items():
            where = (gradient.reshape(-1) >= least).nonzero()[:, 0]
            if len(where):
                moves = torch.zeros(len(where), device=where.device, requires_grad=True)
                knobs.append(
                    SparseKnob(tensor=name, where=where, moves=moves, exponent=self.exponent, limit=self.limit)
                )
        return knobs


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRankFactors:
    """Gains and biases, and two thin matrices for every convolution (Hu et al. 2022), as wide as the budget pays for.

    Args:
        spread: standard deviation of the right factor before training; the left one is zero.
    """

    name: str = "low rank"
    spread: float = 0.25

    def knobs(self, network: YoloTiny, gradients: Gradients, budget: Bytes) -> list[Knob]:
        """The same rank everywhere, at most a byte for each of the factors' entries."""
        fixed = NormsAndBiases().knobs(network, gradients, budget)
        kernels = {name: of for name, of in network.named_parameters() if of.ndim == 4}
        of_one = sum(of.shape[0] + of[0].numel() for of in kernels.values())
        rank = int((budget - FIXED_BYTES) // of_one)
        return [*fixed, *(self._factors(name, of, rank) for name, of in kernels.items())] if rank > 0 else fixed

    def _factors(self, name: str, weight: Tensor, rank: int) -> LowRankKnob:
        left = torch.zeros(weight.shape[0], rank, device=weight.device, requires_grad=True)
        right = torch.randn(rank, weight[0].numel(), device=weight.device).mul_(self.spread).requires_grad_()
        return LowRankKnob(tensor=name, left=left, right=right)


ENCODERS: tuple[Encoder, ...] = (NormsAndBiases(), Heads(), SparseCoordinates(), LowRankFactors())


def best_within(budget: Bytes) -> Encoder:
    """The encoder that gained most within ``budget`` when it was measured; what the budget costs is logged.

    The points are of ``bench/delta``: the launched airplane model on the bundled frames. Another model gains other
    shares; which encoder is best for how many bytes is taken from there all the same.
    """
    told = resources.files(__package__).joinpath("frontier.json").read_text()
    points = TypeAdapter(list[Point]).validate_json(told)
    if budget < min(point.bytes for point in points):
        return NormsAndBiases()  # nothing takes less; the budget is checked once it is packed
    choice = choose(points, budget)
    _log.info("an update of at most %d bytes: %s", budget, choice)
    return next(encoder for encoder in ENCODERS if encoder.name == choice.point.encoder)


def _shift(name: str, of: Tensor) -> ShiftKnob:
    return ShiftKnob(tensor=name, shift=torch.zeros_like(of).requires_grad_())


def _gain(name: str, of: Tensor) -> GainKnob:
    return GainKnob(tensor=name, gain=torch.zeros(of.shape[0], device=of.device, requires_grad=True))
