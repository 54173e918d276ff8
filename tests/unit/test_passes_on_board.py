"""When sessions take place: the plan is followed, failures are tried again, nothing is asked too often."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import BadInput
from orbitloop.testing.samples import LAUNCH
from orbitloop_edge.usecases.passes import Cadence, Itinerary, Opening, Rhythm

POLL = 15.0


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def a_window(begins: float, ends: float, station: str, satellite: str = "") -> ContactWindow:
    return ContactWindow(
        aos=LAUNCH + minutes(begins), los=LAUNCH + minutes(ends), station=station, peak=30.0, satellite=satellite
    )


def a_cadence() -> Cadence:
    return Cadence(rhythm=Rhythm(interval=timedelta(seconds=60), poll=timedelta(seconds=POLL)))


PASS = Opening(station="here", los=LAUNCH + minutes(8))


@pytest.mark.parametrize(
    ("minute", "station"),
    [(-1, None), (0, "here"), (5, "here"), (8, "there"), (11, "there"), (12, None), (30, "here")],
)
def test_the_station_is_kept_until_its_window_ends_and_then_handed_over(minute: float, station: str | None) -> None:
    plan = (a_window(0, 8, "here"), a_window(4, 12, "there"), a_window(30, 35, "here"))
    opening = Itinerary.of(plan, "sat-1", ("here", "there")).opening(LAUNCH + minutes(minute), 0)
    assert (None if opening is None else opening.station) == station


def test_windows_of_stations_that_cannot_be_reached_do_not_count() -> None:
    plan = (a_window(0, 8, "elsewhere"), a_window(10, 12, "here"))
    itinerary = Itinerary.of(plan, "sat-1", ("here",))
    assert itinerary.opening(LAUNCH, 0) is None
    following = itinerary.next(LAUNCH)
    assert following is not None
    assert following.aos == LAUNCH + minutes(10)


def test_a_plan_of_other_satellites_is_refused() -> None:
    with pytest.raises(BadInput, match="sat-2"):
        Itinerary.of((a_window(0, 8, "here", "sat-2"),), "sat-1", ("here",))


def test_a_plan_of_other_stations_alone_is_refused_by_their_names() -> None:
    with pytest.raises(BadInput, match="for Here, but sat-1 knows here, there"):
        Itinerary.of((a_window(0, 8, "Here"),), "sat-1", ("here", "there"))


def test_without_a_plan_a_failure_leads_on_to_the_next_station() -> None:
    itinerary = Itinerary.of(None, "sat-1", ("here", "there"))
    heard = [itinerary.opening(LAUNCH, failures) for failures in range(3)]
    assert heard == [Opening(station="here"), Opening(station="there"), Opening(station="here")]
    assert itinerary.next(LAUNCH) is None


def test_a_window_begins_with_a_session() -> None:
    cadence = a_cadence()
    assert cadence.due(PASS, 100.0, 0)
    cadence.held(complete=True, moment=101.0, waiting=0)
    cadence.closed()
    assert cadence.due(PASS, 102.0, 0)


def test_when_nothing_new_waits_the_ground_is_polled() -> None:
    cadence = a_cadence()
    assert cadence.due(PASS, 0.0, 5)
    cadence.held(complete=True, moment=10.0, waiting=0)
    assert not cadence.due(PASS, 10.0 + POLL - 1, 0)
    assert cadence.due(PASS, 10.0 + POLL, 0)


def test_what_is_new_goes_at_once_but_not_breathlessly() -> None:
    cadence = a_cadence()
    cadence.due(PASS, 0.0, 0)
    cadence.held(complete=True, moment=10.0, waiting=2)
    assert not cadence.due(PASS, 10.5, 3)
    assert not cadence.due(PASS, 11.0, 2)
    assert cadence.due(PASS, 11.0, 3)


def test_another_station_is_called_at_once() -> None:
    cadence = a_cadence()
    cadence.due(PASS, 0.0, 0)
    cadence.held(complete=False, moment=10.0, waiting=2)
    assert cadence.due(Opening(station="there", los=LAUNCH + minutes(12)), 10.0, 2)
    assert cadence.failures == 0


@given(failures=st.integers(1, 2_000))
def test_after_a_lost_signal_it_is_tried_again_soon_however_often_it_was_lost(failures: int) -> None:
    cadence = a_cadence()
    cadence.due(PASS, 0.0, 0)
    for _ in range(failures):
        cadence.held(complete=False, moment=100.0, waiting=9)
    assert not cadence.due(PASS, 100.1, 9)
    assert cadence.due(PASS, 109.0, 9)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_rhythm_without_pauses_is_refused(seconds: int) -> None:
    with pytest.raises(BadInput, match="positive"):
        Rhythm(poll=timedelta(seconds=seconds))
