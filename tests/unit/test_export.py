"""From torch to the runtime on board: the same numbers, and weights by name."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_spec, plain_ground
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_ground.adapters.yolo.export import export_graph
from orbitloop_ground.adapters.yolo.network import YoloTiny, network_with, weights_of

SPEC = a_spec()
Weights = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def weights() -> Weights:
    torch.manual_seed(5)
    return weights_of(YoloTiny(SPEC, normalised=False))


@pytest.fixture(scope="module")
def graph() -> bytes:
    return export_graph(SPEC)


@pytest.fixture(scope="module")
def detector(graph: bytes, weights: Weights) -> OnnxDetector:
    return OnnxDetector(graph, weights, SPEC, threads=1)


def images(batch: int, height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(batch * height).random((batch, 3, height, width), np.float32)


@pytest.mark.parametrize(
    ("batch", "height", "width"), [(1, 32, 32), (1, 64, 64), (3, 64, 64), (2, 96, 160), (5, 32, 64)], ids=str
)
def test_the_graph_computes_what_torch_computes(
    detector: OnnxDetector, weights: Weights, batch: int, height: int, width: int
) -> None:
    given = images(batch, height, width)
    with torch.no_grad():
        wanted = network_with(weights, SPEC)(torch.from_numpy(given))
    for output, expected in zip(detector.forward(given), wanted, strict=True):
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, expected.numpy(), atol=1e-4)


def test_a_detector_that_rested_sees_the_same(graph: bytes, weights: Weights) -> None:
    detector = OnnxDetector(graph, weights, SPEC, threads=1)
    given = images(2, 64, 64)
    before = detector.forward(given)
    detector.rest()
    for output, expected in zip(detector.forward(given), before, strict=True):
        np.testing.assert_array_equal(output, expected)


def test_the_answer_to_a_known_question_stays_and_tells_models_apart(graph: bytes, weights: Weights) -> None:
    detector = OnnxDetector(graph, weights, SPEC, threads=1)
    first = detector.answer()
    detector.rest()
    assert detector.answer() == first
    flipped = weights["neck.conv.weight"].copy()
    flipped.view(np.uint32).reshape(-1)[0] ^= 1 << 22
    assert OnnxDetector(graph, {**weights, "neck.conv.weight": flipped}, SPEC, threads=1).answer() != first
    assert weights_digest(detector.weights) == detector.version


def test_the_graph_holds_no_weights_and_is_valid(graph: bytes, weights: Weights) -> None:
    model = onnx.load_from_string(graph)
    assert len(graph) < 20_000
    assert {each.name for each in model.graph.initializer} == {*weights, "raise"}
    assert [each.name for each in model.graph.output] == ["coarse", "fine"]
    assert export_graph(SPEC) == graph


@pytest.mark.parametrize("name", ["backbone.0.conv.weight", "neck.conv.bias", "fine_head.weight", "coarse_head.bias"])
def test_a_replaced_tensor_changes_what_is_seen(
    graph: bytes, detector: OnnxDetector, weights: Weights, name: str
) -> None:
    changed = {**weights, name: weights[name] + np.float32(0.5)}
    other = OnnxDetector(graph, changed, SPEC, threads=1)
    given = images(1, 64, 64)
    assert other.version == weights_digest(changed) != detector.version
    assert any(
        not np.allclose(before, after)
        for before, after in zip(detector.forward(given), other.forward(given), strict=True)
    )


def test_a_detector_does_not_change_when_the_tensors_it_was_made_of_do(graph: bytes, weights: Weights) -> None:
    mine = {name: tensor.copy() for name, tensor in weights.items()}
    detector = OnnxDetector(graph, mine, SPEC, threads=1)
    before = detector.forward(images(1, 64, 64))
    for tensor in mine.values():
        tensor[...] = 0
    mine.clear()
    for first, second in zip(before, detector.forward(images(1, 64, 64)), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["backbone.0.conv.weight", "coarse_head.bias", "fine.conv.weight"])
def test_a_missing_tensor_is_refused(graph: bytes, weights: Weights, name: str) -> None:
    with pytest.raises(BadInput, match="the graph does not load with these 25 tensors"):
        OnnxDetector(graph, {key: tensor for key, tensor in weights.items() if key != name}, SPEC, threads=1)


def test_a_tensor_of_another_shape_is_refused(graph: bytes, weights: Weights) -> None:
    with pytest.raises(BadInput, match="does not load"):
        OnnxDetector(graph, {**weights, "neck.conv.bias": np.zeros(7, np.float32)}, SPEC, threads=1)


@pytest.mark.parametrize("damage", [b"", b"noise"], ids=["empty", "noise"])
def test_what_is_no_graph_is_refused(damage: bytes, weights: Weights) -> None:
    with pytest.raises(BadInput, match="does not load"):
        OnnxDetector(damage, weights, SPEC, threads=1)


def test_a_frame_of_any_size_is_looked_at(detector: OnnxDetector, weights: Weights) -> None:
    assert detector.version == weights_digest(weights)
    for side in (20, 64, 300):
        found = detector.detect(plain_ground(side))
        assert (found.boxes >= 0).all()
        assert (found.boxes <= side).all()
