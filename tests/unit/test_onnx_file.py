"""One ONNX file out of a graph and its weights, that any ONNX runtime reads."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.testing.builders import a_spec
from orbitloop.wire.onnx_file import reaches_outside, with_weights
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_ground.adapters.yolo.export import export_graph
from orbitloop_ground.adapters.yolo.network import YoloTiny, weights_of

SPEC = a_spec()
NETWORK = YoloTiny(SPEC, normalised=False)
GRAPH, WEIGHTS = export_graph(SPEC), weights_of(NETWORK)


def test_the_file_answers_as_the_detector_on_board_does() -> None:
    model = with_weights(GRAPH, WEIGHTS)
    onnx.checker.check_model(onnx.load_from_string(model))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(1).random((1, 3, SPEC.tile, SPEC.tile), np.float32)
    expected = OnnxDetector(GRAPH, WEIGHTS, SPEC).forward(images)
    for found, wanted in zip(session.run(None, {"images": images}), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_only_the_initializers_are_written_anew() -> None:
    before, after = onnx.load_from_string(GRAPH), onnx.load_from_string(with_weights(GRAPH, WEIGHTS))
    assert [tensor.name for tensor in before.graph.initializer] == [tensor.name for tensor in after.graph.initializer]
    for was, tensor in zip(before.graph.initializer, after.graph.initializer, strict=True):
        if tensor.name in WEIGHTS:
            np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), WEIGHTS[tensor.name])
        else:
            assert tensor == was
    for model in (before, after):
        del model.graph.initializer[:]
    assert before == after
    assert with_weights(with_weights(GRAPH, WEIGHTS), WEIGHTS) == with_weights(GRAPH, WEIGHTS)


def test_weights_of_another_model_are_refused() -> None:
    some = dict(WEIGHTS)
    tensor = some.pop(min(some))
    with pytest.raises(BadInput, match="wants a tensor"):
        with_weights(GRAPH, some)
    with pytest.raises(BadInput, match="no initializer 'more'"):
        with_weights(GRAPH, WEIGHTS | {"more": tensor})


@given(data=st.binary(max_size=60), cut=st.integers(0, len(GRAPH)))
def test_any_bytes_are_read_or_refused(data: bytes, cut: int) -> None:
    for given_ in (data, GRAPH[:cut] + data):
        try:
            with_weights(given_, WEIGHTS)
        except BadInput:
            continue
        assert given_[: len(GRAPH)] == GRAPH


def outside_tensor() -> onnx.TensorProto:
    """One whose data are somewhere else."""
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="elsewhere")
    return tensor


@pytest.mark.parametrize("place", ["initializer", "constant", "branch", "function", "nowhere"])
def test_data_in_another_file_are_found_wherever_they_hide(place: str) -> None:
    make = onnx.helper
    tensor = outside_tensor() if place != "nowhere" else make.make_tensor("w", 1, [1], [0.0])
    constant = make.make_node("Constant", [], ["y"], value=tensor)
    branch = make.make_graph([constant], "branch", [], [])
    nodes = [constant] if place in {"constant", "nowhere"} else []
    if place == "branch":
        nodes = [make.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)]
    graph = make.make_graph(nodes, "graph", [], [], [tensor] if place in {"initializer", "nowhere"} else [])
    function = make.make_function("own", "f", [], ["y"], [constant], [make.make_opsetid("", 17)])
    model = make.make_model(graph, functions=[function] if place == "function" else [])
    assert reaches_outside(model.SerializeToString()) == (place != "nowhere")
