"""Contact windows as values: what a pass is, and which one is on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.contacts import ContactWindow, Orbit, Station, light_time, next_window, utc
from orbitloop.domain.errors import BadInput

NOON = datetime(2024, 3, 29, 12, tzinfo=UTC)


def a_pass(begins: int, ends: int) -> ContactWindow:
    """A pass between two seconds after noon."""
    return ContactWindow(
        aos=NOON + timedelta(seconds=begins), los=NOON + timedelta(seconds=ends), station="Tongchuan", peak=30.0
    )


def after_noon(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("second", "heard"),
    [(-1, False), (0, True), (479.9, True), (480, False)],
    ids=["before", "at acquisition", "just before the end", "at loss of signal"],
)
def test_a_window_holds_from_acquisition_until_loss_of_signal(second: float, heard: bool) -> None:
    assert a_pass(0, 480).holds(after_noon(second)) is heard


@given(begins=st.integers(0, 1000), length=st.integers(1, 1000), cut=st.integers(1, 3000))
def test_a_pass_that_is_cut_never_lasts_longer(begins: int, length: int, cut: int) -> None:
    whole = a_pass(begins, begins + length)
    shortened = whole.cut_at(whole.aos + timedelta(seconds=cut))
    assert shortened.duration == min(whole.duration, timedelta(seconds=cut))
    assert (shortened.aos, shortened.station, shortened.peak) == (whole.aos, whole.station, whole.peak)


def test_a_pass_cannot_be_cut_before_it_begins() -> None:
    with pytest.raises(BadInput, match="before it begins"):
        a_pass(100, 200).cut_at(after_noon(50))


@given(
    lengths=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), max_size=8),
    second=st.integers(0, 900),
    order=st.randoms(use_true_random=False),
)
def test_the_next_window_is_the_first_to_come(lengths: list[tuple[int, int]], second: int, order: object) -> None:
    windows, begins = [], 0
    for gap, length in lengths:
        begins += gap
        windows.append(a_pass(begins, begins + length))
        begins += length
    plan = tuple(sorted(windows, key=lambda _: order.random()))  # type: ignore[attr-defined]  # hypothesis's Random
    following = next_window(plan, after_noon(second))
    if following is not None:
        assert following.aos > after_noon(second)
        assert not [w for w in plan if after_noon(second) < w.aos < following.aos]
    else:
        assert all(window.aos <= after_noon(second) for window in plan)


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (NOON, NOON),
        (NOON, NOON - timedelta(seconds=1)),
        (NOON.replace(tzinfo=None), NOON),
        (NOON, NOON.replace(tzinfo=None)),
    ],
    ids=["empty", "backwards", "aos without zone", "los without zone"],
)
def test_a_window_that_makes_no_sense_is_refused(begins: datetime, ends: datetime) -> None:
    with pytest.raises(BadInput):
        ContactWindow(aos=begins, los=ends, station="Tongchuan", peak=30.0)


@pytest.mark.parametrize(("latitude", "longitude", "mask"), [(91, 0, 5), (0, 181, 5), (0, 0, -1), (0, 0, 90)], ids=str)
def test_a_station_that_is_nowhere_or_sees_nothing_is_refused(latitude: float, longitude: float, mask: float) -> None:
    with pytest.raises(BadInput, match="'nowhere'"):
        Station(name="nowhere", latitude=latitude, longitude=longitude, mask=mask)


@pytest.mark.parametrize("altitude", [149, 35_786], ids=["in the air", "geostationary"])
def test_only_low_orbits_are_orbits_here(altitude: float) -> None:
    with pytest.raises(BadInput, match="low Earth orbit"):
        Orbit(epoch=NOON, altitude=altitude, inclination=97.4)


def test_light_takes_a_second_for_its_own_speed() -> None:
    assert light_time(299_792.458) == timedelta(seconds=1)


def test_utc_keeps_the_instant_and_refuses_to_guess_a_zone() -> None:
    local = NOON.astimezone(timezone(timedelta(hours=8)))
    assert utc(local) == local
    assert utc(local).tzinfo is UTC
    with pytest.raises(BadInput, match="no time zone"):
        utc(NOON.replace(tzinfo=None))
