"""What may change in an update, as trainable numbers that are rounded while they are trained.

Each knob belongs to one tensor and turns into one change of the delta format. The forward pass sees the rounded
value, the gradient passes as if nothing had been rounded (the straight-through estimator, Bengio et al. 2013), so
that what was trained is what flies. Where to put the sparse coordinates is decided before training, by the size of
the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from orbitloop.domain.delta import Change, Gain, LowRank, Quanta, Shift, Sparse


def rounded(value: Tensor, exponent: int, limit: int) -> Tensor:
    """``value`` in whole steps of ``2**exponent``, at most ``limit`` of them either way; gradient as if unrounded."""
    step = 2.0**exponent
    flown = (value / step).round().clamp(-limit, limit) * step
    return value + (flown - value).detach()


def quanta(value: Tensor, exponent: int, limit: int) -> Quanta:
    """The whole steps themselves, int8."""
    steps = (value.detach().cpu() / 2.0**exponent).round().clamp(-limit, limit)
    return steps.numpy().astype(np.int8)


class Knob(Protocol):
    """Trainable numbers that change one tensor."""

    @property
    def tensor(self) -> str:
        """Which one."""
        ...

    @property
    def values(self) -> list[tuple[Tensor, float]]:
        """What the optimiser turns, and at which learning rate (Adam)."""
        ...

    def turn(self, weight: Tensor) -> Tensor:
        """The tensor as it would fly."""
        ...

    def change(self) -> Change:
        """The same as a change of the delta format."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShiftKnob:
    """Moves every value of a tensor, most often a bias; ``shift`` has the tensor's shape."""

    tensor: str
    shift: Tensor
    exponent: int = -7
    limit: int = 127
    rate: float = 0.05

    @property
    def values(self) -> list[tuple[Tensor, float]]:
        """The shifts."""
        return [(self.shift, self.rate)]

    def turn(self, weight: Tensor) -> Tensor:
        """``weight + shift``."""
        return weight + rounded(self.shift, self.exponent, self.limit)

    def change(self) -> Change:
        """A :class:`Shift`."""
        steps = quanta(self.shift, self.exponent, self.limit).reshape(-1)
        return Shift(tensor=self.tensor, exponent=self.exponent, quanta=steps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GainKnob:
    """Scales every output channel of a convolution."""

    tensor: str
    gain: Tensor
    exponent: int = -7
    limit: int = 127
    rate: float = 0.15

    @property
    def values(self) -> list[tuple[Tensor, float]]:
        """The gains."""
        return [(self.gain, self.rate)]

    def turn(self, weight: Tensor) -> Tensor:
        """``weight * (1 + gain)`` by channel."""
        return weight * (1 + rounded(self.gain, self.exponent, self.limit))[:, None, None, None]

    def change(self) -> Change:
        """A :class:`Gain`."""
        return Gain(tensor=self.tensor, exponent=self.exponent, quanta=quanta(self.gain, self.exponent, self.limit))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SparseKnob:
    """Moves chosen values of a tensor; ``where`` holds their sorted positions, int64."""

    tensor: str
    where: Tensor
    moves: Tensor
    exponent: int
    limit: int
    rate: float = 4e-3

    @property
    def values(self) -> list[tuple[Tensor, float]]:
        """The moves."""
        return [(self.moves, self.rate)]

    def at_least(self, move: float) -> SparseKnob:
        """The same knob without the coordinates that moved less than ``move``."""
        stays = self.moves.detach().abs() >= move
        return SparseKnob(
            tensor=self.tensor,
            where=self.where[stays],
            moves=self.moves.detach()[stays].clone().requires_grad_(),
            exponent=self.exponent,
            limit=self.limit,
            rate=self.rate,
        )

    def turn(self, weight: Tensor) -> Tensor:
        """``weight`` with the chosen values moved."""
        moved = rounded(self.moves, self.exponent, self.limit)
        return weight.reshape(-1).index_add(0, self.where, moved).view(weight.shape)

    def change(self) -> Change:
        """A :class:`Sparse` without the positions whose move was rounded to nothing."""
        steps = quanta(self.moves, self.exponent, self.limit)
        used = steps != 0
        where = self.where.cpu().numpy().astype(np.uint32)
        return Sparse(tensor=self.tensor, exponent=self.exponent, where=where[used], quanta=steps[used])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LowRankKnob:
    """Moves every weight of a convolution by a product: ``left`` is ``(out, rank)``, ``right`` ``(rank, rest)``."""

    tensor: str
    left: Tensor
    right: Tensor
    left_exponent: int = -11
    right_exponent: int = -6
    limit: int = 127
    left_rate: float = 3e-4
    right_rate: float = 3e-3

    @property
    def values(self) -> list[tuple[Tensor, float]]:
        """Both factors."""
        return [(self.left, self.left_rate), (self.right, self.right_rate)]

    def turn(self, weight: Tensor) -> Tensor:
        """``weight + left @ right``."""
        left = rounded(self.left, self.left_exponent, self.limit)
        right = rounded(self.right, self.right_exponent, self.limit)
        return weight + (left @ right).view(weight.shape)

    def change(self) -> Change:
        """A :class:`LowRank`."""
        return LowRank(
            tensor=self.tensor,
            exponent=self.left_exponent + self.right_exponent,
            left=quanta(self.left, self.left_exponent, self.limit),
            right=quanta(self.right, self.right_exponent, self.limit),
        )
