"""Training a base detector from scratch, in miniature, and where it runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_spec, boxes_of, plain_ground, with_squares
from orbitloop.wire.model_folder import decode_weights, encode_weights
from orbitloop_ground.adapters.yolo.augment import LabelledImage
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.network import YoloTiny, weights_of
from orbitloop_ground.adapters.yolo.pretrain import Recipe, pretrain, rounded

TINY = Recipe(steps=1, batch=2, side=64, tile=64, warmup=1)


def labelled(count: int) -> list[LabelledImage]:
    places = [(10 + 8 * index, 20 + 5 * index, 40 + 10 * index, 44 + 9 * index) for index in range(count)]
    return [
        LabelledImage(
            pixels=with_squares(plain_ground(128), place), boxes=boxes_of([place]), labels=np.zeros(1, np.int64)
        )
        for place in places
    ]


def test_pretraining_gives_a_network_that_flies_as_float16_and_is_the_same_each_time() -> None:
    steps: list[tuple[int, int, float]] = []
    seen: list[int] = []
    first, second = (
        pretrain(
            labelled(6),
            ("airplane",),
            TINY,
            lambda *step: steps.append(step),
            lambda step, _: seen.append(step),
        )
        for _ in range(2)
    )
    weights = weights_of(first)
    assert weights_digest(weights) == weights_digest(weights_of(second))
    assert weights_digest(decode_weights(encode_weights(weights, half=True), "f")) == weights_digest(weights)
    assert [step[:2] for step in steps] == [(1, 1)] * 2
    assert all(np.isfinite(loss) for _, _, loss in steps)
    assert seen == [1] * 2
    assert first.spec.tile == 64


def test_too_few_objects_to_fit_anchors_are_refused() -> None:
    with pytest.raises(BadInput, match="6 anchors need"):
        pretrain(labelled(3), ("airplane",), TINY, lambda *_: None)


def test_rounding_twice_is_rounding_once() -> None:
    network = rounded(YoloTiny(a_spec(), normalised=False))
    before = weights_digest(weights_of(network))
    assert weights_digest(weights_of(rounded(network))) == before


def test_the_best_compute_here_runs_the_network() -> None:
    compute = Compute.best()
    network = compute.place(YoloTiny(a_spec(), normalised=False).eval())
    assert next(network.parameters()).device.type == compute.device.type
    with torch.no_grad(), compute.autocast():
        coarse, fine = network(compute.move(torch.rand(1, 3, 64, 64)))
    assert coarse.float().isfinite().all()
    assert fine.shape[2:] == (4, 4)


def test_full_precision_is_what_torch_computes_anyway() -> None:
    network = YoloTiny(a_spec(), normalised=False).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        wanted = network(images)
        compute = Compute(device=torch.device("cpu"), half=False)
        with compute.autocast():
            given = compute.place(network)(compute.move(images))
    for first, second in zip(wanted, given, strict=True):
        torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)
