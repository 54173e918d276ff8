"""ContactPlan: who can be heard where, and when."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from orbitloop.api.parts import ConditionedStatus, Resource, Spec, Status
from orbitloop.domain.contacts import ContactWindow

MOST_WINDOWS = 200
"""Windows in one plan."""


class Window(Status):
    """One pass, UTC.

    Attributes:
        satellite: whose.
        station: over which.
        aos: acquisition of signal.
        los: loss of signal.
    """

    satellite: str
    station: str
    aos: AwareDatetime
    los: AwareDatetime

    def to_domain(self) -> ContactWindow:
        """The window. Raises ``BadInput`` if it ends before it begins."""
        return ContactWindow(aos=self.aos, los=self.los, station=self.station, satellite=self.satellite)


class ContactPlanSpec(Spec):
    """Whose contacts; given, or computed from elements.

    Attributes:
        satellites: names of Satellites in the same namespace; none: all.
        stations: names of GroundStations in the same namespace; none: all.
        horizon_hours: how far ahead windows are computed.
        windows: given ones, in place of computed ones.
    """

    satellites: tuple[str, ...] = ()
    stations: tuple[str, ...] = ()
    horizon_hours: int = Field(default=48, ge=1, le=240)
    windows: tuple[Window, ...] = Field(default=(), max_length=MOST_WINDOWS)


class ContactPlanStatus(ConditionedStatus):
    """The windows.

    Attributes:
        windows: in the order in which they begin.
        computed_at: when they were computed.
        valid_until: until when they reach.
        inputs: digest of the elements, places and times that they were computed from.
    """

    windows: tuple[Window, ...] = ()
    computed_at: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    inputs: str = ""


class ContactPlan(Resource):
    """Who can be heard where, and when."""

    group: ClassVar[str] = "orbitloop.io"
    kind_name: ClassVar[str] = "ContactPlan"

    kind: Literal["ContactPlan"] = "ContactPlan"
    spec: ContactPlanSpec
    status: ContactPlanStatus | None = None
