"""Contact windows: when a satellite is above a station's mask, whose antenna it is, and which station comes next."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise

from orbitloop.domain.errors import BadInput

LIGHT_KM_PER_S = 299_792.458
EQUATORIAL_RADIUS_KM = 6_378.137
EARTH_MU_KM3_PER_S2 = 398_600.4418
LOWEST_KM, HIGHEST_KM = 150, 2_000
"""Heights of low Earth orbits over the equator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A ground station: geodetic latitude and longitude in degrees (WGS 84), height in metres, mask in degrees.

    Args:
        antenna: name of the antenna, where stations share one; empty for a station with its own.
    """

    name: str
    latitude: float
    longitude: float
    height: float = 0.0
    mask: float = 5.0
    antenna: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise BadInput(f"the station at latitude {self.latitude}, longitude {self.longitude} needs a name")
        if not (-90 <= self.latitude <= 90 and -180 <= self.longitude <= 180):
            raise BadInput(f"station {self.name!r}: latitude {self.latitude}, longitude {self.longitude} is no place")
        if not -500 <= self.height <= 9_000:
            raise BadInput(f"station {self.name!r}: height {self.height} m is not on the Earth's surface")
        if not 0 <= self.mask < 90:
            raise BadInput(f"station {self.name!r}: mask {self.mask} must be at least 0 and below 90 degrees")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orbit:
    """A near-circular low orbit, as mean elements at ``epoch``; angles in degrees, altitude in km over the equator."""

    epoch: datetime
    altitude: float
    inclination: float
    raan: float = 0.0
    anomaly: float = 0.0

    def __post_init__(self) -> None:
        if self.epoch.tzinfo is None:
            raise BadInput("the epoch of an orbit needs a time zone; use UTC")
        if not LOWEST_KM <= self.altitude <= HIGHEST_KM:
            raise BadInput(f"altitude {self.altitude} km is not a low Earth orbit ({LOWEST_KM} to {HIGHEST_KM} km)")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ContactWindow:
    """One pass: acquisition (``aos``) to loss of signal (``los``), UTC.

    Args:
        peak: highest elevation, in degrees; 0 where it is not known.
        satellite: whose pass; empty in the plan of a single satellite.
        antenna: whose name must be told where stations share one; empty for the station's own.
    """

    aos: datetime
    los: datetime
    station: str
    peak: float = 0.0
    satellite: str = ""
    antenna: str = ""

    def __post_init__(self) -> None:
        if self.aos.tzinfo is None or self.los.tzinfo is None:
            raise BadInput("contact windows are in UTC; a time without a zone was given")
        if self.los <= self.aos:
            raise BadInput(f"the window at {self.station} ends ({self.los:%FT%TZ}) before it begins")
        if not -90 <= self.peak <= 90:
            raise BadInput(f"the window at {self.station} peaks at {self.peak} degrees; elevations are -90 to 90")

    def __str__(self) -> str:
        whose = f"{self.satellite} over {self.station}" if self.satellite else self.station
        return f"{whose} {self.aos:%FT%TZ} to {self.los:%FT%TZ}"

    @property
    def duration(self) -> timedelta:
        """From acquisition to loss of signal."""
        return self.los - self.aos

    def holds(self, moment: datetime) -> bool:
        """Whether the station can be heard at ``moment``; the instant of loss of signal is outside."""
        return self.aos <= moment < self.los

    @property
    def dish(self) -> str:
        """The antenna that the pass takes: windows of the same one must not overlap."""
        return self.antenna or self.station

    def overlaps(self, other: ContactWindow) -> bool:
        """Whether there is a moment in both; one may begin at the instant in which the other ends."""
        return self.aos < other.los and other.aos < self.los

    def cut_at(self, los: datetime) -> ContactWindow:
        """The same pass with the signal lost at ``los`` already (an obstacle, a fault)."""
        return replace(self, los=min(los.astimezone(UTC), self.los))


def window_at(plan: tuple[ContactWindow, ...], moment: datetime) -> ContactWindow | None:
    """The window that is open at ``moment``, if any."""
    return next((window for window in plan if window.holds(moment)), None)


def next_window(plan: tuple[ContactWindow, ...], moment: datetime) -> ContactWindow | None:
    """The first window that begins after ``moment``, whatever is open then."""
    return min((window for window in plan if window.aos > moment), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A station's signal is lost at ``at`` while another's is there: the transfer goes on over that one."""

    at: datetime
    leaves: str
    takes: str


