"""Contact windows: when a satellite is above a station's mask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orbitloop.domain.errors import BadInput

LIGHT_KM_PER_S = 299_792.458


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A ground station: geodetic latitude and longitude in degrees (WGS 84), height in metres, mask in degrees."""

    name: str
    latitude: float
    longitude: float
    height: float = 0.0
    mask: float = 5.0

    def __post_init__(self) -> None:
        if not (-90 <= self.latitude <= 90 and -180 <= self.longitude <= 180):
            raise BadInput(f"station {self.name!r}: latitude {self.latitude}, longitude {self.longitude} is no place")
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
        if not 150 <= self.altitude <= 2_000:
            raise BadInput(f"altitude {self.altitude} km is not a low Earth orbit (150 to 2000 km)")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ContactWindow:
    """One pass: acquisition (``aos``) to loss of signal (``los``), UTC; ``peak`` is the highest elevation, degrees."""

    aos: datetime
    los: datetime
    station: str
    peak: float

    def __post_init__(self) -> None:
        if self.aos.tzinfo is None or self.los.tzinfo is None:
            raise BadInput("contact windows are in UTC; a time without a zone was given")
        if self.los <= self.aos:
            raise BadInput(f"the window at {self.station} ends ({self.los:%FT%TZ}) before it begins")

    @property
    def duration(self) -> timedelta:
        """From acquisition to loss of signal."""
        return self.los - self.aos

    def holds(self, moment: datetime) -> bool:
        """Whether the station can be heard at ``moment``; the instant of loss of signal is outside."""
        return self.aos <= moment < self.los

    def cut_at(self, los: datetime) -> ContactWindow:
        """The same pass with the signal lost at ``los`` already (an obstacle, a fault)."""
        return ContactWindow(aos=self.aos, los=min(los.astimezone(UTC), self.los), station=self.station, peak=self.peak)


def window_at(plan: tuple[ContactWindow, ...], moment: datetime) -> ContactWindow | None:
    """The window that is open at ``moment``, if any."""
    return next((window for window in plan if window.holds(moment)), None)


def next_window(plan: tuple[ContactWindow, ...], moment: datetime) -> ContactWindow | None:
    """The first window that begins after ``moment``, whatever is open then."""
    return min((window for window in plan if window.aos > moment), default=None)


def light_time(distance: float) -> timedelta:
    """How long a signal travels over ``distance`` km in vacuum: the one-way propagation delay of a link."""
    return timedelta(seconds=distance / LIGHT_KM_PER_S)


def utc(moment: datetime) -> datetime:
    """``moment`` in UTC. Raises ``BadInput`` if it has no time zone."""
    if moment.tzinfo is None:
        raise BadInput(f"{moment.isoformat()} has no time zone; give it in UTC")
    return moment.astimezone(UTC)
