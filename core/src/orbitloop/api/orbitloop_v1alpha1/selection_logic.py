"""SelectionLogic: an application, fitted to the computer of satellites, and what became of it up there."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import AwareDatetime

from orbitloop.api.parts import ConditionedStatus, Resource, Spec, Status


class LogicState(StrEnum):
    """How far a selection logic has come on its way to a satellite."""

    WAITING = "Waiting"
    OFFERED = "Offered"
    FETCHED = "Fetched"
    FLYING = "Flying"
    REFUSED = "Refused"


class SelectionLogicSpec(Spec):
    """Which file is to fly where.

    Attributes:
        satellites: names of Satellites of its namespace, at least one.
        url: of the file that a transformation wrote (selection.ols), on the ground's storage: an absolute path that
            the gateway can read.
        digest: sha256 of that file as it lies there.
    """

    satellites: tuple[str, ...]
    url: str
    digest: str


class SatelliteLogic(Status):
    """What became of it at one satellite.

    Attributes:
        name: of the Satellite.
        node: its node.
        state: Waiting (not on offer yet), Offered, Fetched (on board, whole), Flying or Refused.
        version: that the gateway signed it with, for this satellite.
        digest: sha256 of the file that the gateway signed, which is what the satellite speaks of.
        message: why it is where it is, and what to do where something is to be done.
        last_heard: when the satellite was heard last.
    """

    name: str
    node: str = ""
    state: LogicState = LogicState.WAITING
    version: int | None = None
    digest: str = ""
    message: str = ""
    last_heard: AwareDatetime | None = None


class SelectionLogicStatus(ConditionedStatus):
    """What is known of it.

    Attributes:
        state: of the satellite that it has come least far to; Refused where one refused it.
        application: whose logic it is, as its file says.
        target: the computer that it was made for, as its file says.
        version: the highest one that it was signed with; each satellite counts its own.
        satellites: what became of it at each.
    """

    state: LogicState | None = None
    application: str = ""
    target: str = ""
    version: int | None = None
    satellites: tuple[SatelliteLogic, ...] = ()


class SelectionLogic(Resource):
    """An application, fitted to the computer of satellites: which tiles are looked at by what, and what is sent."""

    group: ClassVar[str] = "orbitloop.io"
    kind_name: ClassVar[str] = "SelectionLogic"

    kind: Literal["SelectionLogic"] = "SelectionLogic"
    spec: SelectionLogicSpec
    status: SelectionLogicStatus | None = None
