"""Passes by SGP4, against figures known for a 491 km sun-synchronous orbit."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skyfield.api import EarthSatellite, load, wgs84

from orbitloop.adapters.orbits import contact_windows, propagation_delay, slant_range_km
from orbitloop.domain.contacts import ContactWindow, Orbit, Station
from orbitloop.domain.elements import TwoLine, checksum
from orbitloop.domain.errors import BadInput

EPOCH = datetime(2024, 3, 29, tzinfo=UTC)
TONGCHUAN = Station(name="Tongchuan", latitude=34.9, longitude=108.9)
SVALBARD = Station(name="Svalbard", latitude=78.2, longitude=15.4)


def tiansuan(raan: float = 0.0) -> Orbit:
    """The orbit of BUPT-1. Its plane is not published; some fifty passes hang on it by a few per cent."""
    return Orbit(epoch=EPOCH, altitude=491, inclination=97.371, raan=raan)


@pytest.fixture(scope="module")
def fortnight() -> tuple[ContactWindow, ...]:
    return contact_windows(tiansuan(), TONGCHUAN, EPOCH, 14)


def seconds(windows: tuple[ContactWindow, ...]) -> list[float]:
    return [window.duration.total_seconds() for window in windows]


@pytest.mark.parametrize("raan", [0.0, 77.0, 200.0])
def test_a_fortnight_over_tongchuan_has_the_known_passes(raan: float) -> None:
    windows = contact_windows(tiansuan(raan), TONGCHUAN, EPOCH, 14)
    assert len(windows) / 14 == pytest.approx(3.9, rel=0.05)
    assert statistics.median(seconds(windows)) == pytest.approx(478, rel=0.04)
    assert max(seconds(windows)) == pytest.approx(541, rel=0.01)


def test_a_polar_station_sees_most_revolutions() -> None:
    windows = contact_windows(tiansuan(), SVALBARD, EPOCH, 7)
    assert len(windows) / 7 == pytest.approx(12.7, rel=0.04)
    assert statistics.median(seconds(windows)) == pytest.approx(527, rel=0.04)
    assert max(seconds(windows)) == pytest.approx(548, rel=0.01)


def test_the_slant_range_in_a_pass_is_between_the_altitude_and_the_horizon(
    fortnight: tuple[ContactWindow, ...],
) -> None:
    ranges = [
        slant_range_km(tiansuan(), TONGCHUAN, window.aos + window.duration * part / 10)
        for window in fortnight
        for part in range(11)
    ]
    # The satellite flies 491 km over the equator; at 35 degrees north the ellipsoid is 7 km lower.
    assert 491 <= min(ranges) < 530
    assert max(ranges) == pytest.approx(2054, rel=0.015)


def test_a_higher_pass_comes_closer(fortnight: tuple[ContactWindow, ...]) -> None:
    high = max(fortnight, key=lambda window: window.peak)
    low = min(fortnight, key=lambda window: window.peak)
    assert closest(high) < closest(low)
    assert high.peak > 60
    assert 5 <= low.peak < 15


def closest(window: ContactWindow) -> float:
    return slant_range_km(tiansuan(), TONGCHUAN, window.aos + window.duration / 2)


def test_the_delay_of_a_pass_is_a_few_milliseconds(fortnight: tuple[ContactWindow, ...]) -> None:
    delay = propagation_delay(tiansuan(), TONGCHUAN, fortnight[0].aos)
    assert timedelta(milliseconds=6.5) < delay < timedelta(milliseconds=7.1)


def test_windows_come_in_order_and_apart(fortnight: tuple[ContactWindow, ...]) -> None:
    assert all(earlier.los < later.aos for earlier, later in pairwise(fortnight))


@settings(max_examples=25, deadline=None)
@given(part=st.floats(0.05, 0.95), number=st.integers(0, 40))
def test_a_span_that_ends_in_a_pass_and_one_that_begins_there_share_it(
    fortnight: tuple[ContactWindow, ...], part: float, number: int
) -> None:
    whole = fortnight[number % len(fortnight)]
    middle = whole.aos + whole.duration * part
    day = timedelta(days=1)
    before = contact_windows(tiansuan(), TONGCHUAN, middle - day / 4, 0.25)[-1]
    after = contact_windows(tiansuan(), TONGCHUAN, middle, 0.25)[0]
    assert before.los == pytest.approx(middle, abs=timedelta(milliseconds=1))
    assert after.aos == middle
    assert before.aos == pytest.approx(whole.aos, abs=timedelta(seconds=1))
    assert after.los == pytest.approx(whole.los, abs=timedelta(seconds=1))
    assert max(before.peak, after.peak) == pytest.approx(whole.peak, abs=0.1)


def test_a_span_inside_one_pass_is_one_window(fortnight: tuple[ContactWindow, ...]) -> None:
    whole = fortnight[0]
    (window,) = contact_windows(tiansuan(), TONGCHUAN, whole.aos + timedelta(seconds=30), 60 / 86_400)
    assert window.duration == pytest.approx(timedelta(seconds=60), abs=timedelta(milliseconds=1))
    assert window.peak <= whole.peak


def test_a_span_between_passes_has_none(fortnight: tuple[ContactWindow, ...]) -> None:
    start = fortnight[0].los + timedelta(minutes=1)
    assert contact_windows(tiansuan(), TONGCHUAN, start, 0.001) == ()


def test_a_lower_mask_sees_longer(fortnight: tuple[ContactWindow, ...]) -> None:
    flat = Station(name="Tongchuan", latitude=34.9, longitude=108.9, mask=0)
    assert sum(seconds(contact_windows(tiansuan(), flat, EPOCH, 14))) > sum(seconds(fortnight))


def test_planning_twice_gives_the_same_answer(fortnight: tuple[ContactWindow, ...]) -> None:
    assert contact_windows(tiansuan(), TONGCHUAN, EPOCH, 14) == fortnight


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf")])
def test_a_plan_over_no_days_is_refused(days: float) -> None:
    with pytest.raises(BadInput, match="positive number of days"):
        contact_windows(tiansuan(), TONGCHUAN, EPOCH, days)


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(BadInput, match="no time zone"):
        slant_range_km(tiansuan(), TONGCHUAN, EPOCH.replace(tzinfo=None))
    with pytest.raises(BadInput, match="no time zone"):
        contact_windows(tiansuan(), TONGCHUAN, EPOCH.replace(tzinfo=None), 1)


PUBLISHED = TwoLine(
    name="bupt-1",
    first="1 99001U 24001A   24089.00000000  .00000000  00000-0  20000-4 0    08",
    second="2 99001  97.3710  40.0000 0012000  90.0000   0.0000 15.24928548    02",
)


def elevations(station: Station, moments: list[datetime]) -> list[float]:
    """By skyfield alone, from the lines as they are."""
    timescale = load.timescale(builtin=True)
    satellite = EarthSatellite(PUBLISHED.first, PUBLISHED.second, PUBLISHED.name, timescale)
    place = wgs84.latlon(station.latitude, station.longitude, elevation_m=station.height)
    altitude, _, _ = (satellite - place).at(timescale.from_datetimes(moments)).altaz()
    return [float(degrees) for degrees in altitude.degrees]


@pytest.mark.parametrize("station", [TONGCHUAN, SVALBARD], ids=lambda station: station.name)
def test_windows_from_published_elements_are_right_to_the_second(station: Station) -> None:
    windows = contact_windows(PUBLISHED, station, EPOCH, 3)
    second = timedelta(seconds=1)
    whole = [w for w in windows if w.aos > EPOCH and w.los < EPOCH + timedelta(days=3)]
    assert len(whole) >= 8
    outside = [moment for w in whole for moment in (w.aos - second, w.los + second)]
    inside = [moment for w in whole for moment in (w.aos + second, w.los - second)]
    assert max(elevations(station, outside)) < station.mask < min(elevations(station, inside))


def test_no_pass_of_published_elements_is_missed() -> None:
    windows = contact_windows(PUBLISHED, SVALBARD, EPOCH, 1)
    moments = [EPOCH + timedelta(seconds=20 * step) for step in range(24 * 180)]
    second = timedelta(seconds=1)
    for moment, elevation in zip(moments, elevations(SVALBARD, moments), strict=True):
        if elevation > SVALBARD.mask:
            assert any(window.aos - second <= moment <= window.los + second for window in windows)


def test_windows_name_the_satellite_and_the_antenna() -> None:
    shared = Station(name="Svalbard", latitude=78.2, longitude=15.4, antenna="SG-1")
    windows = contact_windows(PUBLISHED, shared, EPOCH, 1)
    assert {(window.satellite, window.station, window.dish) for window in windows} == {("bupt-1", "Svalbard", "SG-1")}


def test_elements_that_are_too_old_are_refused() -> None:
    with pytest.raises(BadInput, match="elements of bupt-1 are 91 days off, and of no use after 90"):
        contact_windows(PUBLISHED, SVALBARD, EPOCH + timedelta(days=90), 1)


def test_a_satellite_that_has_come_down_has_no_plan() -> None:
    draggy = "1 99001U 24001A   24089.00000000  .00000000  00000-0  99999-1 0    0"
    falling = TwoLine(name="falling", first=draggy + str(checksum(draggy)), second=PUBLISHED.second)
    with pytest.raises(BadInput, match="falling has come down by 2024-0"):
        contact_windows(falling, SVALBARD, EPOCH, 60)
