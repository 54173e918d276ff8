"""Passes and ranges by SGP4, through skyfield. Needs the extra ``orbitloop[orbits]``; never touches the network.

Two-line elements are taken as they are; an :class:`Orbit` as SGP4 mean elements without drag: good for planning over
weeks, not for pointing an antenna. Elevations are geometric (no refraction), over the WGS 84 ellipsoid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sgp4.api import WGS72, Satrec
from skyfield.api import EarthSatellite, load, wgs84

from orbitloop.domain.contacts import (
    EARTH_MU_KM3_PER_S2,
    EQUATORIAL_RADIUS_KM,
    ContactWindow,
    Orbit,
    Station,
    light_time,
    utc,
)
from orbitloop.domain.elements import TwoLine
from orbitloop.domain.errors import BadInput

Elements = Orbit | TwoLine

_SGP4_EPOCH = datetime(1949, 12, 31, tzinfo=UTC)
# SGP4 has singular terms at exactly zero eccentricity.
_NEARLY_CIRCULAR = 1e-6
# Longer than any pass of a low orbit (35 minutes at 2000 km over a flat horizon), so that a pass under way at an end
# of the span is found whole.
_MARGIN = timedelta(hours=1)
_OLDEST = timedelta(days=90)
# Of an orbit that was a low one: below it burns, above the model has lost it.
_DECAYED_KM, _LOST_KM = 100.0, 2_200.0
_RISE, _SET = 0, 2  # as find_events() numbers them; 1 is a culmination


class _Sight(NamedTuple):
    """A satellite as seen from a place. The classes behind these are untyped."""

    timescale: Any
    satellite: Any
    place: Any


class _Look(NamedTuple):
    """The elevation, in degrees, at one moment."""

    moment: datetime
    elevation: float


def contact_windows(orbit: Elements, station: Station, start: datetime, days: float) -> tuple[ContactWindow, ...]:
    """Every pass of ``orbit`` over ``station`` within ``days`` from ``start``, in order of acquisition.

    A pass already under way at ``start``, or not over at the end, is clipped to the span; its ``peak`` is then the
    highest elevation of the part that is left. Times are good to about half a second, within the model. The windows
    name the satellite where the elements do, and the antenna where the station does.

    Raises:
        BadInput: ``start`` has no time zone, ``days`` is not a positive number, or two-line elements are more than
            90 days off or say that the satellite has come down.
    """
    if not (math.isfinite(days) and days > 0):
        raise BadInput(f"a contact plan over {days} days is empty; ask for a positive number of days")
    begin = utc(start)
    end = begin + timedelta(days=days)
    sight = _sight(orbit, station)
    if isinstance(orbit, TwoLine):
        _check_span(sight, begin, end)
    span = (sight.timescale.from_datetime(begin - _MARGIN), sight.timescale.from_datetime(end + _MARGIN))
    times, events = sight.satellite.find_events(sight.place, *span, altitude_degrees=station.mask)
    looks = _looks(sight, [*times.utc_datetime(), begin, end])
    edges = looks[-2:]
    whose = orbit.name if isinstance(orbit, TwoLine) else ""
    found = (_clipped(one_pass, edges, station, whose) for one_pass in _passes(looks[:-2], events))
    return tuple(window for window in found if window is not None)


def slant_range_km(orbit: Elements, station: Station, moment: datetime) -> float:
    """The distance between station and satellite at ``moment``, in km, also while it is below the horizon.

    Raises:
        BadInput: ``moment`` has no time zone.
    """
    sight = _sight(orbit, station)
    time = sight.timescale.from_datetime(utc(moment))
    return float((sight.satellite - sight.place).at(time).distance().km)


def propagation_delay(orbit: Elements, station: Station, moment: datetime) -> timedelta:
    """How long a signal travels between station and satellite at ``moment``, one way.

    Raises:
        BadInput: ``moment`` has no time zone.
    """
    return light_time(slant_range_km(orbit, station, moment))


@lru_cache(maxsize=1)
def _timescale() -> Any:
    return load.timescale(builtin=True)


@lru_cache(maxsize=64)
def _sight(orbit: Elements, station: Station) -> _Sight:
    # Reading the timescale and initialising SGP4 cost far more than asking where the satellite is.
    timescale = _timescale()
    satellite = (
        EarthSatellite(orbit.first, orbit.second, orbit.name, timescale)
        if isinstance(orbit, TwoLine)
        else EarthSatellite.from_satrec(_mean_elements(orbit), timescale)
    )
    place = wgs84.latlon(station.latitude, station.longitude, elevation_m=station.height)
    return _Sight(timescale, satellite, place)


def _check_span(sight: _Sight, begin: datetime, end: datetime) -> None:
    """Refuse elements that are too old, or by which the satellite comes down; SGP4 would go on with nonsense."""
    name, epoch = sight.satellite.name, sight.satellite.epoch.utc_datetime()
    off = max(begin - epoch, end - epoch, epoch - begin)
    if off > _OLDEST:
        raise BadInput(f"the elements of {name} are {off.days} days off, and of no use after {_OLDEST.days}; get newer")
    moments = [*(begin + timedelta(days=day) for day in range((end - begin).days + 1)), end]
    heights = sight.satellite.at(sight.timescale.from_datetimes(moments)).distance().km - EQUATORIAL_RADIUS_KM
    for moment, height in zip(moments, heights, strict=True):
        if not _DECAYED_KM < height < _LOST_KM:
            raise BadInput(f"by its elements {name} has come down by {moment:%FT%TZ}; plan for less, or get newer ones")


def _mean_elements(orbit: Orbit) -> Any:
    """SGP4's state for ``orbit``: mean motion by Kepler's third law from the altitude over the equator."""
    semi_major_axis = EQUATORIAL_RADIUS_KM + orbit.altitude
    mean_motion = math.sqrt(EARTH_MU_KM3_PER_S2 / semi_major_axis**3) * 60  # radians per minute
    elements = Satrec()
    elements.sgp4init(
        WGS72,
        "i",
        0,  # no catalogue number
        (orbit.epoch - _SGP4_EPOCH) / timedelta(days=1),
        0.0,  # drag
        0.0,  # first and second derivative of the mean motion: ignored by SGP4
        0.0,
        _NEARLY_CIRCULAR,
        0.0,  # argument of perigee
        math.radians(orbit.inclination),
        math.radians(orbit.anomaly),
        mean_motion,
        math.radians(orbit.raan),
    )
    return elements


def _looks(sight: _Sight, moments: list[datetime]) -> list[_Look]:
    """The elevation at each moment, in one vectorised call."""
    times = sight.timescale.from_datetimes(moments)
    elevation, _, _ = (sight.satellite - sight.place).at(times).altaz()
    return [_Look(moment, float(degrees)) for moment, degrees in zip(moments, elevation.degrees, strict=True)]


def _passes(looks: list[_Look], events: Any) -> Iterator[list[_Look]]:
    """Group events into passes: rise, one or more culminations, set.

    What precedes the first rise or follows the last set lies in the margin, so an incomplete pass may be dropped.
    """
    one_pass: list[_Look] = []
    for look, event in zip(looks, events, strict=True):
        if event == _RISE:
            one_pass = []
        one_pass.append(look)
        if event == _SET and len(one_pass) > 1:
            yield one_pass


def _clipped(one_pass: list[_Look], edges: list[_Look], station: Station, satellite: str) -> ContactWindow | None:
    begin, end = edges
    aos = max(one_pass[0].moment, begin.moment)
    los = min(one_pass[-1].moment, end.moment)
    if los <= aos:
        return None
    peak = max(look.elevation for look in (*one_pass, *edges) if aos <= look.moment <= los)
    return ContactWindow(
        aos=aos, los=los, station=station.name, peak=peak, satellite=satellite, antenna=station.antenna
    )
