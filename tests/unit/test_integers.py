"""The network in 8-bit integers: close to float32, and made again out of whatever weights there are."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.domain.quantising import in_cells
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.testing.builders import a_spec
from orbitloop.wire.model_folder import Model
from orbitloop.wire.onnx_file import with_weights
from orbitloop.wire.onnx_integers import KEY, integers_of, tensors_for
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_ground.adapters.yolo.export import export_graph
from orbitloop_ground.adapters.yolo.integers import calibrated, integer_graph
from orbitloop_ground.adapters.yolo.network import YoloTiny, network_with, weights_of

SPEC = a_spec()
TILES = [np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8) for seed in range(4)]


@pytest.fixture(scope="module")
def model() -> Model:
    """Float32, with layers whose outputs spread as those of a trained network do."""
    torch.manual_seed(5)
    network = YoloTiny(SPEC, normalised=False)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("conv.weight"):
                parameter.mul_(2.4)
    return Model(spec=SPEC, weights=weights_of(network), graph=export_graph(SPEC))


@pytest.fixture(scope="module")
def graph(model: Model) -> bytes:
    return integer_graph(model, calibrated(model, TILES, inside=1.0))


def detector(graph: bytes, weights: Weights, threads: int = 1) -> OnnxDetector:
    return OnnxDetector(graph, weights, SPEC, threads=threads)


def changed_metadata(graph: bytes, text: str) -> bytes:
    made = onnx.load_from_string(graph)
    onnx.helper.set_model_props(made, {KEY: text})
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("bits", [8, 7])
def test_integers_see_nearly_what_float32_sees(model: Model, bits: int) -> None:
    flying = detector(integer_graph(model, calibrated(model, TILES, inside=1.0), weight_bits=bits), model.weights)
    tiles = np.stack(TILES)
    with torch.no_grad():
        wanted = network_with(dict(model.weights), SPEC)(
            torch.from_numpy(tiles.transpose(0, 3, 1, 2).astype(np.float32) / 255)
        )
    for output, expected in zip(flying.see(tiles), wanted, strict=True):
        exact = expected.numpy()
        assert output.shape == exact.shape
        assert output.dtype == np.float32
        assert np.corrcoef(output.ravel(), exact.ravel())[0, 1] > 0.99
        assert np.abs(output - exact).mean() < 0.1 * np.abs(exact - exact.mean()).mean()


def test_bytes_and_floats_are_the_same_picture(model: Model, graph: bytes) -> None:
    flying = detector(graph, model.weights)
    floats = np.stack(TILES).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    for output, expected in zip(flying.forward(floats), flying.see(np.stack(TILES)), strict=True):
        np.testing.assert_array_equal(output, expected)


def test_the_graph_is_valid_and_holds_no_weights(model: Model, graph: bytes) -> None:
    made = onnx.load_from_string(graph)
    integers = integers_of(graph)
    assert integers is not None
    assert set(integers.input_scales) == {name.removesuffix(".weight") for name in model.weights if ".conv.w" in name}
    assert set(integers.input_shifts) == {*integers.input_scales, "coarse_head", "fine_head"}
    assert any(shifts.any() for shifts in integers.output_shifts.values())
    assert len(graph) < 40_000
    outside = {each.name for each in made.graph.initializer if each.data_location == onnx.TensorProto.EXTERNAL}
    assert outside == set(tensors_for(graph, model.weights))
    assert [each.name for each in made.graph.output] == ["coarse", "fine"]
    assert integer_graph(model, calibrated(model, TILES, inside=1.0)) == graph
    assert integers_of(model.graph) is None


def test_one_file_answers_as_the_detector_on_board_does(model: Model, graph: bytes) -> None:
    whole = with_weights(graph, model.weights)
    onnx.checker.check_model(onnx.load_from_string(whole), full_check=True)
    session = onnxruntime.InferenceSession(whole, providers=["CPUExecutionProvider"])
    expected = detector(graph, model.weights).see(TILES[0][None])
    for output, wanted in zip(session.run(None, {"images": in_cells(TILES[0][None])}), expected, strict=True):
        np.testing.assert_array_equal(output, wanted)


@pytest.mark.parametrize("name", ["backbone.0.conv.weight", "neck.conv.bias", "fine_head.weight", "coarse_head.bias"])
def test_a_replaced_tensor_changes_what_is_seen(model: Model, graph: bytes, name: str) -> None:
    changed = {**model.weights, name: model.weights[name] + np.float32(0.5)}
    first, other = detector(graph, model.weights), detector(graph, changed)
    assert other.answer() != first.answer()
    assert other.version == weights_digest(other.weights) == weights_digest(changed)


def test_a_detector_that_rested_sees_the_same(model: Model, graph: bytes) -> None:
    flying = detector(graph, model.weights)
    before = flying.answer()
    flying.rest()
    assert flying.answer() == before


def test_threads_see_what_one_thread_sees(model: Model, graph: bytes) -> None:
    frame: NDArray[np.uint8] = np.random.default_rng(9).integers(0, 256, (200, 300, 3), np.uint8)
    for each in (graph, model.graph):
        alone, together = (detector(each, model.weights, threads).detect(frame) for threads in (1, 3))
        np.testing.assert_array_equal(alone.boxes, together.boxes)
        np.testing.assert_array_equal(alone.scores, together.scores)
        assert len(alone)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no JSON", "Invalid JSON"),
        ("{}", "input_scales: Field required"),
        ('{"input_scales": {}}', "input_scales: "),
        ('{"input_scales": {"neck.conv": -1}}', r"input_scales\.neck\.conv: "),
        ('{"input_scales": {"neck.conv": 1}, "weight_bits": 4}', "weight_bits: "),
        ('{"input_scales": {"neck.conv": 1}, "folded": ["neck.conv"]}', "only 3 by 3 pixels can be folded"),
        ('{"input_scales": {"neck.conv": 1}, "input_shifts": {"neck.conv": "-1"}}', "input_shifts"),
        (
            '{"input_scales": {"neck.conv": 1}, "output_shifts": {"neck.conv": "10"}}',
            "'neck.conv' has 256 channels, the graph shifts 2",
        ),
        ('{"input_scales": {"other.conv": 1}}', "a convolution 'other.conv', and the weights have none"),
    ],
    ids=[
        "no JSON",
        "nothing",
        "no scales",
        "a negative scale",
        "too few bits",
        "what cannot be folded",
        "no digits",
        "too few digits",
        "another model's",
    ],
)
def test_a_graph_that_says_nonsense_of_itself_is_refused_in_one_line(
    model: Model, graph: bytes, text: str, complaint: str
) -> None:
    with pytest.raises(BadInput, match=f"does not load with these 26 tensors: .*{complaint}") as refused:
        detector(changed_metadata(graph, text), model.weights)
    assert "\n" not in str(refused.value)


def test_a_graph_that_leaves_scales_out_is_refused(model: Model, graph: bytes) -> None:
    integers = integers_of(graph)
    assert integers is not None
    fewer = {name: float(scale) for name, scale in integers.input_scales.items() if name != "neck.conv"}
    with pytest.raises(BadInput, match="does not load"):
        detector(changed_metadata(graph, json.dumps({"input_scales": fewer})), model.weights)


def test_without_pictures_nothing_is_calibrated(model: Model) -> None:
    with pytest.raises(BadInput, match="no picture to calibrate on"):
        calibrated(model, [])


def test_a_model_that_puts_out_no_numbers_is_not_calibrated(model: Model) -> None:
    bad = {**model.weights, "neck.conv.bias": model.weights["neck.conv.bias"] * np.float32("nan")}
    with pytest.raises(BadInput, match=r"layer neck\.conv of the model puts out no numbers"):
        calibrated(Model(spec=SPEC, weights=bad, graph=model.graph), TILES[:1])
