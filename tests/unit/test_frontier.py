"""Choosing an encoder by what was measured: the best that fits, and what a budget costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.frontier import INDIFFERENT, Point, choose
from orbitloop.domain.units import Bytes


def point(size: int, gain: float, encoder: str = "sparse") -> Point:
    return Point(encoder=encoder, bytes=Bytes(size), gain_fraction=gain)


MEASURED = [point(6_000, 0.7, "norms"), point(30_000, 0.85), point(90_000, 0.93), point(240_000, 0.98)]

points = st.lists(st.builds(point, st.integers(1, 10**6), st.floats(-1, 2)), min_size=1, max_size=12)


def test_the_best_point_under_the_budget_is_taken() -> None:
    assert choose(MEASURED, Bytes(100_000)).point.bytes == 90_000
    assert choose(MEASURED, Bytes(6_000)).point.encoder == "norms"


def test_a_budget_says_what_it_costs() -> None:
    choice = choose(MEASURED, Bytes(50_000))
    assert choice.cost == pytest.approx(0.13)
    assert str(choice) == ("sparse for about 30 kB, 85% of a full gain; the budget costs 13%: 240 kB would give 98%")
    assert str(choose(MEASURED, Bytes(300_000))).endswith("no known way gains more")


def test_bytes_that_gain_nothing_are_not_spent() -> None:
    same = [*MEASURED, point(800_000, 0.98 + INDIFFERENT / 2)]
    assert choose(same, Bytes(10**6)).point.bytes == 240_000


def test_a_budget_below_every_point_is_refused() -> None:
    with pytest.raises(BadInput, match="at most 5999 bytes: the smallest known takes 6000"):
        choose(MEASURED, Bytes(5_999))
    with pytest.raises(BadInput, match="none is known"):
        choose([], Bytes(5_999))


@given(points, st.integers(1, 10**6))
def test_a_choice_keeps_to_its_budget_and_no_fitting_point_gains_much_more(known: list[Point], budget: int) -> None:
    fitting = [entry for entry in known if entry.bytes <= budget]
    if not fitting:
        return
    choice = choose(known, Bytes(budget))
    assert choice.point in fitting
    assert choice.point.gain_fraction >= max(entry.gain_fraction for entry in fitting) - INDIFFERENT
    assert choice.cost >= 0
