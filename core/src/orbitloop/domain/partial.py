"""From two versions of a model to the changes that make the one of the other: exact where they can be, small always.

Training inside a budget moves weights by whole steps of a power of two; those steps are found again and the changes
are exact. Any other training is rounded to such steps, and what moved least is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.delta import EXPONENTS, Change, Gain, Shift, Sparse, apply
from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import Weights

_LIMIT = 127
_ROUNDING = 2.0**-21
"""Relative to the largest weight of a tensor: what single precision may add to a step, a few times over."""
_GAIN_ROUNDING = 2.0**-20

Floats = NDArray[np.float32]


def differences(base: Weights, new: Weights) -> tuple[Change, ...]:
    """Changes of ``base`` that come as close to ``new`` as whole steps do, tensor by tensor.

    Raises:
        BadInput: the two are not versions of one model.
    """
    _demand_alike(base, new)
    return tuple(change for name in sorted(base) for change in _of_tensor(name, base[name], new[name]))


def thinned(changes: Sequence[Change], most: int) -> tuple[Change, ...]:
    """The same, with the ``most`` largest moves of all sparse changes; nothing else is left out."""
    sparse = [change for change in changes if isinstance(change, Sparse)]
    moves = sizes_of_moves(sparse)
    if len(moves) <= most:
        return tuple(changes)
    stays = np.zeros(len(moves), bool)
    stays[np.argsort(-moves, kind="stable")[: max(0, most)]] = True
    kept: list[Change] = []
    at = 0
    for change in changes:
        if not isinstance(change, Sparse):
            kept.append(change)
            continue
        mine = stays[at : at + len(change.where)]
        at += len(change.where)
        if mine.any():
            kept.append(
                Sparse(
                    tensor=change.tensor,
                    exponent=change.exponent,
                    where=change.where[mine],
                    quanta=change.quanta[mine],
                )
            )
    return tuple(kept)


def sparse_moves(changes: Iterable[Change]) -> int:
    """How many single values they move."""
    return sum(len(change.where) for change in changes if isinstance(change, Sparse))


def sizes_of_moves(changes: Iterable[Sparse]) -> NDArray[np.float64]:
    """How far each value moves, of all changes in their order."""
    moves = [np.abs(change.quanta.astype(np.float64)) * 2.0**change.exponent for change in changes]
    return np.concatenate(moves or [np.zeros(0)])


def carried(base: Weights, new: Weights, made: Weights) -> float:
    """How far from ``base`` to ``new`` the version ``made`` goes, by squared distance: 1 arrives, 0 stays."""
    way = sum(_squared(new[name], base[name]) for name in base)
    left = sum(_squared(new[name], made[name]) for name in base)
    return 1.0 if way == 0 else max(0.0, 1.0 - left / way)


def _squared(one: Floats, other: Floats) -> float:
    return float(np.square(one.astype(np.float64) - other.astype(np.float64)).sum())


def _demand_alike(base: Weights, new: Weights) -> None:
    if odd := sorted(base.keys() ^ new.keys()):
        has = "lacks" if odd[0] in base else "has"
        raise BadInput(f"the new model {has} tensor {odd[0]!r}, unlike the one that flies; train what flies")
    for name, tensor in base.items():
        if new[name].shape != tensor.shape:
            raise BadInput(f"tensor {name!r} is {new[name].shape}, and {tensor.shape} flies; train what flies")
        if not np.isfinite(new[name]).all():
            raise BadInput(f"tensor {name!r} holds values that are no numbers; training diverged, lower its rate")


def _of_tensor(name: str, base: Floats, new: Floats) -> list[Change]:
    move = new - base
    if not move.any():
        return []
    if base.ndim < 2:
        exponent, quanta = _steps(move, base)
        return [Shift(tensor=name, exponent=exponent, quanta=quanta.reshape(-1))] if quanta.any() else []
    plain = _sparse(name, move, base)
    gain = _gain(name, base, new)
    if gain is None:
        return plain
    scaled = apply({name: base}, [gain])[name]
    rest = _sparse(name, new - scaled, base)
    return [gain, *rest] if sparse_moves(rest) < sparse_moves(plain) else plain


def _sparse(name: str, move: Floats, base: Floats) -> list[Change]:
    if not move.any():
        return []
    exponent, quanta = _steps(move.reshape(-1), base)
    where = np.flatnonzero(quanta).astype(np.uint32)
    return [Sparse(tensor=name, exponent=exponent, where=where, quanta=quanta[where])] if len(where) else []


def _gain(name: str, base: Floats, new: Floats) -> Gain | None:
    """The factor of each channel, where all of them are whole steps from 1 and most values agree."""
    rows, moved = base.reshape(len(base), -1), new.reshape(len(base), -1)
    safe = np.where(rows == 0, 1, rows)
    ratios = np.where(rows == 0, np.nan, moved.astype(np.float64) / safe)
    if np.isnan(ratios).all(axis=1).any():
        return None
    factors = np.nanmedian(ratios, axis=1) - 1
    if not np.isfinite(factors).all():
        return None
    found = _whole(factors, _GAIN_ROUNDING)
    if found is None or not found[1].any():
        return None
    return Gain(tensor=name, exponent=found[0], quanta=found[1])


def _steps(move: NDArray[np.float32], base: Floats) -> tuple[int, NDArray[np.int8]]:
    """Steps of a power of two: exact where there are such, else the finest that reach the largest move."""
    noise = float(np.abs(base).max(initial=0)) * _ROUNDING
    exact = _whole(move.astype(np.float64), noise)
    if exact is not None:
        return exact
    exponent = max(EXPONENTS.start, math.ceil(math.log2(float(np.abs(move).max()) / _LIMIT)))
    if exponent not in EXPONENTS:
        raise BadInput(f"a weight moves by {float(np.abs(move).max()):g}; training diverged, lower its rate")
    return exponent, np.rint(move / 2.0**exponent).clip(-_LIMIT, _LIMIT).astype(np.int8)


def _whole(values: NDArray[np.float64], noise: float) -> tuple[int, NDArray[np.int8]] | None:
    """The coarsest exponent of which every value is a whole multiple, but for ``noise``, and the multiples."""
    largest = float(np.abs(values).max())
    if largest <= noise:
        return None
    coarsest = min(EXPONENTS.stop - 1, math.floor(math.log2(largest + noise)))
    for exponent in range(coarsest, max(EXPONENTS.start, coarsest - 7) - 1, -1):
        if 2.0**exponent <= 8 * noise:
            return None
        quanta = np.rint(values / 2.0**exponent)
        if np.abs(quanta).max() <= _LIMIT and np.abs(quanta * 2.0**exponent - values).max() <= noise:
            return exponent, quanta.astype(np.int8)
    return None
