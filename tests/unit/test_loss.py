"""The detector's loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.detection import decode, iou, suppress
from orbitloop.testing.builders import a_spec, boxes_of, plain_ground, with_squares
from orbitloop_ground.adapters.yolo.augment import LabelledImage
from orbitloop_ground.adapters.yolo.batches import targets_of
from orbitloop_ground.adapters.yolo.loss import assign, ciou, detection_loss
from orbitloop_ground.adapters.yolo.network import YoloTiny

SPEC = a_spec()
coordinates = st.floats(0, 60, width=32)
sides = st.floats(1, 60, width=32)
boxes = st.tuples(coordinates, coordinates, sides, sides)


@given(first=boxes, second=boxes)
def test_complete_iou_never_exceeds_iou(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    def corners(box: tuple[float, ...]) -> tuple[float, float, float, float]:
        x, y, w, h = box
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2

    complete = ciou(torch.tensor([first]), torch.tensor([second]))
    plain = iou(boxes_of([corners(first)]), boxes_of([corners(second)]))[0, 0]
    assert complete.item() <= plain + 1e-4
    assert complete.item() >= -2.1


def test_complete_iou_of_equals_is_one() -> None:
    same = torch.tensor([[10.0, 12, 8, 4], [3, 3, 1, 1]])
    torch.testing.assert_close(ciou(same, same), torch.ones(2), atol=1e-5, rtol=0)


def test_boxes_far_apart_still_pull_towards_each_other() -> None:
    predicted = torch.tensor([[10.0, 10, 8, 8]], requires_grad=True)
    ciou(predicted, torch.tensor([[50.0, 10, 8, 8]])).sum().backward()
    assert predicted.grad is not None
    assert predicted.grad[0, 0] > 0
    assert predicted.grad.isfinite().all()


def assigned(x: float, y: float, width: float, height: float) -> list[tuple[int, int, int]]:
    """Anchor, row and column of all that answer for one object at the coarse head of a 96-pixel square."""
    targets = torch.tensor([[0, 0, x, y, width, height]])
    _, anchor, row, column, _ = assign(targets, SPEC.heads[0], 3, 3)
    return sorted(zip(anchor.tolist(), row.tolist(), column.tolist(), strict=True))


@pytest.mark.parametrize(
    ("x", "y", "cells"),
    [
        (40, 40, {(1, 1), (0, 1), (1, 0)}),
        (60, 60, {(1, 1), (2, 1), (1, 2)}),
        (4, 4, {(0, 0)}),
        (92, 92, {(2, 2)}),
        (60, 4, {(0, 1), (0, 2)}),
    ],
    ids=["top left of its cell", "bottom right of its cell", "first corner", "last corner", "upper edge"],
)
def test_an_object_claims_its_cell_and_the_two_next_to_it(x: float, y: float, cells: set[tuple[int, int]]) -> None:
    assert {(row, column) for _, row, column in assigned(x, y, 30, 30)} == cells


@pytest.mark.parametrize(
    ("width", "height", "anchors"),
    [(24, 28, {0, 1, 2}), (140, 140, {1, 2}), (7, 8, {0}), (5, 5, set()), (30, 300, set())],
    ids=["as the first", "large", "small", "too small", "too slim"],
)
def test_an_anchor_answers_for_shapes_within_a_factor_of_four(width: float, height: float, anchors: set[int]) -> None:
    assert {anchor for anchor, _, _ in assigned(48, 48, width, height)} == anchors


def a_batch() -> tuple[torch.Tensor, torch.Tensor]:
    examples = [
        LabelledImage(
            pixels=with_squares(plain_ground(64, level=60), box),
            boxes=boxes_of([box]),
            labels=np.zeros(1, np.int64),
        )
        for box in ((8, 10, 36, 40), (24, 20, 60, 52))
    ]
    pixels = torch.from_numpy(np.stack([example.pixels for example in examples]))
    return pixels.permute(0, 3, 1, 2).float() / 255, torch.from_numpy(targets_of(examples))


def test_a_batch_without_objects_has_a_loss_and_a_gradient() -> None:
    torch.manual_seed(1)
    network = YoloTiny(SPEC, normalised=False)
    loss = detection_loss(network(torch.rand(1, 3, 64, 64)), torch.zeros(0, 6), SPEC)
    loss.backward()
    assert loss.item() > 0
    gradient = network.fine_head.weight.grad
    assert gradient is not None
    assert gradient.isfinite().all()


def test_following_the_gradient_finds_the_objects() -> None:
    _, targets = a_batch()
    outputs = tuple(torch.zeros(2, 3 * SPEC.channels, side, side, requires_grad=True) for side in (2, 4))
    optimiser = torch.optim.Adam(outputs, 0.2)
    losses: list[float] = []
    for _ in range(60):
        loss = detection_loss(outputs, targets, SPEC)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    raw = [output.detach().numpy() for output in outputs]
    for found, target in zip(decode(raw, SPEC), targets.numpy(), strict=True):
        x, y, w, h = target[2:]
        best = suppress(found).boxes[:1]
        assert iou(best, boxes_of([(x - w / 2, y - h / 2, x + w / 2, y + h / 2)]))[0, 0] > 0.9


def test_every_layer_of_the_network_is_taught() -> None:
    torch.manual_seed(1)
    network = YoloTiny(SPEC, normalised=True).train()
    pixels, targets = a_batch()
    detection_loss(network(pixels), targets, SPEC).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
