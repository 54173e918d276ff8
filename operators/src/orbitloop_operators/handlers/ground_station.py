"""GroundStation: a place on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orbitloop.api.orbitloop_v1alpha1.ground_station import GroundStation
from orbitloop.api.rules import checked
from orbitloop.domain.errors import Refused
from orbitloop_operators.handlers.changes import Changes, Document, Key, View
from orbitloop_operators.handlers.conditions import Finding, conditioned, refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundStations:
    """The reconciler of GroundStations: their values are a place, or the object says which is not."""

    def related(self, document: Document, view: View) -> Sequence[Key]:  # noqa: ARG002  # nothing else counts
        """None: a place depends on nothing."""
        return ()

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:  # noqa: ARG002
        """Whether it can be used. Raises ``BadInput`` for a value that is no place."""
        station = checked(document)
        assert isinstance(station, GroundStation)
        place = station.spec.to_domain(station.name)
        message = f"hears satellites at {place.mask:g} degrees and higher"
        return conditioned(document, {}, [Finding(holds=True, reason="Placed", message=message)], now)

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """The station is not ready, and says why."""
        return refusal(document, error, now)
