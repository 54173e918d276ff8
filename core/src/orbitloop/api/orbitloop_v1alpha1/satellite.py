"""Satellite: a node that is out of contact most of the time."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from orbitloop.api.parts import ConditionedStatus, Opaque, Resource, Spec, Status


class RadioSpec(Spec):
    """What its radio carries.

    Attributes:
        downlink_bits_per_second: from the satellite to the ground.
        uplink_bits_per_second: from the ground to the satellite.
    """

    downlink_bits_per_second: int = Field(default=100_000_000, ge=1)
    uplink_bits_per_second: int = Field(default=1_000_000, ge=1)


class ComputeSpec(Spec):
    """Its computer: one of the two.

    Attributes:
        target: name of a hardware target that comes along: one-core, raspberry-pi-4, jetson-15w.
        profile: what orbitloop profile wrote, as it is: name, provenance, source, seconds, memory and watts.
    """

    target: str = ""
    profile: Opaque | None = None


class SatelliteSpec(Spec):
    """A satellite.

    Attributes:
        node_name: its node in the cluster.
        elements: the two lines of its two-line element set; without them, contacts are given, not computed.
        radio: what its radio carries.
        link_policy: name of a LinkPolicy in its namespace.
        compute: its computer, for which applications are transformed.
    """

    node_name: str = Field(min_length=1)
    elements: tuple[str, ...] = Field(default=(), max_length=2)
    radio: RadioSpec = RadioSpec()
    link_policy: str = ""
    compute: ComputeSpec | None = None


class SatelliteSelection(Status):
    """What a satellite said last of selection logics on board.

    Attributes:
        application: whose logic frames go by.
        version: that it was signed with.
        digest: sha256 of its file; empty: frames go by none.
        refused: sha256 of the file that was refused last; empty: none since the last good one.
        reason: why it was refused.
    """

    application: str = ""
    version: int | None = None
    digest: str = ""
    refused: str = ""
    reason: str = ""


class SatelliteStatus(ConditionedStatus):
    """What is known of a satellite.

    Attributes:
        flying: digest of the model that it said last it flies.
        last_contact: when it was heard last.
        next_contact: when it can be heard next.
        queued_samples: samples that waited on board then.
        queued_bytes: their size.
        drift_percent: how far what it sees has moved since its model began to fly, in hundredths: 25 is much.
        selection: the selection logic that it said last its frames go by.
    """

    flying: str = ""
    last_contact: AwareDatetime | None = None
    next_contact: AwareDatetime | None = None
    queued_samples: int | None = None
    queued_bytes: int | None = None
    drift_percent: int | None = None
    selection: SatelliteSelection | None = None


class Satellite(Resource):
    """A node in orbit."""

    group: ClassVar[str] = "orbitloop.io"
    kind_name: ClassVar[str] = "Satellite"

    kind: Literal["Satellite"] = "Satellite"
    spec: SatelliteSpec
    status: SatelliteStatus | None = None
