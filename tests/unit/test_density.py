"""Data value density on a saturated downlink."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.density import Downlink, Product, bent_pipe, carried, density, oracle, processed, rising
from orbitloop.domain.errors import BadInput
from orbitloop.domain.hardware import HardwareTarget, Provenance, frame_deadline, orbital_period

LINK = Downlink(capacity=0.24, deadline=10.0)
SHARES = st.floats(0, 1, allow_nan=False)


def product(size: float, value: float) -> Product:
    return Product(size=size, value=value)


@st.composite
def products(draw: st.DrawFn) -> list[Product]:
    sizes = draw(st.lists(SHARES, max_size=5))
    return [product(size, size * draw(SHARES)) for size in sizes]


def test_a_bent_pipe_sends_as_much_value_as_there_is_in_a_frame() -> None:
    assert bent_pipe(0.48) == density([product(1.0, 0.48)], 0.0, 0.48, LINK)


def test_an_oracle_fills_the_link_with_value_where_there_is_enough() -> None:
    assert oracle(0.48, LINK) == 1.0
    assert oracle(0.12, LINK) == pytest.approx(0.5)
    assert density([product(0.12, 0.12)], 0.0, 0.12, LINK) == pytest.approx(oracle(0.12, LINK))


def test_the_most_valuable_bytes_leave_first() -> None:
    made = [product(0.5, 0.2), product(0.2, 0.2)]
    assert carried(made, 0.2) == pytest.approx(0.2)
    assert carried(made, 0.45) == pytest.approx(0.2 + 0.25 * 0.4)


def test_frames_without_time_are_sent_raw_after_all_products() -> None:
    made = [product(0.4, 0.4)]
    assert density(made, 20.0, 0.48, LINK) == pytest.approx((0.2 + 0.04 * 0.48) / 0.24)
    assert density(made, 10.0, 0.48, LINK) == 1.0


def test_silence_is_no_precision() -> None:
    assert density([product(0.01, 0.01)], 1.0, 0.48, LINK) == pytest.approx(0.01 / 0.24)


def test_nothing_is_processed_in_more_time_than_there_is() -> None:
    assert processed(5.0, 10.0) == 1.0
    assert processed(40.0, 10.0) == 0.25


@given(products())
def test_what_a_model_is_surer_of_is_expected_to_be_no_worse(made: list[Product]) -> None:
    found = rising(made)
    assert [entry.size for entry in found] == [entry.size for entry in made]
    assert sum(entry.value for entry in found) == pytest.approx(sum(entry.value for entry in made))
    dense = [entry.density for entry in found if entry.size > 1e-9]
    assert all(low <= high + 1e-9 for low, high in pairwise(dense))


def test_products_that_rise_stay_as_they_are() -> None:
    made = [product(0.5, 0.1), product(0.2, 0.1), product(0.1, 0.1)]
    assert rising(made) == made
    assert [entry.density for entry in rising(made[::-1])] == pytest.approx([0.375] * 3)


@given(products(), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_link_carries_no_less_value_and_no_more_than_it_can(
    made: list[Product], one: float, other: float
) -> None:
    low, high = sorted([one, other])
    assert 0 <= carried(made, low) <= carried(made, high) + 1e-12
    assert carried(made, low) <= low + 1e-12


@given(products(), st.floats(0.01, 1), st.floats(0, 100), SHARES)
def test_density_is_a_share(made: list[Product], capacity: float, seconds: float, prevalence: float) -> None:
    found = density(made, seconds, prevalence, Downlink(capacity=capacity, deadline=10.0))
    assert 0 <= found <= 1 + 1e-9


@given(products(), st.floats(0, 100), st.floats(0, 100))
def test_a_faster_computer_is_worth_no_less_where_products_are_denser_than_raw_frames(
    made: list[Product], one: float, other: float
) -> None:
    prevalence = min((entry.density for entry in made), default=0.0)
    made = [*made, product(1.0, prevalence)]
    fast, slow = sorted([one, other])
    assert density(made, fast, prevalence, LINK) >= density(made, slow, prevalence, LINK) - 1e-9


@pytest.mark.parametrize(("size", "value"), [(0.1, 0.2), (0.1, -0.1)])
def test_a_product_cannot_hold_more_value_than_bytes(size: float, value: float) -> None:
    with pytest.raises(BadInput, match="cannot be of high value"):
        product(size, value)


@pytest.mark.parametrize(("capacity", "deadline"), [(0, 1), (1.1, 1), (0.5, 0)])
def test_a_link_that_is_none_is_refused(capacity: float, deadline: float) -> None:
    with pytest.raises(BadInput):
        Downlink(capacity=capacity, deadline=deadline)


def test_landsat_8_has_its_frame_deadline() -> None:
    """98.9 minutes a revolution and 248 rows: 23.9 s."""
    rows = 40_030_173.6 / 248  # the mean radius's circumference
    assert orbital_period(705_000) / 60 == pytest.approx(98.7, abs=0.3)
    assert frame_deadline(705_000, rows) == pytest.approx(23.9, abs=0.1)


def target(**changes: object) -> HardwareTarget:
    given: dict[str, object] = {
        "name": "one core",
        "provenance": Provenance.MEASURED,
        "source": "here",
        "seconds": {"cut": 0.001, "small": 0.01},
        "memory": 10**9,
        "watts": 10.0,
    }
    return HardwareTarget(**(given | changes))  # type: ignore[arg-type]  # a table of a constructor's arguments


def test_another_computer_is_scaled_and_says_by_what() -> None:
    slow = target().slowed(8, name="pi", source="published", memory=2**30, watts=6.0)
    assert slow.provenance is Provenance.SCALED
    assert slow.time_of("small") == pytest.approx(0.08)
    assert (slow.source, slow.watts) == ("published", 6.0)


def test_a_network_that_was_never_timed_is_named() -> None:
    with pytest.raises(BadInput, match=r"no time of 'large' \(only cut, small\)"):
        target().time_of("large")


@pytest.mark.parametrize(
    "changes",
    [{"source": ""}, {"seconds": {"cut": -1.0}}, {"seconds": {"cut": float("inf")}}, {"memory": 0}, {"watts": 0.0}],
)
def test_a_target_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="hardware target 'one core'"):
        target(**changes)


def test_a_deadline_needs_an_orbit_and_a_frame() -> None:
    with pytest.raises(BadInput, match="no frame deadline"):
        frame_deadline(500_000, 0)
