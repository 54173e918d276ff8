"""Partial updates of a model: integers, a few per tensor, and how they change what flies.

Every step is exact or correctly rounded IEEE 754 single arithmetic on integers and powers of two, so that ground and
satellite get the same bits whatever their processors: a value moves by ``quanta * 2**exponent``, a channel is
multiplied by ``1 + quanta * 2**exponent``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import Weights

Quanta: TypeAlias = NDArray[np.int8]

EXPONENTS = range(-40, 9)
"""Powers of two that a step may be: far from where single precision would overflow or lose the step."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shift:
    """Every value of a tensor moves: ``quanta`` has the tensor's number of values."""

    tensor: str
    exponent: int
    quanta: Quanta


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gain:
    """Every output channel is scaled by ``1 + quanta * 2**exponent``: one quantum per entry of the first axis."""

    tensor: str
    exponent: int
    quanta: Quanta


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sparse:
    """Chosen values move: ``where`` holds strictly increasing positions in the flattened tensor, uint32."""

    tensor: str
    exponent: int
    where: NDArray[np.uint32]
    quanta: Quanta


Change: TypeAlias = Shift | Gain | Sparse


def apply(base: Weights, changes: Iterable[Change]) -> dict[str, NDArray[np.float32]]:
    """The model that ``changes`` make of ``base``; tensors that do not change are shared, not copied.

    Changes of one tensor are carried out in their order.

    Raises:
        BadInput: a change names an unknown tensor or does not fit its shape.
    """
    result = dict(base)
    for change in changes:
        if change.tensor not in result:
            raise BadInput(f"the update changes tensor {change.tensor!r}, which this model does not have")
        if change.exponent not in EXPONENTS:
            raise BadInput(f"{change.tensor}: exponent {change.exponent} is outside {EXPONENTS}")
        result[change.tensor] = _changed(result[change.tensor], change)
    return result


def _changed(tensor: NDArray[np.float32], change: Change) -> NDArray[np.float32]:
    step = np.float32(2.0) ** np.float32(change.exponent)
    match change:
        case Shift():
            _fits(change.tensor, change.quanta.shape, (tensor.size,))
            return tensor + change.quanta.astype(np.float32).reshape(tensor.shape) * step
        case Gain():
            _fits(change.tensor, change.quanta.shape, (tensor.shape[0],))
            factor = np.float32(1) + change.quanta.astype(np.float32) * step
            return tensor * factor.reshape(-1, *[1] * (tensor.ndim - 1))
        case Sparse():
            _fits(change.tensor, change.quanta.shape, change.where.shape)
            _ordered(change.tensor, change.where, tensor.size)
            flat = tensor.reshape(-1).copy()
            flat[change.where] += change.quanta.astype(np.float32) * step
            return flat.reshape(tensor.shape)
        case _:
            assert_never(change)


def _fits(name: str, given: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if given != wanted:
        raise BadInput(f"{name}: the update holds {given} values where the model has {wanted}")


def _ordered(name: str, where: NDArray[np.uint32], size: int) -> None:
    if len(where) and (int(where[-1]) >= size or (np.diff(where.astype(np.int64)) <= 0).any()):
        raise BadInput(f"{name}: the update's positions are not increasing or lie outside the tensor's {size} values")
