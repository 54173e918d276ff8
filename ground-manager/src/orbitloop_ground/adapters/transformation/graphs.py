"""Networks as ONNX files with their weights inside; the same weights make the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from orbitloop.domain.detection import Floats
from orbitloop.domain.resampling import GLIMPSE, INPUT
from orbitloop_ground.adapters.transformation.networks import GRID, THUMBNAIL, EngineNet, ValueNet

OPSET = 17
IR_VERSION = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reach:
    """Where contexts lie among the features of tiles.

    Args:
        centres: ``(contexts, FEATURES)`` float32, whitened.
        whitening: ``(FEATURES, FEATURES)`` float32; features times it have unit covariance within contexts.
        limit: largest squared distance of a tile that is like one of them.
    """

    centres: Floats
    whitening: Floats
    limit: float


def value_graph(network: ValueNet) -> bytes:
    """ONNX bytes; input ``tiles`` ``(b, 3, 128, 128)``, output ``values`` ``(b, 16, 16)`` probabilities."""
    graph = _Graph("value-map", INPUT)
    value = "tiles"
    for index, step in enumerate(network.down):
        value = graph.step(f"down.{index}", step, value)
    mean = graph.add("GlobalAveragePool", [value])
    value = graph.add("Add", [value, graph.conv("whole", network.whole, mean)])
    for index, block in enumerate(network.further):
        value = graph.add("Add", [value, graph.step(f"further.{index}", block, value)])
    value = graph.conv("head", network.head, graph.step("mix", network.mix, value))
    squeezed = graph.add("Squeeze", [value, graph.constant("axis", np.array([1], np.int64))])
    graph.add("Sigmoid", [squeezed], output="values")
    return graph.model({"values": ["batch", GRID, GRID]})


def engine_graph(network: EngineNet, reach: Reach) -> bytes:
    """ONNX bytes; input ``tiles`` ``(b, 3, 32, 32)``, outputs ``logits`` ``(b, contexts)``, ``distances`` ``(b,)``."""
    graph = _Graph("context-engine", GLIMPSE)
    side = [THUMBNAIL, THUMBNAIL]
    small = graph.add("AveragePool", ["tiles"], kernel_shape=side, strides=side)
    value = small
    for index, step in enumerate(network.down):
        value = graph.step(f"down.{index}", step, value)
    pooled = [graph.add("GlobalAveragePool", [value]), graph.add("GlobalMaxPool", [value])]
    joined = graph.conv("head", network.head, graph.add("Concat", pooled, axis=1))
    graph.add("Flatten", [joined], output="logits", axis=1)
    whitened = graph.add("MatMul", [_features(graph, small), graph.constant("whitening", reach.whitening)])
    one = graph.constant("one", np.array([1], np.int64))
    apart = graph.add("Sub", [graph.add("Unsqueeze", [whitened, one]), graph.constant("centres", reach.centres)])
    two = graph.constant("two", np.array([2], np.int64))
    squared = graph.add("ReduceSum", [graph.add("Mul", [apart, apart]), two], keepdims=0)
    graph.add("ReduceMin", [squared], output="distances", axes=[1], keepdims=0)
    return graph.model({"logits": ["batch", network.head.out_channels], "distances": ["batch"]})


def _features(graph: _Graph, small: str) -> str:
    """See :func:`~orbitloop_ground.adapters.transformation.networks.features`."""
    means = graph.add("ReduceMean", [small], axes=[2, 3], keepdims=1)
    contrast = graph.add("Abs", [graph.add("Sub", [small, means])])
    grey = graph.add("ReduceMean", [small], axes=[1], keepdims=1)
    last = GLIMPSE // THUMBNAIL
    steps = []
    for axis in (3, 2):
        ahead = graph.part(grey, axis, 1, last)
        behind = graph.part(grey, axis, 0, last - 1)
        step = graph.add("Abs", [graph.add("Sub", [ahead, behind])])
        steps.append(graph.add("ReduceMean", [step], axes=[1, 2, 3], keepdims=1))
    spread = graph.add("ReduceMean", [contrast], axes=[2, 3], keepdims=1)
    return graph.add("Flatten", [graph.add("Concat", [means, spread, *steps], axis=1)], axis=1)


class _Graph:
    def __init__(self, name: str, side: int) -> None:
        self.name, self.side = name, side
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}

    def add(self, operator: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        name = output or f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def part(self, value: str, axis: int, start: int, end: int) -> str:
        bounds = [self.constant(f"at{number}", np.array([number], np.int64)) for number in (start, end, axis)]
        return self.add("Slice", [value, *bounds])

    def conv(self, name: str, layer: nn.Conv2d, value: str) -> str:
        assert layer.bias is not None
        return self._convolved(name, layer, value, _numbers(layer.weight), _numbers(layer.bias))

    def step(self, name: str, step: nn.Module, value: str) -> str:
        """A convolution with its normalisation folded in, and its rectifier."""
        assert isinstance(step, nn.Sequential)
        layer, norm = step[0], step[1]
        assert isinstance(layer, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_var is not None
        assert norm.running_mean is not None
        gain = _numbers(norm.weight) / np.sqrt(_numbers(norm.running_var) + np.float32(norm.eps))
        bias = _numbers(norm.bias) - _numbers(norm.running_mean) * gain
        kernel = _numbers(layer.weight) * gain[:, None, None, None]
        return self.add("Relu", [self._convolved(name, layer, value, kernel, bias)])

    def _convolved(self, name: str, layer: nn.Conv2d, value: str, kernel: Floats, bias: Floats) -> str:
        inputs = [value, self.constant(f"{name}.weight", kernel), self.constant(f"{name}.bias", bias)]
        side, stride, pad = layer.kernel_size[0], layer.stride[0], layer.padding[0]
        assert isinstance(pad, int)
        return self.add(
            "Conv",
            inputs,
            kernel_shape=[side, side],
            strides=[stride, stride],
            dilations=list(layer.dilation),
            pads=[pad] * 4,
        )

    def model(self, outputs: dict[str, list[Any]]) -> bytes:
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
        tiles = helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["batch", 3, self.side, self.side])
        graph = helper.make_graph(self.nodes, self.name, [tiles], infos, list(self.tensors.values()))
        opset = [helper.make_opsetid("", OPSET)]
        made = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="orbitloop")
        onnx.checker.check_model(made)
        return bytes(made.SerializeToString(deterministic=True))


def _numbers(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().cpu().numpy(), np.float32)