def check_antennas(plan: Iterable[ContactWindow]) -> None:
    """Raise ``BadInput``, naming both, if two windows of one antenna overlap."""
    latest: dict[str, ContactWindow] = {}
    for window in sorted(plan):
        before = latest.get(window.dish)
        if before is not None and before.overlaps(window):
            raise BadInput(
                f"antenna {window.dish} cannot serve two passes at once: {before}, and {window}; "
                "leave one out, or name the antennas apart"
            )
        latest[window.dish] = window


def resolve(plan: Iterable[ContactWindow]) -> tuple[tuple[ContactWindow, ...], tuple[ContactWindow, ...]]:
    """The windows that are kept so that no antenna serves two passes at once, and those that are given up.

    Every antenna goes through its windows from the longest to the shortest, of equally long ones the higher first,
    then the earlier: a window is kept unless it overlaps one that was kept before. Both in order of acquisition.
    """
    kept: dict[str, list[ContactWindow]] = defaultdict(list)  # by antenna, in order, none overlapping another
    given_up: list[ContactWindow] = []
    for window in sorted(plan, key=lambda one: (-one.duration, -one.peak, one)):
        of_antenna = kept[window.dish]
        place = bisect_left(of_antenna, window)
        if any(other.overlaps(window) for other in of_antenna[max(place - 1, 0) : place + 1]):
            given_up.append(window)
        else:
            of_antenna.insert(place, window)
    return tuple(sorted(chain.from_iterable(kept.values()))), tuple(sorted(given_up))


def turns(plan: Iterable[ContactWindow]) -> tuple[ContactWindow, ...]:
    """The windows of one satellite as it uses them, one after the other; each begins when its turn does.

    The satellite stays with a station until its loss of signal; then it takes, of the windows that are open, the one
    that stays open longest (of equal ones the higher). ``peak`` is that of the whole window.
    """
    return tuple(_turns(sorted(plan)))


def _turns(waiting: list[ContactWindow]) -> Iterator[ContactWindow]:
    while waiting:
        moment = min(window.aos for window in waiting)
        while open_now := [window for window in waiting if window.holds(moment)]:
            taken = max(open_now, key=lambda window: (window.los, window.peak, window.station))
            yield replace(taken, aos=moment)
            moment = taken.los
        waiting = [window for window in waiting if window.los > moment]


def serving(plan: Iterable[ContactWindow], moment: datetime) -> ContactWindow | None:
    """The turn (see :func:`turns`) that is on at ``moment``: whose station to use. ``None`` between passes.

    To ask often, keep :func:`turns` and ask :func:`window_at` of it.
    """
    return window_at(turns(plan), moment)


def handovers(plan: Iterable[ContactWindow]) -> tuple[Handover, ...]:
    """When one station follows another without a gap, in order."""
    return tuple(
        Handover(at=later.aos, leaves=earlier.station, takes=later.station)
        for earlier, later in pairwise(turns(plan))
        if earlier.los == later.aos
    )


def windows_of(plan: Iterable[ContactWindow], satellite: str) -> tuple[ContactWindow, ...]:
    """The windows of one satellite, in order; those that name none count for every satellite.

    Raises:
        BadInput: the plan has windows, but none for this satellite.
    """
    windows = sorted(plan)
    found = tuple(window for window in windows if window.satellite in ("", satellite))
    if windows and not found:
        known = ", ".join(sorted({window.satellite for window in windows}))
        raise BadInput(f"the contact plan has no window of satellite {satellite!r}; it knows {known}")
    return found


def light_time(distance: float) -> timedelta:
    """How long a signal travels over ``distance`` km in vacuum: the one-way propagation delay of a link."""
    return timedelta(seconds=distance / LIGHT_KM_PER_S)


def utc(moment: datetime) -> datetime:
    """``moment`` in UTC. Raises ``BadInput`` if it has no time zone."""
    if moment.tzinfo is None:
        raise BadInput(f"{moment.isoformat()} has no time zone; give it in UTC")
    return moment.astimezone(UTC)
