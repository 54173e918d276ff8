"""Fine-tuning inside a budget: knobs that fly as they were trained, and updates that fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from orbitloop.domain.delta import Sparse, apply
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Bytes
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.trainer import Lesson, Lessons
from orbitloop.testing.builders import a_digest, a_spec, some_truth
from orbitloop.wire.model_folder import Model
from orbitloop.wire.update import Step, Update, pack_update
from orbitloop_ground.adapters.yolo.encoders import (
    Encoder,
    Heads,
    LowRankFactors,
    NormsAndBiases,
    SparseCoordinates,
    best_within,
)
from orbitloop_ground.adapters.yolo.finetune import FineTuning, TorchTrainer, thinned
from orbitloop_ground.adapters.yolo.knobs import GainKnob, Knob, LowRankKnob, ShiftKnob, SparseKnob, rounded
from orbitloop_ground.adapters.yolo.network import YoloTiny, weights_of

QUICK = FineTuning(steps=8, probes=1, batch=2, side=64, encoder=SparseCoordinates(exponent=-10))


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    spec = a_spec()
    return Model(spec=spec, weights=weights_of(YoloTiny(spec, normalised=False)), graph=b"")


@pytest.fixture(scope="module")
def lessons() -> Lessons:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (128, 128, 3), np.uint8)
    pixels[40:70, 40:70] = 255
    return Lessons(new=[Lesson(pixels=pixels, truth=some_truth((40.0, 40.0, 70.0, 70.0)))], old=[])


def knobs() -> list[Knob]:
    rng = np.random.default_rng(1)

    def values(count: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(0, 0.02, count).astype(np.float32))

    return [
        ShiftKnob(tensor="b", shift=values(4)),
        GainKnob(tensor="w", gain=values(4)),
        SparseKnob(tensor="w", where=torch.tensor([0, 7, 35]), moves=values(3), exponent=-9, limit=31),
        LowRankKnob(tensor="w", left=values(8).view(4, 2), right=values(18).view(2, 9)),
    ]


def test_what_a_knob_turns_is_what_its_change_flies() -> None:
    """The forward pass of training and the satellite's arithmetic agree to the last rounding."""
    rng = np.random.default_rng(2)
    weights = {
        "b": rng.standard_normal(4).astype(np.float32),
        "w": rng.standard_normal((4, 1, 3, 3)).astype(np.float32),
    }
    trained = {name: torch.from_numpy(value) for name, value in weights.items()}
    for knob in knobs():
        trained[knob.tensor] = knob.turn(trained[knob.tensor])
    flown = apply(weights, [knob.change() for knob in knobs()])
    for name, value in flown.items():
        np.testing.assert_allclose(trained[name].numpy(), value, rtol=1e-6, atol=1e-7)


def test_moves_that_round_to_nothing_are_not_sent() -> None:
    knob = SparseKnob(
        tensor="w", where=torch.tensor([3, 5, 9]), moves=torch.tensor([0.0, 0.01, 1e-6]), exponent=-8, limit=7
    )
    change = knob.change()
    assert isinstance(change, Sparse)
    assert change.where.tolist() == [5]


def test_rounding_lets_the_gradient_through_and_keeps_to_its_limit() -> None:
    value = torch.tensor([0.3, 9.0, -9.0], requires_grad=True)
    out = rounded(value, -2, 8)
    assert out.tolist() == pytest.approx([0.25, 2.0, -2.0])
    out.sum().backward()
    assert value.grad is not None
    assert value.grad.tolist() == [1, 1, 1]


@pytest.mark.slow
def test_training_changes_the_model_by_what_it_says_and_nothing_else(model: Model, lessons: Lessons) -> None:
    seen: list[tuple[int, int]] = []
    made = TorchTrainer(QUICK).train(
        model, lessons, Bytes(40_000), lambda step, steps, loss: seen.append((step, steps))
    )
    assert seen == [(step, 8) for step in range(1, 9)]
    assert weights_digest(made.weights) != weights_digest(model.weights)
    assert weights_digest(apply(model.weights, made.changes)) == weights_digest(made.weights)


@pytest.mark.slow
@pytest.mark.parametrize("budget", [24_000, 60_000, 300_000])
def test_an_update_keeps_to_its_budget(model: Model, lessons: Lessons, budget: int) -> None:
    made = TorchTrainer(QUICK).train(model, lessons, Bytes(budget), lambda step, steps, loss: None)
    update = Update(base=a_digest(1), steps=(Step(changes=made.changes, result=a_digest(2)),))
    assert len(pack_update(update, lambda message: bytes(64))) <= budget


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder",
    [
        NormsAndBiases(),
        Heads(),
        SparseCoordinates(exponent=-10, limit=1),
        LowRankFactors(),
    ],
    ids=lambda encoder: str(encoder.name),
)
def test_every_encoder_keeps_to_its_budget_and_flies_what_it_trained(
    model: Model, lessons: Lessons, encoder: Encoder
) -> None:
    trainer = TorchTrainer(replace(QUICK, encoder=encoder))
    made = trainer.train(model, lessons, Bytes(60_000), lambda step, steps, loss: None)
    assert weights_digest(made.weights) != weights_digest(model.weights)
    assert weights_digest(apply(model.weights, made.changes)) == weights_digest(made.weights)
    update = Update(base=a_digest(1), steps=(Step(changes=made.changes, result=a_digest(2)),))
    assert len(pack_update(update, lambda message: bytes(64))) <= 60_000


def test_low_rank_without_bytes_for_one_rank_leaves_gains_and_biases(model: Model) -> None:
    network = YoloTiny(model.spec, normalised=False)
    knobs = LowRankFactors().knobs(network, dict, Bytes(12_000))
    assert all(isinstance(knob, GainKnob | ShiftKnob) for knob in knobs)


@pytest.mark.slow
def test_the_same_seed_makes_the_same_update(model: Model, lessons: Lessons) -> None:
    first, second = (
        weights_digest(TorchTrainer(QUICK).train(model, lessons, Bytes(30_000), lambda *_: None).weights)
        for _ in range(2)
    )
    assert first == second


def test_nothing_to_learn_from_is_said(model: Model) -> None:
    with pytest.raises(BadInput, match="nothing to learn from"):
        TorchTrainer(QUICK).train(model, Lessons(new=[], old=[]), Bytes(30_000), lambda *_: None)


def test_an_update_that_came_out_too_large_keeps_what_moved_furthest() -> None:
    lean = thinned(knobs(), keep=0.5)  # one of the three rounds to nothing already
    (sparse,) = [knob for knob in lean if isinstance(knob, SparseKnob)]
    (whole,) = [knob for knob in knobs() if isinstance(knob, SparseKnob)]
    furthest = int(whole.moves.abs().argmax())
    assert sparse.where.tolist() == [int(whole.where[furthest])]


def test_a_budget_that_pays_for_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="allow more bytes"):
        thinned([knob for knob in knobs() if not isinstance(knob, SparseKnob)], keep=0.5)


@pytest.mark.parametrize(
    ("budget", "name"), [(1, "gains and biases"), (7_000, "gains and biases"), (250_000, "sparse")]
)
def test_the_encoder_that_gained_most_within_the_budget_is_taken(
    budget: int, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert best_within(Bytes(budget)).name == name
    assert budget == 1 or f"at most {budget} bytes: {name} for about" in caplog.text
