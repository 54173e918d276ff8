"""What holds a model to what it could before it learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from orbitloop.domain.keeping import Keeping
from orbitloop.testing.builders import a_spec
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.keeping import Distillation, ElasticWeights, KeepsNothing, Seen, importance
from orbitloop_ground.adapters.yolo.network import YoloTiny

PLAIN = Compute(device=torch.device("cpu"), half=False)


@pytest.fixture(scope="module")
def network() -> YoloTiny:
    torch.manual_seed(2)
    return YoloTiny(a_spec(tile=64), normalised=False).eval().requires_grad_(False)


def seen(network: YoloTiny, *, further: float = 0.0, weights: dict[str, Tensor] | None = None) -> Seen:
    """What the network says of a picture, its logits moved by ``further``."""
    images = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    outputs = tuple((output + further).requires_grad_() for output in network(images))
    return Seen(images=images, targets=torch.zeros((0, 6)), outputs=outputs, weights=weights or {})


def test_distillation_costs_least_where_the_old_model_stays(network: YoloTiny) -> None:
    held = Distillation(network, PLAIN)
    there = held.cost(seen(network))
    assert held.cost(seen(network, further=0.5)) > there
    assert held.cost(seen(network, further=-0.5)) > there
    same = seen(network)
    held.cost(same).backward()
    assert all(output.grad is not None and output.grad.abs().max() < 1e-6 for output in same.outputs)


def test_where_the_truth_has_an_object_the_old_answer_counts_for_nothing(network: YoloTiny) -> None:
    looked = seen(network, further=2.0)
    anchor = network.spec.heads[1].anchors[0]
    truth = torch.tensor([[0, 0, 24.0, 24.0, anchor[0], anchor[1]]])
    free = Seen(images=looked.images, targets=truth, outputs=looked.outputs, weights={})
    held = Distillation(network, PLAIN)
    assert held.cost(free) < held.cost(looked)


def test_springs_pull_by_importance_and_distance() -> None:
    start = {"a": torch.zeros(2), "b": torch.zeros(1)}
    held = ElasticWeights(start, {"a": torch.tensor([2.0, 0.0]), "b": torch.tensor([1.0])}, weight=0.5)
    moved = {"a": torch.tensor([3.0, 100.0], requires_grad=True), "b": torch.tensor([1.0])}
    nowhere = Seen(images=torch.zeros(0), targets=torch.zeros((0, 6)), outputs=(torch.zeros(1),), weights=moved)
    cost = held.cost(nowhere)
    assert float(cost.detach()) == pytest.approx(0.5 * 0.5 * (2 * 9 + 1))
    cost.backward()
    assert moved["a"].grad is not None
    assert moved["a"].grad.tolist() == [3.0, 0.0]


def test_importance_is_the_mean_square_of_gradients_in_relation() -> None:
    found = importance([{"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([0.0])}, {"a": torch.tensor([3.0, 0.0])}])
    assert found["a"].tolist() == pytest.approx([10 / 14 * 3, 4 / 14 * 3])
    assert found["b"].tolist() == [0.0]


@pytest.mark.parametrize("gradients", [[], [{"a": torch.zeros(3)}]], ids=["no batch", "no gradient"])
def test_nothing_is_important_where_nothing_says_so(gradients: list[dict[str, Tensor]]) -> None:
    assert importance(gradients) == {}


def test_nothing_costs_nothing(network: YoloTiny) -> None:
    assert float(KeepsNothing().cost(seen(network, further=9))) == 0


def test_ways_of_keeping_say_what_they_need() -> None:
    assert {way for way in Keeping if way.replays} == {Keeping.REPLAY, Keeping.REPLAY_AND_DISTILLATION}
    assert {way for way in Keeping if way.distils} == {Keeping.DISTILLATION, Keeping.REPLAY_AND_DISTILLATION}
