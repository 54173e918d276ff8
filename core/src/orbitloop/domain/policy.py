"""What a mission allows itself on the link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from orbitloop.domain.errors import BadInput
from orbitloop.domain.samples import Reason
from orbitloop.domain.selectors import Selection
from orbitloop.domain.traffic import TrafficClass
from orbitloop.domain.units import BitsPerSecond, Bytes

CODECS = ("webp", "jpeg", "png", "avif")
LARGEST_PRIORITY = 100_000
"""Per cent: a thousandfold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPolicy:
    """Budgets and codec of a satellite's link.

    Args:
        downlink: nominal rate from satellite to ground.
        uplink: nominal rate from ground to satellite.
        downlink_share: share of the captured bytes (frames as encoded) that may be sent down, in (0, 1].
        update_budget: largest update.
        pass_budget: the most that one pass may carry down, telemetry included; ``None``: what the window carries.
        reserve_percent: share of the rate, each way, that bulk data leaves to telemetry and acknowledgements.
        priorities: factor on the value, in per cent, by sample reason and by traffic class; 100 where none is given.
            The two factors of a sample are multiplied. Telemetry and acknowledgements go first in any case.
        doubling: after waiting so long, a thing counts twice its value; after twice as long three times, and so on.
            Growing without bound, it passes whatever is fresh: nothing waits for ever.
        codec: image codec of the samples; ``png`` is lossless.
        quality: its quality, 1 to 100; without meaning for ``png``.
        selection: which tiles go first.
    """

    downlink: BitsPerSecond = BitsPerSecond(100_000_000)
    uplink: BitsPerSecond = BitsPerSecond(1_000_000)
    downlink_share: float = 0.085
    update_budget: Bytes = Bytes(300_000)
    codec: str = "webp"
    quality: int = 30
    pass_budget: Bytes | None = None
    reserve_percent: int = 3
    priorities: Mapping[Reason | TrafficClass, int] = field(default_factory=dict)
    doubling: timedelta = timedelta(days=1)
    selection: Selection = Selection.VALUE

    def __post_init__(self) -> None:
        if not 0 < self.downlink_share <= 1:
            raise BadInput(f"downlink share {self.downlink_share} must be above 0 and at most 1")
        if self.codec not in CODECS:
            raise BadInput(f"codec {self.codec!r} is unknown; use one of {', '.join(CODECS)}")
        if not 1 <= self.quality <= 100:
            raise BadInput(f"quality {self.quality} must be 1 to 100")
        if min(self.downlink, self.uplink, self.update_budget) <= 0:
            raise BadInput("rates and the update budget must be positive")
        if self.pass_budget is not None and self.pass_budget <= 0:
            raise BadInput(f"pass budget {self.pass_budget} must be positive; leave it out for what the window carries")
        if not 0 <= self.reserve_percent <= 90:
            raise BadInput(f"reserve {self.reserve_percent} % must be 0 to 90")
        if self.doubling <= timedelta(0):
            raise BadInput(f"doubling {self.doubling} must be positive, or what waits is never worth more")
        self._check_priorities()

    def _check_priorities(self) -> None:
        known = (*Reason, *TrafficClass)
        for subject, percent in self.priorities.items():
            if subject not in known:
                raise BadInput(f"priority of {str(subject)!r}: use one of {', '.join(known)}")
            if not 1 <= percent <= LARGEST_PRIORITY:
                raise BadInput(f"priority of {subject}: {percent} % must be 1 to {LARGEST_PRIORITY}")

    def factor(self, *subjects: Reason | TrafficClass | None) -> float:
        """The product of the priorities of ``subjects``, as a factor; ``None`` counts as one."""
        product = 1.0
        for subject in subjects:
            if subject is not None:
                product *= self.priorities.get(subject, 100) / 100
        return product
