"""How often looks agree with each other, and people with the labeller."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orbitloop.domain.detection import Truth
from orbitloop.ports.reviews import Proposal
from orbitloop.testing.builders import some_truth
from orbitloop_ground.usecases.agreement import Agreement, Labelled, agreements

Box = tuple[float, float, float, float]
A, B, C = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0), (40.0, 0.0, 50.0, 10.0)


def thought(*boxes: tuple[float, ...], doubtful: tuple[bool, ...], agreement: tuple[float, ...] | None) -> Proposal:
    return Proposal(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.zeros(len(boxes), np.int64),
        confidence=np.linspace(0.9, 0.5, len(boxes), dtype=np.float32),
        doubtful=np.array(doubtful, bool),
        agreement=None if agreement is None else np.array(agreement, np.float32),
    )


def a_tile(
    opinion: Proposal, *, truth: Truth | None = None, decided: bool = False, period: str = "sat-1-1"
) -> Labelled:
    return Labelled(
        satellite="sat-1", period=period, opinion=opinion, decided=decided or truth is not None, truth=truth
    )


SURE = thought(A, B, doubtful=(False, False), agreement=(1.0, 0.5))
DOUBTING = thought(A, B, doubtful=(False, True), agreement=(1.0, 0.25))


def only(*tiles: Labelled) -> Agreement:
    (made,) = agreements(tiles)
    return made


def test_looks_agree_as_much_as_the_mean_box_was_seen() -> None:
    made = only(a_tile(SURE), a_tile(DOUBTING))
    assert (made.tiles, made.boxes, made.doubtful) == (2, 4, 1)
    assert made.looks == pytest.approx(0.6875)
    assert (made.decided, made.people, made.doubts_right) == (0, None, None)


@pytest.mark.parametrize(
    ("truth", "people", "doubts_right"),
    [
        ((A, B), 1.0, 1.0),
        ((A,), 1.0, 0.0),
        ((A, B, C), 0.5, 1.0),
        ((B,), 0.0, 1.0),
        ((), 0.0, 0.0),
    ],
    ids=["all", "the doubt is unfounded", "one was missed", "the sure one is wrong", "nothing is there"],
)
def test_people_agree_on_what_both_are_sure_of(truth: tuple[Box, ...], people: float, doubts_right: float) -> None:
    made = only(a_tile(DOUBTING, truth=some_truth(*truth)))
    assert (made.people, made.doubts_right) == (people, doubts_right)


def test_a_rejected_tile_is_counted_and_compared_with_nothing() -> None:
    made = only(a_tile(DOUBTING, decided=True), a_tile(DOUBTING, truth=some_truth(A, B)))
    assert (made.decided, made.rejected, made.people) == (2, 1, 1.0)


def test_rounds_and_satellites_are_kept_apart_in_their_order() -> None:
    tiles = [a_tile(SURE, period="sat-1-2"), a_tile(SURE), replace(a_tile(SURE), satellite="sat-2"), a_tile(SURE)]
    assert [(made.satellite, made.period, made.tiles) for made in agreements(tiles)] == [
        ("sat-1", "sat-1-2", 1),
        ("sat-1", "sat-1-1", 2),
        ("sat-2", "sat-1-1", 1),
    ]


def test_who_looks_once_has_no_agreement_of_looks() -> None:
    assert only(a_tile(replace(SURE, agreement=None))).looks is None
    nothing = thought(doubtful=(), agreement=())
    assert only(a_tile(nothing, truth=some_truth())).people is None
