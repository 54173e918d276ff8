"""What crosses a space link, and which way."""

from __future__ import annotations

from enum import StrEnum


class Direction(StrEnum):
    """Seen from the ground, as radio engineers do."""

    DOWN = "down"
    UP = "up"


class TrafficClass(StrEnum):
    """Kinds of traffic. Telemetry and acknowledgements go before everything else; the rest competes by its worth."""

    TELEMETRY = "telemetry"
    ACKNOWLEDGEMENT = "acknowledgement"
    UPDATE = "update"
    ARTIFACT = "artifact"
    SAMPLES = "samples"

    @property
    def urgent(self) -> bool:
        """Whether it is small, and worth nothing late."""
        return self in (TrafficClass.TELEMETRY, TrafficClass.ACKNOWLEDGEMENT)
