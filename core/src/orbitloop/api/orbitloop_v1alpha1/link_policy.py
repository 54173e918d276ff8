"""LinkPolicy: what may be sent."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field

from orbitloop.api.parts import ConditionedStatus, Resource, Spec
from orbitloop.domain.errors import BadInput
from orbitloop.domain.policy import LinkPolicy as Policy
from orbitloop.domain.samples import Reason
from orbitloop.domain.selectors import selection_named
from orbitloop.domain.traffic import TrafficClass
from orbitloop.domain.units import Bytes


class LinkPolicySpec(Spec):
    """Budgets and codec.

    Attributes:
        downlink_share_percent: share of the captured bytes that may be sent down.
        update_budget_bytes: largest update.
        pass_budget_bytes: the most that one pass may carry down; without it, what the window carries.
        reserve_percent: share of the rate that bulk data leaves to telemetry.
        priorities: factor on the value, per cent, by reason of a sample or class of traffic.
        doubling_hours: after waiting so long, a thing counts twice its value.
        codec: webp, jpeg, png or avif.
        quality: of the codec, 1 to 100.
        selection: which tiles go first: Value, FirstLook, Hard, Entropy, CoreSet, Random or Everything.
    """

    downlink_share_percent: int = Field(default=9, ge=1, le=100)
    update_budget_bytes: int = Field(default=300_000, ge=1)
    pass_budget_bytes: int | None = Field(default=None, ge=1)
    reserve_percent: int = Field(default=3, ge=0, le=90)
    priorities: dict[str, int] = Field(default_factory=dict)
    doubling_hours: int = Field(default=24, ge=1)
    codec: str = "webp"
    quality: int = Field(default=30, ge=1, le=100)
    selection: str = "Value"

    def to_domain(self) -> Policy:
        """The policy, at the default rates. Raises ``BadInput`` for an unknown codec, selection or priority."""
        known = {str(subject): subject for subject in (*Reason, *TrafficClass)}
        unknown = [subject for subject in self.priorities if subject not in known]
        if unknown:
            raise BadInput(f"spec.priorities.{unknown[0]}: use one of {', '.join(known)}")
        return Policy(
            downlink_share=self.downlink_share_percent / 100,
            update_budget=Bytes(self.update_budget_bytes),
            pass_budget=None if self.pass_budget_bytes is None else Bytes(self.pass_budget_bytes),
            reserve_percent=self.reserve_percent,
            priorities={known[subject]: percent for subject, percent in self.priorities.items()},
            doubling=timedelta(hours=self.doubling_hours),
            codec=self.codec,
            quality=self.quality,
            selection=selection_named(self.selection),
        )


class LinkPolicy(Resource):
    """What a mission allows itself on the link."""

    group: ClassVar[str] = "orbitloop.io"
    kind_name: ClassVar[str] = "LinkPolicy"

    kind: Literal["LinkPolicy"] = "LinkPolicy"
    spec: LinkPolicySpec
    status: ConditionedStatus | None = None
