"""The form of ``report.json``: names, units and meanings of every figure.

The published schema and the reference page are generated from this module by ``orbitloop_mission.generate``; a field's
description is what its reader finds there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

REPORT_VERSION: Literal[1] = 1


def _unit(name: str) -> dict[str, JsonValue]:
    return {"unit": name}  # JSON Schema has no word for units; validators ignore this one


ByteCount: TypeAlias = Annotated[int, Field(ge=0, json_schema_extra=_unit("bytes"))]
BitRate: TypeAlias = Annotated[int, Field(gt=0, json_schema_extra=_unit("bit/s"))]
Seconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False, json_schema_extra=_unit("seconds"))]
Count: TypeAlias = Annotated[int, Field(ge=0)]
Precision: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, json_schema_extra=_unit("0 to 1"))]
Degrees: TypeAlias = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False, json_schema_extra=_unit("degrees"))]
Pixels: TypeAlias = Annotated[int, Field(ge=0, json_schema_extra=_unit("pixels"))]
Moment: TypeAlias = Annotated[AwareDatetime, Field(json_schema_extra=_unit("UTC, ISO 8601"))]
Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]


def _ordered(box: tuple[float, ...]) -> tuple[float, ...]:
    if box[2] < box[0] or box[3] < box[1]:
        raise ValueError(f"box {box} ends before it begins; give x0, y0, x1, y1")
    return box


Box: TypeAlias = Annotated[
    tuple[Number, ...],
    Field(min_length=4, max_length=5, json_schema_extra=_unit("pixels")),
    AfterValidator(_ordered),
]


def _once(what: str, values: Iterable[int]) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"{what} {twice[0]} is reported more than once")


class Part(BaseModel):
    """Base of everything in a report: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RoundOutcome(StrEnum):
    """How a round ended."""

    APPLIED = "applied"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    UNCONFIRMED = "unconfirmed"


class RoundReport(Part):
    """One round: samples came down, a model was tuned, an update went up."""

    round: int = Field(ge=1, description="Number of the round, from 1.")
    base_model: str = Field(description="Digest of the model that the update was built on.")
    flying_model: str = Field(description="Digest of the model that flies after the round.")
    map50_new_before: Precision = Field(
        description="mAP@0.5 on the new domain's test set of the model that flew before the round."
    )
    map50_new_after: Precision = Field(
        description="mAP@0.5 on the new domain's test set of the model that flies after the round."
    )
    map50_old_before: Precision = Field(
        description="mAP@0.5 on the old domain's test set of the model that flew before the round."
    )
    map50_old_after: Precision = Field(
        description="mAP@0.5 on the old domain's test set of the model that flies after the round."
    )
    map50_all_data: Precision | None = Field(
        description="mAP@0.5 on the new domain's test set of a reference trained on everything captured so far, as if "
        "all of it had been sent down; `null` without `--reference`."
    )
    frames: Count = Field(description="Frames captured in the round.")
    captured_bytes: ByteCount = Field(description="Size of these frames, as encoded by the camera.")
    downlinked_bytes: ByteCount = Field(description="What crossed the link downwards in the round, protocol included.")
    samples_sent: Count = Field(description="Samples that the ground received in the round, each counted once.")
    samples_held_out: Count = Field(
        description="Of these, how many were kept out of training, to judge the update on the ground and on board."
    )
    train_steps: Count = Field(description="Optimiser steps of the fine-tuning; 0 if there was none.")
    train_seconds: Seconds = Field(description="Wall time of the fine-tuning.")
    delta_bytes: ByteCount = Field(description="Size of the signed update as it is sent; 0 if none was built.")
    uplink_seconds: Seconds = Field(
        description="Time that the update took on the link upwards, without the gaps between passes; 0 if none went up."
    )
    canary_before: Precision | None = Field(
        description="Average precision on the tiles kept on board, of the model that flew; `null` if not measured."
    )
    canary_after: Precision | None = Field(
        description="The same, of the model that the update makes; `null` if not measured."
    )
    reconstructed_identical: bool = Field(
        description="Whether satellite and ground arrived at the same bits for the updated model; `false` if no update "
        "was reconstructed."
    )
    outcome: RoundOutcome = Field(
        description="`applied`: the update flies. `rolled_back`: it was worse on board, so the previous model flies "
        "on. `refused`: it could not be applied. `not_sent`: none was good enough to be sent. `unconfirmed`: the "
        "mission ended before the satellite reported."
    )
    reason: str = Field(default="", max_length=2_000, description="Why it ended so, in words; may be empty.")


class PassReport(Part):
    """One contact window and what went through it."""

    number: int = Field(ge=1, description="Number of the pass, from 1.")
    aos: Moment = Field(description="Acquisition of signal.")
    los: Moment = Field(description="Loss of signal as predicted; a cut comes earlier.")
    station: str = Field(description="Ground station.")
    peak_deg: Degrees = Field(description="Highest elevation.")
    bytes_down: ByteCount = Field(description="What crossed the link downwards.")
    bytes_up: ByteCount = Field(description="What crossed the link upwards.")
    bundles: Count = Field(description="Bundles that arrived whole.")
    samples: Count = Field(description="Samples in these bundles.")
    cut: bool = Field(description="Whether the signal was lost before it was predicted.")
    update_rounds: tuple[int, ...] = Field(
        default=(), description="Rounds whose update went up in this pass, whole or in part."
    )
    events: tuple[str, ...] = Field(default=(), description="What happened, in order, a sentence each.")

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.los <= self.aos:
            raise ValueError(f"pass {self.number} ends ({self.los:%FT%TZ}) before it begins ({self.aos:%FT%TZ})")
        return self


