"""GroundStation: an antenna on the ground."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from orbitloop.api.parts import ConditionedStatus, Resource, Spec
from orbitloop.domain.contacts import Station


class GroundStationSpec(Spec):
    """Where an antenna is.

    Attributes:
        latitude_microdegrees: geodetic, WGS 84, north is positive.
        longitude_microdegrees: east is positive.
        altitude_meters: above the ellipsoid.
        minimum_elevation_millidegrees: below it nothing is heard.
        antenna: name of the antenna, where stations share one.
    """

    latitude_microdegrees: int = Field(ge=-90_000_000, le=90_000_000)
    longitude_microdegrees: int = Field(ge=-180_000_000, le=180_000_000)
    altitude_meters: int = Field(default=0, ge=-500, le=9_000)
    minimum_elevation_millidegrees: int = Field(default=5_000, ge=0, lt=90_000)
    antenna: str = ""

    def to_domain(self, name: str) -> Station:
        """The station called ``name``. Raises ``BadInput``."""
        return Station(
            name=name,
            latitude=self.latitude_microdegrees / 1e6,
            longitude=self.longitude_microdegrees / 1e6,
            height=float(self.altitude_meters),
            mask=self.minimum_elevation_millidegrees / 1e3,
            antenna=self.antenna,
        )


class GroundStation(Resource):
    """An antenna on the ground."""

    group: ClassVar[str] = "orbitloop.io"
    kind_name: ClassVar[str] = "GroundStation"

    kind: Literal["GroundStation"] = "GroundStation"
    spec: GroundStationSpec
    status: ConditionedStatus | None = None
