"""Training a base detector from scratch, in miniature, and where it runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_spec, boxes_of, plain_ground, with_squares
from orbitloop.wire.model_folder import decode_weights, encode_weights
from orbitloop_ground.adapters.yolo.augment import LabelledImage
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.network import YoloTiny, weights_of
from orbitloop_ground.adapters.yolo.pretrain import Recipe, Sitting, pretrain, rounded
from orbitloop_ground.adapters.yolo.widen import widened

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
    first, second = (pretrain(labelled(6), ("airplane",), TINY, lambda *step: steps.append(step)) for _ in range(2))
    weights = weights_of(first)
    assert weights_digest(weights) == weights_digest(weights_of(second))
    assert weights_digest(decode_weights(encode_weights(weights, half=True), "f")) == weights_digest(weights)
    assert [step[:2] for step in steps] == [(1, 1)] * 2
    assert all(np.isfinite(loss) for _, _, loss in steps)
    assert first.spec.tile == 64


def test_too_few_objects_to_fit_anchors_are_refused() -> None:
    with pytest.raises(BadInput, match="6 anchors need"):
        pretrain(labelled(3), ("airplane",), TINY, lambda *_: None)


@pytest.mark.parametrize("width", [2, 3])
def test_a_widened_network_sees_what_the_narrow_one_does(width: int) -> None:
    torch.manual_seed(1)
    narrow = YoloTiny(a_spec(), normalised=False).eval()
    wide = widened(narrow, width, seed=0)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for first, second in zip(narrow(images), wide(images), strict=True):
            torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)
    assert wide.width == width


def test_copies_of_a_channel_do_not_learn_the_same() -> None:
    wide = widened(YoloTiny(a_spec(), normalised=False), 2, seed=0)
    wide(torch.rand(1, 3, 64, 64))[0].square().sum().backward()
    gradient = wide.get_parameter("backbone.0.conv.weight").grad
    assert gradient is not None
    assert not torch.allclose(gradient[0::2], gradient[1::2], rtol=0.01)


def test_a_network_cannot_be_made_narrower() -> None:
    with pytest.raises(BadInput, match="not 1"):
        widened(YoloTiny(a_spec(), normalised=False, width=2), 1, seed=0)


def test_a_training_in_several_sittings_ends_where_one_in_a_single_one_does(tmp_path: Path) -> None:
    recipe, images = replace(TINY, steps=3, width=2), labelled(6)
    start = YoloTiny(a_spec(), normalised=False)
    whole = pretrain(images, ("airplane",), recipe, lambda *_: None, start=start)
    file, steps = tmp_path / "training", list[int]()

    def one_step(step: int, _steps: int, _loss: float) -> None:
        steps.append(step)

    sitting = Sitting(file=file, seconds=0.0)
    with pytest.raises(NotYet, match="1 of 3 steps"):
        pretrain(images, ("airplane",), recipe, one_step, start=start, sitting=sitting)
    sitting = Sitting(file=file, seconds=60.0)
    parts = pretrain(images, ("airplane",), recipe, one_step, start=start, sitting=sitting)
    assert steps == [1, 2, 3]
    assert weights_digest(weights_of(parts)) == weights_digest(weights_of(whole))


def test_what_is_kept_of_another_training_is_refused_and_stays(tmp_path: Path) -> None:
    sitting = Sitting(file=tmp_path / "training", seconds=0.0)
    with pytest.raises(NotYet):
        pretrain(labelled(6), ("airplane",), replace(TINY, steps=2), lambda *_: None, sitting=sitting)
    kept = sitting.file.read_bytes()
    with pytest.raises(BadInput, match="another recipe"):
        pretrain(labelled(6), ("airplane",), replace(TINY, rate=1.0), lambda *_: None, sitting=sitting)
    assert sitting.file.read_bytes() == kept
    sitting.file.write_bytes(b"torn")
    with pytest.raises(BadInput, match="cannot be read"):
        pretrain(labelled(6), ("airplane",), TINY, lambda *_: None, sitting=sitting)


def test_other_classes_cannot_be_started_from() -> None:
    start = YoloTiny(a_spec(classes=("ship",)), normalised=False)
    with pytest.raises(BadInput, match="start from ship"):
        pretrain(labelled(6), ("airplane",), TINY, lambda *_: None, start=start)


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
