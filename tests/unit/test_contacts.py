"""Contact windows as values: what a pass is, and which one is on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.contacts import (
    ContactWindow,
    Orbit,
    Station,
    check_antennas,
    handovers,
    light_time,
    next_window,
    resolve,
    serving,
    turns,
    utc,
    windows_of,
)
from orbitloop.domain.errors import BadInput

NOON = datetime(2024, 3, 29, 12, tzinfo=UTC)


def a_pass(begins: int, ends: int, station: str = "Tongchuan", **named: str) -> ContactWindow:
    """A pass between two seconds after noon."""
    return ContactWindow(
        aos=NOON + timedelta(seconds=begins), los=NOON + timedelta(seconds=ends), station=station, peak=30.0, **named
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


PLANS = st.lists(
    st.builds(
        lambda begins, length, station, antenna: a_pass(begins, begins + length, station, antenna=antenna),
        st.integers(0, 100),
        st.integers(1, 40),
        st.sampled_from(["A", "B", "C"]),
        st.sampled_from(["", "shared"]),
    ),
    max_size=8,
    unique=True,
)


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        ((a_pass(0, 10), a_pass(9, 20)), "antenna Tongchuan .*: Tongchuan .*:00Z to .*, and Tongchuan .*:09Z"),
        (
            (a_pass(0, 10, satellite="sat-1"), a_pass(2, 8, satellite="sat-2")),
            "sat-1 over Tongchuan .*, and sat-2 over Tongchuan",
        ),
        ((a_pass(0, 10, "A", antenna="dish"), a_pass(5, 20, "B", antenna="dish")), "antenna dish .*: A .*, and B"),
    ],
    ids=["one station", "two satellites", "two stations"],
)
def test_an_antenna_that_is_needed_twice_is_refused(plan: tuple[ContactWindow, ...], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        check_antennas(plan)


def test_passes_of_different_antennas_or_one_after_the_other_are_a_plan() -> None:
    check_antennas((a_pass(0, 10, "A"), a_pass(5, 20, "B"), a_pass(10, 15, "A")))


@given(plan=PLANS)
def test_what_is_kept_can_be_followed_and_nothing_is_given_up_needlessly(plan: list[ContactWindow]) -> None:
    kept, given_up = resolve(plan)
    check_antennas(kept)
    assert sorted((*kept, *given_up)) == sorted(plan)
    for window in given_up:
        assert any(
            other.dish == window.dish and other.overlaps(window) and other.duration >= window.duration for other in kept
        )


def test_the_longer_pass_is_kept() -> None:
    short, long = a_pass(0, 10), a_pass(5, 60)
    assert resolve((short, long)) == ((long,), (short,))


def test_a_satellite_stays_with_its_station_then_takes_the_one_that_lasts_longest() -> None:
    plan = (a_pass(0, 10, "A"), a_pass(4, 14, "B"), a_pass(6, 20, "C"), a_pass(40, 50, "A"))
    assert [(w.station, w.aos, w.los) for w in turns(plan)] == [
        ("A", after_noon(0), after_noon(10)),
        ("C", after_noon(10), after_noon(20)),
        ("A", after_noon(40), after_noon(50)),
    ]
    assert [(h.at, h.leaves, h.takes) for h in handovers(plan)] == [(after_noon(10), "A", "C")]


@given(plan=PLANS, second=st.integers(-1, 150))
def test_a_station_serves_exactly_while_one_is_open(plan: list[ContactWindow], second: int) -> None:
    moment = after_noon(second)
    served = serving(plan, moment)
    assert (served is None) == (not [window for window in plan if window.holds(moment)])
    if served is not None:
        assert any(w.station == served.station and w.los == served.los and w.holds(moment) for w in plan)


@given(plan=PLANS)
def test_turns_never_overlap_and_their_sequence_does_not_depend_on_the_order(plan: list[ContactWindow]) -> None:
    taken = turns(plan)
    assert all(earlier.los <= later.aos for earlier, later in pairwise(taken))
    assert turns(reversed(plan)) == taken


def test_a_plan_of_several_satellites_is_told_apart() -> None:
    plan = (a_pass(0, 10, satellite="sat-1"), a_pass(20, 30, satellite="sat-2"), a_pass(40, 50))
    assert windows_of(plan, "sat-2") == plan[1:]
    assert windows_of((), "sat-2") == ()
    with pytest.raises(BadInput, match="no window of satellite 'sat-3'; it knows sat-1, sat-2"):
        windows_of(plan[:2], "sat-3")


@pytest.mark.parametrize("peak", [91, float("nan")])
def test_an_elevation_that_is_none_is_refused(peak: float) -> None:
    with pytest.raises(BadInput, match="elevations are -90 to 90"):
        ContactWindow(aos=NOON, los=after_noon(1), station="A", peak=peak)
