"""The network as an ONNX graph whose weights are external initializers: named, shaped, and absent."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto, helper

from orbitloop.domain.detection import DetectorSpec
from orbitloop_ground.adapters.yolo.network import BACKBONE, LEAK, YoloTiny

OPSET = 17
IR_VERSION = 8


def export_graph(spec: DetectorSpec, *, width: int = 1) -> bytes:
    """ONNX bytes (opset 17) of :class:`YoloTiny`; input ``images``, outputs ``coarse`` and ``fine``.

    Every weight refers to external data that does not exist: a runtime must supply it by name.

    """
    builder = _Builder()
    value = "images"
    fine = ""
    for index in range(len(BACKBONE)):
        value = builder.block(f"backbone.{index}", value)
        if index == 4:
            fine = value
        if index < 5:
            value = builder.add("MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2])
    value = builder.add("MaxPool", [value], kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1])
    neck = builder.block("neck", builder.block("top", value))
    builder.conv("coarse_head", builder.block("coarse", neck), output="coarse")
    raised = builder.add(
        "Resize",
        [builder.block("lateral", neck), "", "raise"],
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )
    joined = builder.add("Concat", [raised, fine], axis=1)
    builder.conv("fine_head", builder.block("fine", joined), output="fine")
    return builder.model(YoloTiny(spec, normalised=False, width=width))


class _Builder:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.kernels: list[str] = []

    def add(self, operator: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        name = output or f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def conv(self, module: str, value: str, *, output: str = "") -> str:
        self.kernels.append(module)
        names = [value, f"{module}.weight", f"{module}.bias"]
        return self.add("Conv", names, output=output, **_padding(module))

    def block(self, module: str, value: str) -> str:
        self.kernels.append(f"{module}.conv")
        names = [value, f"{module}.conv.weight", f"{module}.conv.bias"]
        return self.add("LeakyRelu", [self.add("Conv", names, **_padding(module))], alpha=LEAK)

    def model(self, network: YoloTiny) -> bytes:
        spec = network.spec
        shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
        channels = [len(head.anchors) * spec.channels for head in spec.heads]
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", count, None, None])
            for name, count in zip(("coarse", "fine"), channels, strict=True)
        ]
        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])
        initializers = [_absent(name, shapes[name]) for kernel in self.kernels for name in _parts(kernel)]
        initializers.append(helper.make_tensor("raise", TensorProto.FLOAT, [4], [1.0, 1.0, 2.0, 2.0]))
        graph = helper.make_graph(self.nodes, "yolov3-tiny", [images], outputs, initializers)
        made = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="orbitloop",
        )
        return bytes(made.SerializeToString(deterministic=True))


def _parts(kernel: str) -> tuple[str, str]:
    return f"{kernel}.weight", f"{kernel}.bias"


def _padding(module: str) -> dict[str, Any]:
    side = 1 if module in {"neck", "lateral", "coarse_head", "fine_head"} else 3
    return {"kernel_shape": [side, side], "pads": [side // 2] * 4}


def _absent(name: str, shape: list[int]) -> onnx.TensorProto:
    size = 4
    for side in shape:
        size *= side
    tensor = onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "supplied-by-name"), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    return tensor
