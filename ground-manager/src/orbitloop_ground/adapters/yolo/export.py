"""The network as an ONNX graph whose weights are external initializers: named, shaped, and absent."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import onnx
from onnx import TensorProto, helper

from orbitloop.domain.detection import DetectorSpec
from orbitloop_ground.adapters.yolo.network import BACKBONE, LEAK, YoloTiny

OPSET = 17
IR_VERSION = 8
HALVED = {"kernel_shape": [2, 2], "strides": [2, 2]}
KEPT = {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [0, 0, 1, 1]}

Attributes: TypeAlias = dict[str, Any]


def export_graph(spec: DetectorSpec, *, width: int = 1) -> bytes:
    """ONNX bytes (opset 17) of :class:`YoloTiny`; input ``images``, outputs ``coarse`` and ``fine``.

    Every weight refers to external data that does not exist: a runtime must supply it by name.

    """
    builder = GraphBuilder()
    lay_out(builder)
    return builder.model(YoloTiny(spec, normalised=False, width=width))


def lay_out(builder: GraphBuilder) -> None:
    """The network, layer by layer, from ``images`` to ``coarse`` and ``fine``."""
    value = builder.images()
    fine = ""
    for index in range(len(BACKBONE)):
        module = f"backbone.{index}"
        if index == 4:
            fine = builder.block(module, value)
            value = builder.pooled(fine, **HALVED)
        else:
            value = builder.block(module, value, pool=HALVED if index < 5 else KEPT)
    neck = builder.block("neck", builder.block("top", value))
    builder.head("coarse_head", builder.block("coarse", neck), output="coarse")
    joined = builder.joined(builder.raised(builder.block("lateral", neck)), fine)
    builder.head("fine_head", builder.block("fine", joined), output="fine")


class GraphBuilder:
    """Makes a graph of float32: nodes by ``add``, and the layers that :func:`lay_out` asks for."""

    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.kernels: list[str] = []

    def add(self, operator: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        """A node; returns the name of its only output."""
        name = output or f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def images(self) -> str:
        """The input, as the first convolution takes it."""
        return "images"

    def conv(self, kernel: str, value: str) -> str:
        """A convolution with the tensors ``kernel.weight`` and ``kernel.bias``."""
        self.kernels.append(kernel)
        return self.convolved(kernel, [value, *_parts(kernel)])

    def convolved(self, kernel: str, inputs: list[str], *, output: str = "") -> str:
        """The node of a convolution; those of ``neck`` and ``lateral`` and the heads see one pixel, others 3 by 3."""
        return self.add("Conv", inputs, output=output, **_padding(kernel))

    def head(self, kernel: str, value: str, *, output: str) -> str:
        """A convolution whose outputs are logits."""
        self.kernels.append(kernel)
        return self.convolved(kernel, [value, *_parts(kernel)], output=output)

    def block(self, module: str, value: str, *, pool: Attributes | None = None) -> str:
        """A convolution, a leaky ReLU and perhaps the largest of neighbours."""
        value = self.add("LeakyRelu", [self.conv(f"{module}.conv", value)], alpha=LEAK)
        return value if pool is None else self.pooled(value, **pool)

    def pooled(self, value: str, **pool: Any) -> str:
        """The largest of neighbours."""
        return self.add("MaxPool", [value], **pool)

    def raised(self, value: str) -> str:
        """Each pixel as four."""
        self.constants.append(helper.make_tensor("raise", TensorProto.FLOAT, [4], [1.0, 1.0, 2.0, 2.0]))
        return self.add(
            "Resize",
            [value, "", "raise"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )

    def joined(self, first: str, second: str) -> str:
        """The channels of both."""
        return self.add("Concat", [first, second], axis=1)

    def absent(self, shapes: dict[str, list[int]]) -> list[onnx.TensorProto]:
        """The tensors to be supplied, in order; ``shapes`` are the network's."""
        return [absent(name, shapes[name]) for kernel in self.kernels for name in _parts(kernel)]

    def model(self, network: YoloTiny, metadata: dict[str, str] | None = None) -> bytes:
        """The ONNX file."""
        spec = network.spec
        shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
        channels = [len(head.anchors) * spec.channels for head in spec.heads]
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", count, None, None])
            for name, count in zip(("coarse", "fine"), channels, strict=True)
        ]
        initializers = [*self.absent(shapes), *self.constants]
        graph = helper.make_graph(self.nodes, "yolov3-tiny", [self.picture], outputs, initializers)
        made = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="orbitloop",
        )
        helper.set_model_props(made, metadata or {})
        return bytes(made.SerializeToString(deterministic=True))


def _parts(kernel: str) -> tuple[str, str]:
    return f"{kernel}.weight", f"{kernel}.bias"


def _padding(kernel: str) -> Attributes:
    side = 1 if kernel.removesuffix(".conv") in {"neck", "lateral", "coarse_head", "fine_head"} else 3
    return {"kernel_shape": [side, side], "pads": [side // 2] * 4}


def absent(name: str, shape: list[int], kind: int = TensorProto.FLOAT) -> onnx.TensorProto:
    """A tensor that a runtime must supply by name."""
    size = helper.tensor_dtype_to_np_dtype(kind).itemsize * math.prod(shape)
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "supplied-by-name"), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    return tensor
