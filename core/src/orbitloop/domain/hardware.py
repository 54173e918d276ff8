"""Hardware targets: how long a computer takes for a tile, and how long it has for a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from orbitloop.domain.errors import BadInput

EARTH_RADIUS_M = 6_371_000.0
"""Mean radius (IUGG)."""
EARTH_MU = 3.986004418e14
"""Standard gravitational parameter, m^3/s^2 (WGS 84)."""


class Provenance(StrEnum):
    """Where seconds come from: the computer itself, or another one and a published ratio."""

    MEASURED = "measured"
    SCALED = "scaled"


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareTarget:
    """A computer that an application is fitted to.

    Args:
        name: how it is called.
        provenance: how its seconds were found; ``source`` says on what, or by which published figures.
        source: see there; never empty.
        seconds: by name of what is done: ``shrink`` a megapixel of a frame, ``cut`` a tile out of it, ask the
            ``engine`` about a tile, and run each network on one.
        memory: bytes that loaded networks may take together.
        watts: what it draws while it works.
    """

    name: str
    provenance: Provenance
    source: str
    seconds: Mapping[str, float]
    memory: int
    watts: float

    def __post_init__(self) -> None:
        if not self.source:
            raise BadInput(f"hardware target {self.name!r}: say where its seconds come from")
        for what, seconds in self.seconds.items():
            if not (seconds >= 0 and math.isfinite(seconds)):
                raise BadInput(f"hardware target {self.name!r}: {what} takes {seconds} s, which is no time")
        if self.memory <= 0 or not self.watts > 0:
            raise BadInput(
                f"hardware target {self.name!r}: memory {self.memory} and watts {self.watts} must be above 0"
            )

    def time_of(self, what: str) -> float:
        """Seconds of ``what``. Raises ``BadInput`` where the target was never asked."""
        try:
            return self.seconds[what]
        except KeyError as error:
            known = ", ".join(sorted(self.seconds))
            raise BadInput(
                f"hardware target {self.name!r} has no time of {what!r} (only {known}); profile it again"
            ) from error

    def slowed(self, times: float, *, name: str, source: str, memory: int, watts: float) -> HardwareTarget:
        """Another computer, which takes ``times`` as long for everything, by ``source``."""
        seconds = {what: value * times for what, value in self.seconds.items()}
        return replace(
            self,
            name=name,
            provenance=Provenance.SCALED,
            source=source,
            seconds=seconds,
            memory=memory,
            watts=watts,
        )


def orbital_period(altitude_m: float) -> float:
    """Seconds of one revolution on a circular orbit: Kepler's third law."""
    return 2 * math.pi * math.sqrt((EARTH_RADIUS_M + altitude_m) ** 3 / EARTH_MU)


def frame_deadline(altitude_m: float, along_track_m: float) -> float:
    """Seconds in which a satellite crosses a frame that is ``along_track_m`` long on the ground.

    The Earth's own turning is left out: at most 7 % at the equator, across the track for a polar orbit.
    """
    if not (altitude_m > 0 and along_track_m > 0):
        raise BadInput(f"an orbit {altitude_m} m high over frames of {along_track_m} m has no frame deadline")
    return along_track_m * orbital_period(altitude_m) / (2 * math.pi * EARTH_RADIUS_M)