class Totals(Part):
    """The mission as a whole."""

    map50_new_base: Precision = Field(description="mAP@0.5 on the new domain of the model that was launched.")
    map50_new_final: Precision = Field(description="The same, of the model that flies in the end.")
    map50_old_base: Precision = Field(description="mAP@0.5 on the old domain of the model that was launched.")
    map50_old_final: Precision = Field(description="The same, of the model that flies in the end.")
    frames_captured: Count = Field(description="Frames that the camera gave.")
    frames_processed: Count = Field(description="Frames that the detector has seen.")
    dropped_frames: Count = Field(description="Frames that were captured and never processed.")
    captured_bytes: ByteCount = Field(description="Size of the captured frames, as encoded by the camera.")
    downlinked_bytes: ByteCount = Field(description="What crossed the link downwards, protocol included.")
    samples_spooled: Count = Field(description="Samples that were put into the durable spool.")
    samples_received: Count = Field(description="Samples that the ground holds, each counted once.")
    lost_samples: Count = Field(description="Samples that are neither on the ground nor still in the spool.")
    passes: Count = Field(description="Contact windows that were used.")
    wall_seconds: Seconds = Field(description="How long the mission took on this machine.")


class ModelFacts(Part):
    """The detector."""

    parameters: int = Field(gt=0, description="Trainable values.")
    full_bytes: ByteCount = Field(description="Size of all weights, as an update without a delta would send them.")


class LinkFacts(Part):
    """The space link."""

    downlink_bps: BitRate = Field(description="Nominal rate from satellite to ground.")
    uplink_bps: BitRate = Field(description="Nominal rate from ground to satellite.")
    orbit: str = Field(description="The orbit, in words.")
    station: str = Field(description="The ground station, or stations.")


class Target(Part):
    """A figure that the mission was to reach, and what it reached."""

    name: str = Field(description="What is measured.")
    wanted: str = Field(description="The target, with its unit.")
    reached: str = Field(description="What was measured, with its unit; printed as it is, whether met or not.")
    met: bool | None = Field(description="`null` if it was not measured.")


class TileWindow(Part):
    """A rectangle of a frame."""

    x0: Pixels = Field(description="Left edge in the frame.")
    y0: Pixels = Field(description="Upper edge in the frame.")
    width: int = Field(gt=0, description="Width of the rectangle.", json_schema_extra=_unit("pixels"))
    height: int = Field(gt=0, description="Height of the rectangle.", json_schema_extra=_unit("pixels"))


class GalleryTile(Part):
    """A tile, and what the launched and the final model find in it."""

    frame: str = Field(description="Name of the frame.")
    window: TileWindow = Field(description="Where the tile lies in the frame.")
    truth: tuple[Box, ...] = Field(description="Labels: `x0, y0, x1, y1`, from the tile's upper left corner.")
    before: tuple[Box, ...] = Field(description="What the launched model finds; a fifth value is the score, 0 to 1.")
    after: tuple[Box, ...] = Field(description="What the final model finds; a fifth value is the score, 0 to 1.")
    image: str = Field(description="Key of the picture among those that the page was drawn with.")


class MissionReport(Part):
    """What a mission reached, and at what price."""

    version: Literal[1] = Field(default=REPORT_VERSION, description="Version of this form.")
    mission: str = Field(default="mission", description="Name of the mission.")
    seed: int = Field(description="What all chance was drawn from; the same seed flies the same mission.")
    software_version: str = Field(description="Version of orbitloop.")
    model: ModelFacts = Field(description="The detector.")
    link: LinkFacts = Field(description="The space link.")
    totals: Totals = Field(description="The mission as a whole.")
    targets: tuple[Target, ...] = Field(default=(), description="Targets, met or not.")
    rounds: tuple[RoundReport, ...] = Field(description="Rounds of learning, in order.")
    passes: tuple[PassReport, ...] = Field(description="Contact windows, in order.")
    gallery: tuple[GalleryTile, ...] = Field(default=(), description="Tiles that show the change.")

    @model_validator(mode="after")
    def _is_one_story(self) -> Self:
        _once("round", (entry.round for entry in self.rounds))
        _once("pass", (entry.number for entry in self.passes))
        return self

    @property
    def downlinked_share(self) -> float | None:
        """Bytes sent down by bytes captured; ``None`` if nothing was captured."""
        return self.totals.downlinked_bytes / self.totals.captured_bytes if self.totals.captured_bytes else None

    @property
    def largest_update(self) -> int | None:
        """Bytes of the largest update that was built; ``None`` if there was none."""
        return max((entry.delta_bytes for entry in self.rounds if entry.delta_bytes), default=None)
