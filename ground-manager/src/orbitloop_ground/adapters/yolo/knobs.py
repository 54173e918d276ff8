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

from orbitloop.domain.delta import Change, Gain, Quanta, Shift, Sparse


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
    def values(self) -> list[Tensor]:
        """What the optimiser turns."""
        ...

    def turn(self, weight: Tensor) -> Tensor:
        """The tensor as it would fly."""
        ...

    def change(self) -> Change:
        """The same as a change of the delta format."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShiftKnob:
    """Moves every value of a bias."""

    tensor: str
    shift: Tensor
    exponent: int = -9
    limit: int = 127

    @property
    def values(self) -> list[Tensor]:
        """The shifts."""
        return [self.shift]

    def turn(self, weight: Tensor) -> Tensor:
        """``weight + shift``."""
        return weight + rounded(self.shift, self.exponent, self.limit)

    def change(self) -> Change:
        """A :class:`Shift`."""
        return Shift(tensor=self.tensor, exponent=self.exponent, quanta=quanta(self.shift, self.exponent, self.limit))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GainKnob:
    """Scales every output channel of a convolution."""

    tensor: str
    gain: Tensor
    exponent: int = -9
    limit: int = 127

    @property
    def values(self) -> list[Tensor]:
        """The gains."""
        return [self.gain]

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

    @property
    def values(self) -> list[Tensor]:
        """The moves."""
        return [self.moves]

    def at_least(self, move: float) -> SparseKnob:
        """The same knob without the coordinates that moved less than ``move``."""
        stays = self.moves.detach().abs() >= move
        return SparseKnob(
            tensor=self.tensor,
            where=self.where[stays],
            moves=self.moves.detach()[stays].clone().requires_grad_(),
            exponent=self.exponent,
            limit=self.limit,
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
