"""Weights as 8-bit integers, made of the float32 ones by a fixed rule: the same bits wherever it is followed.

A version stays what it is as float32: updates change that, and its digest is what both sides compare. Each step here is
one correctly rounded IEEE 754 operation, so that ground and satellite make the same integers of the same version.
Scales are symmetric and per output channel (Krishnamoorthi 2018, https://arxiv.org/abs/1806.08342, section 3.1);
channels of activations are evened out as Nagel et al. do (2019, https://arxiv.org/abs/1906.04721), here by powers of
two, which float32 multiplies by exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import Weights

Tensors: TypeAlias = dict[str, NDArray[Any]]

CELL = 2
"""Side of a cell, in pixels: a folded convolution takes the pixels of each as channels of one."""
_BIAS = np.iinfo(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Integers:
    """Which convolutions compute in integers, and how.

    Args:
        input_scales: what one step of a convolution's input is worth, by the convolution's name, float32.
        largest: magnitude of an integer weight. 127 uses all of 8 bits. 63 leaves one bit out, so that two products
            never overflow the 16 bits that x86 processors without VNNI add them up in.
        folded: those whose input comes in cells, see :func:`folded`.
        output_shifts: by convolution, for each output channel, how many times it is doubled, so that small channels
            use as many steps as large ones. ReLUs, the largest of neighbours and copies leave that as it is.
        input_shifts: by convolution, the shifts of its input's channels, which its weights take back; also of
            convolutions that are no integers.
    """

    input_scales: Mapping[str, np.float32]
    largest: int = 127
    folded: frozenset[str] = frozenset()
    output_shifts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    input_shifts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


def quantised(weights: Weights, integers: Integers) -> Tensors:
    """The tensors of a quantised graph.

    Args:
        weights: a version; convolution weights ``(out, in, k, k)``, biases ``(out,)``.
        integers: which convolutions get integers.

    Returns:
        For each such convolution ``.weight`` (int8), ``.weight_scale`` (float32, one per output channel: largest
        magnitude / ``largest``), ``.bias`` (int32) and ``.bias_scale`` (float32: input scale times weight scale); all
        other tensors as they are.

    Raises:
        BadInput: a convolution is missing, or its tensors have other shapes.
    """
    made: Tensors = dict(weights)
    for kernel in {**integers.input_scales, **integers.input_shifts}:
        weight, bias = _tensors_of(kernel, weights)
        taken_back = np.ldexp(np.float32(1), -_shifts(integers.input_shifts, kernel, weight.shape[1]))
        if kernel not in integers.input_scales:
            made[f"{kernel}.weight"] = weight * taken_back[:, None, None]
            continue
        doubled = np.ldexp(np.float32(1), _shifts(integers.output_shifts, kernel, len(weight)))
        steps, scale = _by_channel(weight, doubled, taken_back, integers.largest)
        bias_scale = scale * np.float32(integers.input_scales[kernel])
        parts = {
            f"{kernel}.bias": _bias(bias * doubled, bias_scale),
            f"{kernel}.weight_scale": scale,
            f"{kernel}.bias_scale": bias_scale,
        }
        if kernel in integers.folded:
            if weight.shape[2:] != (3, 3):
                raise BadInput(f"convolution {kernel!r} has shape {weight.shape}; only 3 by 3 pixels can be folded")
            steps, parts = folded(steps), {name: np.tile(part, CELL**2) for name, part in parts.items()}
        made |= {f"{kernel}.weight": steps, **parts}
    return made


def in_cells(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(b, h, w, 3)`` with even sides as ``(b, h / 2, w / 2, 12)``: row and column in the cell, then colour."""
    count, height, width, colours = tiles.shape
    cells = np.empty((count, height // CELL, width // CELL, CELL, CELL, colours), np.uint8)
    for row, column, colour in np.ndindex(CELL, CELL, colours):  # one by one: twice as fast as all at once
        cells[..., row, column, colour] = tiles[:, row::CELL, column::CELL, colour]
    return cells.reshape(*cells.shape[:3], -1)


def folded(weight: NDArray[np.int8]) -> NDArray[np.int8]:
    """A convolution of 3 by 3 pixels as one of 3 by 3 cells, which puts out the four pixels of a cell as channels.

    It multiplies as much by nothing as not, and is faster all the same: three channels of a picture fill no register,
    twelve do, and there are a quarter as many places to gather pixels for.

    Args:
        weight: ``(out, in, 3, 3)``.

    Returns:
        ``(4 out, 4 in, 3, 3)``; channels are ordered by row in the cell, column in the cell, channel.
    """
    outputs, inputs = weight.shape[:2]
    made = np.zeros((CELL, CELL, outputs, CELL, CELL, inputs, 3, 3), weight.dtype)
    for row, column, down, across in np.ndindex(CELL, CELL, 3, 3):
        y, x = (
            row + down - 1,
            column + across - 1,
        )  # of the pixel seen, from the first of the cell; -1 is the cell before
        made[row, column, :, y % CELL, x % CELL, :, y // CELL + 1, x // CELL + 1] = weight[:, :, down, across]
    return made.reshape(CELL**2 * outputs, CELL**2 * inputs, 3, 3)


def _tensors_of(kernel: str, weights: Weights) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    names = f"{kernel}.weight", f"{kernel}.bias"
    if any(name not in weights for name in names):
        raise BadInput(f"the graph has a convolution {kernel!r}, and the weights have none; they are of another model")
    weight, bias = (weights[name] for name in names)
    if weight.ndim != 4 or not weight.size or bias.shape != weight.shape[:1]:
        raise BadInput(f"convolution {kernel!r} has shapes {weight.shape} and {bias.shape}; fetch the model again")
    return weight, bias


def _shifts(given: Mapping[str, NDArray[np.int64]], kernel: str, channels: int) -> NDArray[np.int64]:
    shifts = given.get(kernel, np.zeros(channels, np.int64))
    if len(shifts) != channels:
        raise BadInput(f"convolution {kernel!r} has {channels} channels, the graph shifts {len(shifts)}")
    return shifts


def _by_channel(
    weight: NDArray[np.float32], doubled: NDArray[np.float32], taken_back: NDArray[np.float32], largest: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    steps, scale = np.empty(weight.shape, np.int8), np.empty(len(weight), np.float32)
    for channel, row in enumerate(weight):  # one by one: a copy of all of them would be as large as the model
        moved = row * (taken_back * doubled[channel])[:, None, None]
        most = np.abs(moved).max()
        # What is smaller than normal numbers counts as nothing.
        scale[channel] = max((most if most > 0 else np.float32(1)) / np.float32(largest), np.finfo(np.float32).tiny)
        steps[channel] = np.rint(moved / scale[channel]).clip(-largest, largest)
    return steps, scale


def _bias(bias: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.int32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.rint(bias.astype(np.float64) / scale.astype(np.float64))
    return np.nan_to_num(steps, nan=0.0).clip(_BIAS.min, _BIAS.max).astype(np.int32)
