"""Partial updates of a model: integers, a few per tensor, and how they change what flies.

Every step is exact or correctly rounded IEEE 754 single arithmetic on integers and powers of two, so that ground and
satellite get the same bits whatever their processors: a value moves by ``quanta * 2**exponent``, a channel is
multiplied by ``1 + quanta * 2**exponent``. Quanta of fewer bits than eight are the same with a smaller limit: what
they save is the packing's business.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import Weights

Quanta: TypeAlias = NDArray[np.int8]

EXPONENTS = range(-40, 9)
"""Powers of two that a step may be: far from where single precision would overflow or lose the step."""
MAX_RANK = 1024
"""Up to this many products of two int8 add up to no more than ``2**24``, up to which single precision is exact."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shift:
    """Every value of a tensor moves: ``quanta`` has the tensor's number of values."""

    tensor: str
    exponent: int
    quanta: Quanta


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gain:
    """Every channel is scaled by ``1 + quanta * 2**exponent``: one quantum per entry of ``axis``.

    Axis 0 holds the output channels, axis 1 the input channels.
    """

    tensor: str
    exponent: int
    quanta: Quanta
    axis: Literal[0, 1] = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sparse:
    """Chosen values move: ``where`` holds strictly increasing positions in the flattened tensor, uint32."""

    tensor: str
    exponent: int
    where: NDArray[np.uint32]
    quanta: Quanta


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LowRank:
    """Every value moves by a product of two thin matrices: ``left`` is ``(out, rank)``, ``right`` is ``(rank, rest)``.

    ``out`` is the tensor's first axis and ``rest`` all others in one (Hu et al. 2022, LoRA, with integer factors).
    """

    tensor: str
    exponent: int
    left: Quanta
    right: Quanta


Change: TypeAlias = Shift | Gain | Sparse | LowRank


def apply(base: Weights, changes: Iterable[Change]) -> dict[str, NDArray[np.float32]]:
    """The model that ``changes`` make of ``base``; tensors that do not change are shared, not copied.

    Changes of one tensor are carried out in their order.

    Raises:
        BadInput: a change names an unknown tensor or does not fit its shape.
    """
    result = dict(base)
    copied: set[str] = set()
    for change in changes:
        if change.tensor not in result:
            raise BadInput(f"the update changes tensor {change.tensor!r}, which this model does not have")
        if change.exponent not in EXPONENTS:
            raise BadInput(f"{change.tensor}: exponent {change.exponent} is outside {EXPONENTS}")
        if change.tensor not in copied:
            result[change.tensor] = np.array(result[change.tensor], np.float32, order="C")
            copied.add(change.tensor)
        _carry_out(change, result[change.tensor])
    return result


def _carry_out(change: Change, tensor: NDArray[np.float32]) -> None:
    """Change a tensor in its own memory."""
    step = np.float32(math.ldexp(1.0, change.exponent))
    match change:
        case Shift():
            _fits(change.tensor, change.quanta.shape, (tensor.size,))
            tensor += (change.quanta.astype(np.float32) * step).reshape(tensor.shape)
        case Gain():
            if change.axis >= tensor.ndim:
                raise BadInput(f"{change.tensor}: the update scales axis {change.axis} of {tensor.ndim}")
            _fits(change.tensor, change.quanta.shape, (tensor.shape[change.axis],))
            factor = np.float32(1) + change.quanta.astype(np.float32) * step
            tensor *= factor.reshape(-1, *[1] * (tensor.ndim - 1 - change.axis))
        case Sparse():
            _fits(change.tensor, change.quanta.shape, change.where.shape)
            _ordered(change.tensor, change.where, tensor.size)
            tensor.reshape(-1)[change.where] += change.quanta.astype(np.float32) * step
        case LowRank():
            _factors(change, tensor.shape)
            # Whole numbers up to 2**24, and so the same in whatever order the processor adds them.
            moved = change.left.astype(np.float32) @ change.right.astype(np.float32)
            moved *= step
            tensor += moved.reshape(tensor.shape)
        case _:
            assert_never(change)


def _fits(name: str, given: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if given != wanted:
        raise BadInput(f"{name}: the update holds {given} values where the model has {wanted}")


def _factors(change: LowRank, shape: tuple[int, ...]) -> None:
    if len(shape) < 2 or change.left.ndim != 2:
        raise BadInput(f"{change.tensor}: the update holds factors of a matrix, and the model has {shape} there")
    rank = change.left.shape[1]
    if not 1 <= rank <= MAX_RANK:
        raise BadInput(f"{change.tensor}: factors of rank {rank}; it is 1 to {MAX_RANK}")
    _fits(change.tensor, change.left.shape, (shape[0], rank))
    _fits(change.tensor, change.right.shape, (rank, math.prod(shape[1:])))


def _ordered(name: str, where: NDArray[np.uint32], size: int) -> None:
    if len(where) and (int(where[-1]) >= size or (np.diff(where.astype(np.int64)) <= 0).any()):
        raise BadInput(f"{name}: the update's positions are not increasing or lie outside the tensor's {size} values")
