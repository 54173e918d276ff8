"""The network in 8-bit integers: what its layers put out is measured on the ground, the graph computes with that.

Activations are unsigned with a zero point, one scale for a layer; weights are signed, without, one scale for a channel
(Jacob et al. 2018, https://arxiv.org/abs/1712.05877): what processors multiply at once. The satellite makes the
integers out of its float32 weights, by :func:`orbitloop.domain.quantising.quantised`; the scales of activations are
constants of the graph. The heads stay float32: they are a hundredth of the work, and their logits span more than 256
steps tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
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

INSIDE = 0.9999
"""Share of a layer's values on a tile that its range spans on either side: the few beyond would make steps coarse."""
_LOOKED_AT = 200_000
"""Values of a layer's output on a tile that are looked at, evenly spread."""
_STEPS = 255
FOLDED = "backbone.0.conv"
"""The convolution that sees the picture. What it puts out for a cell is what is pooled next."""


def layer_ranges(model: Model, tiles: Iterable[NDArray[np.uint8]], *, inside: float = INSIDE) -> dict[str, Range]:
    """What each convolution puts out over ``tiles``, each ``(h, w, 3)`` uint8 with sides that are multiples of 32.

    Raises:
        BadInput: there are no tiles, or what a layer puts out is no number.
    """
    network = network_with(dict(model.weights), model.spec)
    found: dict[str, list[Range]] = {}

    def note(name: str, output: Tensor) -> None:
        values = output.numpy().reshape(-1)
        some = values[:: max(1, len(values) // _LOOKED_AT)]
        low, high = np.quantile(some, [1 - inside, inside])
        found.setdefault(name, []).append((float(low), float(high)))

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _given, output, name=name: note(name, output))
    with torch.inference_mode():
        for tile in tiles:
            network(torch.from_numpy(in_floats(tile[None])))
    ranges = {name: (min(low for low, _ in each), max(high for _, high in each)) for name, each in found.items()}
    if not ranges:
        raise BadInput("there is no picture to calibrate on")
    if bad := [name for name, each in ranges.items() if not all(map(math.isfinite, each))]:
        raise BadInput(f"layer {bad[0]} of the model puts out no numbers; it cannot be calibrated")
    return ranges


def integer_graph(model: Model, ranges: dict[str, Range], *, weight_bits: int = 8) -> bytes:
    """The graph that computes in integers with the weights of ``model``, and of what updates make of it.

    Its input is ``images``, ``(b, h / 2, w / 2, 12)`` uint8, as :func:`~orbitloop.domain.quantising.in_cells` makes it.
    """
    network = network_with(dict(model.weights), model.spec)
    builder = IntegerBuilder(ranges, len(model.weights[f"{FOLDED}.weight"]))
    lay_out(builder)
    scales = {kernel: float(scale) for kernel, scale in builder.input_scales.items()}
    text = IntegersText.model_validate({"weight_bits": weight_bits, "input_scales": scales, "folded": [FOLDED]})
    return builder.model(network, {KEY: text.model_dump_json()})


class IntegerBuilder(GraphBuilder):
    """Puts steps of integers between the layers, which onnxruntime then joins with them into integer kernels.

    Args:
        ranges: of each convolution but the heads', by name.
        outputs: channels that ``FOLDED`` puts out for a pixel.
    """

    picture = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "rows", "columns", 3 * CELL**2])

    def __init__(self, ranges: dict[str, Range], outputs: int) -> None:
        super().__init__()
        self._outputs = outputs
        self._ranges = ranges
        self._steps: dict[str, tuple[str, Range]] = {}
        self.input_scales: dict[str, np.float32] = {}

    def images(self) -> str:
        """Bytes, channels first for the graph; in memory they stay as they are."""
        self._constants("images", (0.0, 1.0))
        value = self.add("Transpose", ["images"], perm=[0, 3, 1, 2])
        return self._real(value, "images", (0.0, 1.0))

    def conv(self, kernel: str, value: str) -> str:
        """In integers, with their scales beside them."""
        self.input_scales[kernel] = _scale(self._steps[value][1])
        parts = [
            self.add("DequantizeLinear", [f"{kernel}.{part}", f"{kernel}.{part}_scale"], axis=0)
            for part in ("weight", "bias")
        ]
        self.kernels.append(kernel)
        return self._stepped(self.convolved(kernel, [value, *parts]), kernel, self._ranges[kernel])

    def block(self, module: str, value: str, *, pool: Attributes | None = None) -> str:
        """Neighbours first, then the leaky ReLU: it rises, so the largest stays the largest, and it has fewer to do."""
        kernel = f"{module}.conv"
        value = self.conv(kernel, value)
        if kernel == FOLDED:
            value = self.pooled(self._in_a_row(value), kernel_shape=[1, CELL**2], strides=[1, CELL**2])
        elif pool is not None:
            value = self.pooled(value, **pool)
        low, high = self._steps[value][1]
        return self._stepped(self.add("LeakyRelu", [value], alpha=LEAK), module, (LEAK * low, high))

    def pooled(self, value: str, **pool: Any) -> str:
        """In the steps of ``value``."""
        return self._stepped(super().pooled(value, **pool), *self._steps[value])

    def raised(self, value: str) -> str:
        """In the steps of ``value``."""
        return self._stepped(super().raised(value), *self._steps[value])

    def joined(self, first: str, second: str) -> str:
        """In steps that span both."""
        (low, high), (other_low, other_high) = (self._steps[value][1] for value in (first, second))
        return self._stepped(super().joined(first, second), "joined", (min(low, other_low), max(high, other_high)))

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
        self._steps[row] = self._steps[value]
        return row

    def _stepped(self, value: str, key: str, around: Range) -> str:
        self._constants(key, around)
        return self._real(self.add("QuantizeLinear", [value, f"{key}.scale", f"{key}.zero"]), key, around)

    def _real(self, value: str, key: str, around: Range) -> str:
        value = self.add("DequantizeLinear", [value, f"{key}.scale", f"{key}.zero"])
        self._steps[value] = key, around
        return value

    def _constants(self, key: str, around: Range) -> None:
        if all(constant.name != f"{key}.scale" for constant in self.constants):
            scale = _scale(around)
            zero = round(max(0.0, -around[0]) / float(scale))
            self.constants.append(helper.make_tensor(f"{key}.scale", TensorProto.FLOAT, [], [float(scale)]))
            self.constants.append(helper.make_tensor(f"{key}.zero", TensorProto.UINT8, [], [min(zero, _STEPS)]))


def _scale(around: Range) -> np.float32:
    """What one of 255 steps is worth that span ``around`` and nought."""
    span = max(around[1], 0.0) - min(around[0], 0.0)
    return np.float32(max(span, 1e-6) / _STEPS)
