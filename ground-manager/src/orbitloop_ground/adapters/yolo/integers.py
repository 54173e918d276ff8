"""The network in 8-bit integers: what its layers put out is measured on the ground, the graph computes with that.

Activations are unsigned with a zero point, one scale for a layer; weights are signed, without, one scale for a channel
(Jacob et al. 2018, https://arxiv.org/abs/1712.05877): what processors multiply at once. The satellite makes the
integers out of its float32 weights, by :func:`orbitloop.domain.quantising.quantised`; the scales of activations are
constants of the graph. The heads stay float32: they are a hundredth of the work, and their logits span more than 256
steps tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn

from orbitloop.domain.errors import BadInput
from orbitloop.domain.quantising import CELL
from orbitloop.domain.tiling import in_floats
from orbitloop.wire.model_folder import Model
from orbitloop.wire.onnx_integers import KEY, IntegersText
from orbitloop_ground.adapters.yolo.export import Attributes, GraphBuilder, absent, lay_out
from orbitloop_ground.adapters.yolo.network import LEAK, network_with

Range: TypeAlias = tuple[float, float]
"""Smallest and largest value that a layer puts out, before its leaky ReLU."""
Shifts: TypeAlias = dict[str, NDArray[np.int64]]
Noting: TypeAlias = "Callable[[str, Tensor], None]"

INSIDE = 0.99999
"""Share of a layer's values on a tile that its range spans on either side: the few beyond would make steps coarse."""
_INSIDE_CHANNEL = 0.999
_MOST_DOUBLED = 2
"""Times: more would leave too few steps to the weights that take it back."""
_LOOKED_AT = 200_000
"""Values of a layer's output on a tile that are looked at, evenly spread."""
_STEPS = 255
FOLDED = "backbone.0.conv"
"""The convolution that sees the picture. What it puts out for a cell is what is pooled next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was measured on tiles, by convolution.

    Args:
        ranges: of what it puts out once its channels are doubled.
        shifts: how many times each output channel is doubled; none of the heads'.
    """

    ranges: dict[str, Range]
    shifts: Shifts


