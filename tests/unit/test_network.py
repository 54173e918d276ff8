"""The detector in torch, with and without its normalisation layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from orbitloop.domain.detection import DetectorSpec, Head
from orbitloop.testing.builders import a_spec
from orbitloop_ground.adapters.yolo.network import YoloTiny, fold, network_with, weights_of


@pytest.fixture(scope="module")
def trained() -> YoloTiny:
    """A network whose normalisation has seen something, as after training."""
    torch.manual_seed(1)
    network = YoloTiny(a_spec(), normalised=True).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, 64, 64))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 64, 64), (2, 32, 96)], ids=str)
def test_folding_changes_nothing_but_the_layers(trained: YoloTiny, batch: int, height: int, width: int) -> None:
    images = torch.rand(batch, 3, height, width)
    folded = fold(trained)
    for before, after in zip(trained(images), folded(images), strict=True):
        torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert not folded.training


def test_twenty_six_tensors_fly(trained: YoloTiny) -> None:
    weights = weights_of(fold(trained))
    assert len(weights) == 26
    assert {tensor.dtype for tensor in weights.values()} == {np.dtype(np.float32)}


@torch.no_grad()
def test_weights_make_the_same_network_again(trained: YoloTiny) -> None:
    folded = fold(trained)
    images = torch.rand(1, 3, 64, 64)
    again = network_with(weights_of(folded), a_spec())
    for first, second in zip(folded(images), again(images), strict=True):
        torch.testing.assert_close(first, second, atol=0, rtol=0)


def test_weights_are_a_copy(trained: YoloTiny) -> None:
    folded = fold(trained)
    weights_of(folded)["fine_head.bias"][:] = 99
    assert folded.fine_head.bias is not None
    assert folded.fine_head.bias.detach().max() < 99


@pytest.mark.parametrize("classes", [1, 3], ids=["one class", "three classes"])
@torch.no_grad()
def test_outputs_are_laid_out_as_the_specification_says(classes: int) -> None:
    spec = a_spec(classes=tuple(f"class {index}" for index in range(classes)))
    coarse, fine = YoloTiny(spec, normalised=False)(torch.rand(2, 3, 64, 96))
    assert coarse.shape == (2, 3 * spec.channels, 2, 3)
    assert fine.shape == (2, 3 * spec.channels, 4, 6)


@torch.no_grad()
def test_a_fresh_network_believes_in_background() -> None:
    spec = a_spec()
    for output in YoloTiny(spec, normalised=True).eval()(torch.rand(1, 3, 64, 64)):
        objectness = output.view(1, 3, spec.channels, *output.shape[2:])[:, :, 4].sigmoid()
        assert objectness.mean() < 0.05


def test_weights_of_another_network_do_not_fit(trained: YoloTiny) -> None:
    weights = weights_of(fold(trained))
    with pytest.raises(RuntimeError, match="fine_head"):
        network_with(weights, a_spec(classes=("ship", "airplane")))
    del weights["neck.conv.bias"]
    with pytest.raises(RuntimeError, match=r"neck\.conv\.bias"):
        network_with(weights, a_spec())


def test_other_strides_are_refused() -> None:
    spec = DetectorSpec(classes=("airplane",), heads=(Head(stride=16, anchors=((9, 9),)),), tile=64)
    with pytest.raises(ValueError, match="stride 32 and 16, in this order"):
        YoloTiny(spec, normalised=False)
