"""What a mission allows itself on the link."""

from __future__ import annotations

from dataclasses import dataclass

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import BitsPerSecond, Bytes

CODECS = ("webp", "jpeg", "png", "avif")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPolicy:
    """Budgets and codec of a satellite's link.

    Args:
        downlink: nominal rate from satellite to ground.
        uplink: nominal rate from ground to satellite.
        downlink_share: share of the captured bytes (frames as encoded) that may be sent down, in (0, 1].
        update_budget: largest update.
        codec: image codec of the samples; ``png`` is lossless.
        quality: its quality, 1 to 100; without meaning for ``png``.
    """

    downlink: BitsPerSecond = BitsPerSecond(100_000_000)
    uplink: BitsPerSecond = BitsPerSecond(1_000_000)
    downlink_share: float = 0.085
    update_budget: Bytes = Bytes(300_000)
    codec: str = "webp"
    quality: int = 30

    def __post_init__(self) -> None:
        if not 0 < self.downlink_share <= 1:
            raise BadInput(f"downlink share {self.downlink_share} must be above 0 and at most 1")
        if self.codec not in CODECS:
            raise BadInput(f"codec {self.codec!r} is unknown; use one of {', '.join(CODECS)}")
        if not 1 <= self.quality <= 100:
            raise BadInput(f"quality {self.quality} must be 1 to 100")
        if min(self.downlink, self.uplink, self.update_budget) <= 0:
            raise BadInput("rates and the update budget must be positive")
