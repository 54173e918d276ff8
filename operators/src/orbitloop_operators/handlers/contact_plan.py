"""ContactPlan: windows, as given or by the orbits of its satellites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from orbitloop.api.orbitloop_v1alpha1.contact_plan import MOST_WINDOWS, ContactPlan, Window
from orbitloop.api.rules import checked
from orbitloop.domain.contacts import ContactWindow, check_antennas
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.wire.complaints import first_complaint
from orbitloop_operators.handlers.changes import Changes, Document, Key, View
from orbitloop_operators.handlers.conditions import Finding, conditioned, kept, refusal, stamp, still_said
from orbitloop_operators.handlers.passes_ahead import Ahead, Predictor, Roster, predicted

API_VERSION, KIND = "orbitloop.io/v1alpha1", "ContactPlan"
_COMPUTED, _GIVEN, _MISSING, _INCOMPLETE, _NONE = "Computed", "Given", "Missing", "Incomplete", "NoContact"
_FIELDS = ("windows", "computedAt", "validUntil", "inputs")
_SOONEST = timedelta(minutes=1)
"""However short the windows reach, they are not computed more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPlans:
    """The reconciler of ContactPlans.

    Windows are computed anew when what they depend on has changed, or when less than half of their reach is left.

    Args:
        predict: passes of one satellite over one station.
    """

    predict: Predictor

    def related(self, document: Document, view: View) -> Sequence[Key]:
        """Plans that may name the Satellite or GroundStation that changed."""
        field = {"Satellite": "satellites", "GroundStation": "stations"}.get(document["kind"])
        if field is None or document["apiVersion"] != API_VERSION:
            return ()
        metadata = document["metadata"]
        plans = view.all(API_VERSION, KIND, metadata.get("namespace", ""))
        return [Key.of(plan) for plan in plans if _may_name(plan, field, metadata["name"])]

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:
        """The windows from now on.

        Raises:
            BadInput: given windows end before they begin, or two of them need one antenna at once; or there are too
                many satellites and stations for one plan.
        """
        plan = checked(document)
        assert isinstance(plan, ContactPlan)
        roster = Roster.of(plan, view)
        return self._given(document, plan, roster, now) if plan.spec.windows else self._computed(document, roster, now)

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """The plan is not ready, and says why; windows that it had stay."""
        return refusal(document, error, now)

    def _given(self, document: Document, plan: ContactPlan, roster: Roster, now: datetime) -> Changes:
        windows = sorted(window.to_domain() for window in plan.spec.windows)
        check_antennas(windows)
        fields = {"windows": _written(windows), "validUntil": stamp(max(window.los for window in windows))}
        unknown = roster.unknown_in(windows)
        finding = _missing(unknown) if unknown else Finding(holds=True, reason=_GIVEN, message="by spec.windows")
        return conditioned(document, fields, [finding], now)

    def _computed(self, document: Document, roster: Roster, now: datetime) -> Changes:
        before = still_said(document, _COMPUTED, _MISSING, _INCOMPLETE, _NONE)
        status = kept(document, *_FIELDS)
        if before is not None and status["inputs"] == roster.digest():
            left = _until_half(status, now)
            if left is not None:
                return conditioned(document, status, [before], now, again=left)
        start = now.astimezone(UTC).replace(microsecond=0)
        ahead = predicted(roster, self.predict, start)
        fields = {
            "windows": _written(ahead.windows),
            "computedAt": stamp(start),
            "validUntil": stamp(ahead.until),
            "inputs": roster.digest(),
        }
        again = max((ahead.until - start) / 2, _SOONEST)
        return conditioned(document, fields, [_finding(roster, ahead, start)], now, again=again)


def windows_of_satellite(view: View, namespace: str, satellite: str) -> tuple[ContactWindow, ...]:
    """The windows of a satellite in all plans of its namespace, in order of acquisition.

    Raises:
        BadInput: the status of a plan cannot be read.
    """
    found: set[ContactWindow] = set()
    for plan in view.all(API_VERSION, KIND, namespace):
        for window in (plan.get("status") or {}).get("windows") or ():
            if window.get("satellite") in {"", satellite}:
                found.add(_read(plan, window))
    return tuple(sorted(found))


def _read(plan: Document, window: Mapping[str, Any]) -> ContactWindow:
    try:
        return Window.model_validate(window).to_domain()
    except ValidationError as error:
        name = plan["metadata"]["name"]
        raise BadInput(
            f"ContactPlan {name}: a window of its status cannot be read: {first_complaint(error)}; "
            "delete and apply it again"
        ) from None


def _may_name(plan: Document, field: str, name: str) -> bool:
    spec = plan.get("spec") or {}
    return bool(spec.get("windows")) or name in (spec.get(field) or (name,))


def _written(windows: Sequence[ContactWindow]) -> list[dict[str, str]]:
    """Windows as they are in a status, to the second; one that is shorter is left out."""
    made = [
        {"satellite": one.satellite, "station": one.station, "aos": stamp(one.aos), "los": stamp(one.los)}
        for one in windows
    ]
    return [window for window in made if window["aos"] < window["los"]][:MOST_WINDOWS]


def _until_half(status: Mapping[str, Any], now: datetime) -> timedelta | None:
    """How long the windows need not be computed anew; ``None``: they must."""
    try:
        begun, until = (datetime.fromisoformat(str(status[name])) for name in ("computedAt", "validUntil"))
    except ValueError:
        return None
    left = begun + max((until - begun) / 2, _SOONEST) - now
    return left if left > timedelta(0) and begun <= now else None


def _finding(roster: Roster, ahead: Ahead, start: datetime) -> Finding:
    if roster.missing:
        return _missing(roster.missing)
    if ahead.complaints:
        return Finding(holds=False, reason=_INCOMPLETE, message="; ".join(ahead.complaints))
    if not ahead.windows:
        hours = (ahead.until - start) // timedelta(hours=1)
        message = (
            f"no satellite rises above the horizon of a station within {hours} hours; look at the stations' "
            "places and minimumElevationMillidegrees, and at the satellites' elements"
        )
        return Finding(holds=False, reason=_NONE, message=message)
    return Finding(holds=True, reason=_COMPUTED, message="by SGP4 from the satellites' two-line elements")


def _missing(names: Sequence[str]) -> Finding:
    message = f"its namespace has no {', no '.join(names)}; create what is missing, or take it out of the spec"
    return Finding(holds=False, reason=_MISSING, message=message)