def calibrated(model: Model, tiles: Iterable[NDArray[np.uint8]], *, inside: float = INSIDE) -> Calibration:
    """Measure what each convolution puts out over ``tiles``, each ``(h, w, 3)`` uint8 with sides that are multiples of
    32: first how large its channels are beside each other, then its range.

    Raises:
        BadInput: there are no tiles, or what a layer puts out is no number.
    """
    kept = list(tiles)
    if not kept:
        raise BadInput("there is no picture to calibrate on")
    sizes: dict[str, NDArray[np.float32]] = {}

    def note_sizes(name: str, output: Tensor) -> None:
        values = output[0].flatten(1).numpy()
        some = np.abs(values[:, :: max(1, values.size // _LOOKED_AT)])
        size = np.quantile(some, _INSIDE_CHANNEL, axis=1).astype(np.float32)
        sizes[name] = np.maximum(size, sizes.get(name, size))

    _look(model, kept, note_sizes)
    if bad := [name for name, each in sizes.items() if not np.isfinite(each).all()]:
        raise BadInput(f"layer {bad[0]} of the model puts out no numbers; it cannot be calibrated")
    shifts = {name: _evened(each) for name, each in sizes.items() if not name.endswith("_head")}
    found: dict[str, list[Range]] = {name: [] for name in shifts}

    def note_ranges(name: str, output: Tensor) -> None:
        if name in found:
            values = np.ldexp(output[0].flatten(1).numpy(), shifts[name][:, None]).reshape(-1)
            some = values[:: max(1, len(values) // _LOOKED_AT)]
            low, high = np.quantile(some, [1 - inside, inside])
            found[name].append((float(low), float(high)))

    _look(model, kept, note_ranges)
    ranges = {name: (min(low for low, _ in each), max(high for _, high in each)) for name, each in found.items()}
    return Calibration(ranges=ranges, shifts=shifts)


def _look(model: Model, tiles: list[NDArray[np.uint8]], note: Noting) -> None:
    network = network_with(dict(model.weights), model.spec)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _given, output, name=name: note(name, output))
    with torch.inference_mode():
        for tile in tiles:
            network(torch.from_numpy(in_floats(tile[None])))


def _evened(sizes: NDArray[np.float32]) -> NDArray[np.int64]:
    """How often each channel can be doubled without becoming larger than the largest."""
    beside = sizes.max() / np.maximum(sizes, np.finfo(np.float32).tiny)
    return np.asarray(np.floor(np.log2(np.maximum(beside, 1))).clip(0, _MOST_DOUBLED), np.int64)


def integer_graph(model: Model, calibration: Calibration, *, weight_bits: int = 8) -> bytes:
    """The graph that computes in integers with the weights of ``model``, and of what updates make of it.

    Its input is ``images``, ``(b, h / 2, w / 2, 12)`` uint8, as :func:`~orbitloop.domain.quantising.in_cells` makes it.
    """
    network = network_with(dict(model.weights), model.spec)
    builder = IntegerBuilder(calibration, len(model.weights[f"{FOLDED}.weight"]))
    lay_out(builder)
    text = IntegersText(
        weight_bits=8 if weight_bits == 8 else 7,
        input_scales={kernel: float(scale) for kernel, scale in builder.input_scales.items()},
        folded=(FOLDED,),
        output_shifts={kernel: _digits(shifts) for kernel, shifts in calibration.shifts.items()},
        input_shifts={kernel: _digits(shifts) for kernel, shifts in builder.input_shifts.items()},
    )
    return builder.model(network, {KEY: text.model_dump_json()})


def _digits(shifts: NDArray[np.int64]) -> str:
    return "".join(map(str, shifts.tolist()))


class IntegerBuilder(GraphBuilder):
    """Puts steps of integers between the layers, which onnxruntime then joins with them into integer kernels.

    Args:
        calibration: of each convolution but the heads.
        outputs: channels that ``FOLDED`` puts out for a pixel.
    """

    picture = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "rows", "columns", 3 * CELL**2])

    def __init__(self, calibration: Calibration, outputs: int) -> None:
        super().__init__()
        self._outputs = outputs
        self._calibration = calibration
        self._known: dict[str, _Values] = {}
        self.input_scales: dict[str, np.float32] = {}
        self.input_shifts: Shifts = {}

    def images(self) -> str:
        """Bytes, channels first for the graph; in memory they stay as they are."""
        values = _Values(key="images", around=(0.0, 1.0), shifts=np.zeros(3, np.int64))
        self._constants(values)
        return self._real(self.add("Transpose", ["images"], perm=[0, 3, 1, 2]), values)

    def conv(self, kernel: str, value: str) -> str:
        """In integers, with their scales beside them."""
        given = self._known[value]
        self.input_scales[kernel], self.input_shifts[kernel] = _scale(given.around), given.shifts
        parts = [
            self.add("DequantizeLinear", [f"{kernel}.{part}", f"{kernel}.{part}_scale"], axis=0)
            for part in ("weight", "bias")
        ]
        self.kernels.append(kernel)
        around, shifts = self._calibration.ranges[kernel], self._calibration.shifts[kernel]
        made = _Values(key=kernel, around=around, shifts=shifts)
        return self._stepped(self.convolved(kernel, [value, *parts]), made)

    def head(self, kernel: str, value: str, *, output: str) -> str:
        """In float32."""
        self.input_shifts[kernel] = self._known[value].shifts
        return super().head(kernel, value, output=output)

    def block(self, module: str, value: str, *, pool: Attributes | None = None) -> str:
        """Neighbours first, then the leaky ReLU: it rises, so the largest stays the largest, and it has fewer to do."""
        kernel = f"{module}.conv"
        value = self.conv(kernel, value)
        if kernel == FOLDED:
            value = self.pooled(self._in_a_row(value), kernel_shape=[1, CELL**2], strides=[1, CELL**2])
        elif pool is not None:
            value = self.pooled(value, **pool)
        given = self._known[value]
        around = LEAK * given.around[0], given.around[1]
        leaked = _Values(key=module, around=around, shifts=given.shifts)
        return self._stepped(self.add("LeakyRelu", [value], alpha=LEAK), leaked)

    def pooled(self, value: str, **pool: Any) -> str:
        """In the steps of ``value``."""
        return self._stepped(super().pooled(value, **pool), self._known[value])

    def raised(self, value: str) -> str:
        """In the steps of ``value``."""
        return self._stepped(super().raised(value), self._known[value])

    def joined(self, first: str, second: str) -> str:
        """In steps that span both."""
        one, other = self._known[first], self._known[second]
        around = min(one.around[0], other.around[0]), max(one.around[1], other.around[1])
        both = _Values(key="joined", around=around, shifts=np.concatenate([one.shifts, other.shifts]))
        return self._stepped(super().joined(first, second), both)

    def absent(self, shapes: dict[str, list[int]]) -> list[onnx.TensorProto]:
        """Integers and scales of all but the heads, whose tensors are float32."""
        wanted: list[onnx.TensorProto] = []
        for kernel in self.kernels:
            weight, bias = shapes[f"{kernel}.weight"], shapes[f"{kernel}.bias"]
            if kernel not in self.input_scales:
                wanted += [absent(f"{kernel}.weight", weight), absent(f"{kernel}.bias", bias)]
                continue
            if kernel == FOLDED:
                weight = [CELL**2 * weight[0], CELL**2 * weight[1], *weight[2:]]
                bias = weight[:1]
            wanted += [
                absent(f"{kernel}.weight", weight, TensorProto.INT8),
                absent(f"{kernel}.weight_scale", bias),
                absent(f"{kernel}.bias", bias, TensorProto.INT32),
                absent(f"{kernel}.bias_scale", bias),
            ]
        return wanted

    def _in_a_row(self, value: str) -> str:
        """The pixels of each cell beside each other, instead of one behind the other."""
        apart = self.add("Transpose", [value], perm=[0, 2, 3, 1])
        self.constants.append(helper.make_tensor("apart", TensorProto.INT64, [4], [0, 0, -1, self._outputs]))
        row = self.add("Transpose", [self.add("Reshape", [apart, "apart"])], perm=[0, 3, 1, 2])
        self._known[row] = self._known[value]
        return row

    def _stepped(self, value: str, values: _Values) -> str:
        self._constants(values)
        return self._real(self.add("QuantizeLinear", [value, *values.names]), values)

    def _real(self, value: str, values: _Values) -> str:
        value = self.add("DequantizeLinear", [value, *values.names])
        self._known[value] = values
        return value

    def _constants(self, values: _Values) -> None:
        scale, zero = values.names
        if all(constant.name != scale for constant in self.constants):
            step = float(_scale(values.around))
            nought = min(round(max(0.0, -values.around[0]) / step), _STEPS)
            self.constants.append(helper.make_tensor(scale, TensorProto.FLOAT, [], [step]))
            self.constants.append(helper.make_tensor(zero, TensorProto.UINT8, [], [nought]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    """What is known of a tensor between layers."""

    key: str
    around: Range
    shifts: NDArray[np.int64]

    @property
    def names(self) -> tuple[str, str]:
        """Of the constants that say what a step is worth, and which is nought."""
        return f"{self.key}.scale", f"{self.key}.zero"


def _scale(around: Range) -> np.float32:
    """What one of 255 steps is worth that span ``around`` and nought."""
    span = max(around[1], 0.0) - min(around[0], 0.0)
    return np.float32(max(span, 1e-6) / _STEPS)
