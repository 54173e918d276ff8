"""What satellite and ground say to each other in a contact session.

Every message carries a ``version``; unknown fields are ignored, so that last month's satellite still speaks.
Sizes, digests and names are checked here, once, at the border.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest

WIRE_VERSION = 1

DigestText = Annotated[Digest, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Size = Annotated[Bytes, Field(ge=0, le=2**40)]
Score = Annotated[float, Field(allow_inf_nan=False)]


class Message(BaseModel):
    """Base of everything that crosses space: frozen, tolerant of fields from the future."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = Field(default=WIRE_VERSION, ge=1)


class Hello(Message):
    """The satellite opens a session: who it is, what flies, what waits."""

    satellite: Name
    flying: DigestText
    clock: AwareDatetime
    queued_samples: int = Field(ge=0)
    queued_bytes: Size


class Offer(Message):
    """An update that the ground has ready for this satellite."""

    digest: DigestText
    size: Size
    base: DigestText
    result: DigestText


class Welcome(Message):
    """The ground's answer to a hello."""

    clock: AwareDatetime
    offer: Offer | None = None


class Receipt(Message):
    """The ground holds this bundle durably: the satellite may forget it."""

    bundle: DigestText
    samples: int = Field(ge=0)
    stored: AwareDatetime


class UpdateReport(Message):
    """The satellite tells what it did with an update; sent until acknowledged."""

    satellite: Name
    update: DigestText
    outcome: Outcome
    reason: str = Field(default="", max_length=2_000)
    flying: DigestText
    canary_before: Score | None = None
    canary_after: Score | None = None
    at: AwareDatetime


class Telemetry(Message):
    """Frames and results since launch, sent with every contact."""

    satellite: Name
    frames_captured: int = Field(ge=0)
    frames_processed: int = Field(ge=0)
    captured_bytes: Size
    samples_spooled: int = Field(ge=0)
