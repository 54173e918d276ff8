"""SelectionLogic: on which satellites it is on offer, was fetched, flies, or was refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from orbitloop.api.orbitloop_v1alpha1.selection_logic import (
    LogicState,
    SatelliteLogic,
    SelectionLogic,
    SelectionLogicStatus,
)
from orbitloop.api.rules import checked
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.units import Digest
from orbitloop_operators.handlers.changes import Changes, Document, Key, View
from orbitloop_operators.handlers.conditions import Finding, conditioned, refusal, still_said
from orbitloop_operators.handlers.logic_claims import (
    LOGIC,
    Claim,
    claimed,
    names_of,
    node_of_satellite,
    nodes_of,
    satellite_key,
)
from orbitloop_operators.handlers.node_reports import LogicOffered, LogicReport, report_of, reporting_node
from orbitloop_operators.handlers.nodes import SATELLITE

_TAKEN, _MISSING = "SatelliteTaken", "MissingSatellite"
_HOW_FAR = (LogicState.REFUSED, LogicState.WAITING, LogicState.OFFERED, LogicState.FETCHED, LogicState.FLYING)
_WORST = (_TAKEN, _MISSING, "NotOffered", str(LogicState.REFUSED))
"""What does not hold until somebody does something, in the order in which it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One satellite that a logic names, ``reason`` being the condition's for where it is."""

    entry: SatelliteLogic
    reason: str
    offered: LogicOffered | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionLogics:
    """The reconciler of SelectionLogics; the bridge to the nodes has offered what :mod:`.logic_claims` says."""

    def related(self, document: Document, view: View) -> Sequence[Key]:
        """Logics whose satellites, or those of another logic with them, changed or said something."""
        here = Key.of(document)
        match (document["apiVersion"], document["kind"]):
            case kind if kind == LOGIC:
                nodes = set(nodes_of(document, view))
                others = (one for one in view.all(*LOGIC) if Key.of(one) != here)
                return [
                    Key.of(one)
                    for one in others
                    if not nodes.isdisjoint(nodes_of(one, view)) or still_said(one, _TAKEN) is not None
                ]
            case kind if kind == SATELLITE:
                logics = view.all(*LOGIC, here.namespace)
                return [Key.of(one) for one in logics if here.name in names_of(one)]
            case _ if (node := reporting_node(document)) is not None:
                return [Key.of(one) for one in view.all(*LOGIC) if node in nodes_of(one, view)]
            case _:
                return ()

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:
        """Where it is. Raises ``BadInput`` for a spec that breaks a rule."""
        logic = checked(document)
        assert isinstance(logic, SelectionLogic)
        keepers, before = claimed(view, set(nodes_of(document, view))), _before(document)
        places = [
            _place(document, name, view, keepers, before.get(name)) for name in dict.fromkeys(logic.spec.satellites)
        ]
        known = logic.status or SelectionLogicStatus()
        offered = [place.offered for place in places if place.offered is not None]
        fields: dict[str, Any] = {
            "state": str(min((place.entry.state for place in places), key=_HOW_FAR.index)),
            "application": offered[0].application if offered else (before and known.application) or None,
            "target": offered[0].target if offered else (before and known.target) or None,
            "version": max(filter(None, (place.entry.version for place in places)), default=None),
            "satellites": [_written(place.entry) for place in places],
        }
        return conditioned(document, fields, [_ready(places)], now)

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """It is not ready, and says why."""
        return refusal(document, error, now)


def _before(document: Document) -> Mapping[str, SatelliteLogic]:
    """What was said of the present spec before, by satellite."""
    status = document.get("status") or {}
    if status.get("observedGeneration") != document["metadata"].get("generation"):
        return {}
    try:
        return {one.name: one for one in SelectionLogicStatus.model_validate(status).satellites}
    except ValidationError:  # written by another version
        return {}


def _place(
    document: Document, name: str, view: View, keepers: Mapping[str, Claim], before: SatelliteLogic | None
) -> _Place:
    """Where the logic is at one satellite."""
    satellite = view.get(satellite_key(document, name))
    node = "" if satellite is None else node_of_satellite(satellite)
    if satellite is None or not node:
        message = f"its namespace has no Satellite {name}" if satellite is None else f"Satellite {name} has no node"
        return _Place(
            entry=SatelliteLogic(name=name, message=f"{message}; create it, or name another"), reason=_MISSING
        )
    entry = SatelliteLogic(name=name, node=node, last_heard=(satellite.get("status") or {}).get("lastContact"))
    keeper = keepers.get(node)
    if keeper is not None and keeper.logic != Key.of(document):
        other = f"{keeper.logic.namespace}/{keeper.logic.name}"
        message = f"SelectionLogic {other}, which is older, names it too; delete one, or give each its own satellites"
        return _Place(entry=entry.model_copy(update={"message": message}), reason=_TAKEN)
    report = report_of(view, node)
    try:
        said = None if report is None else report.logic()
    except BadInput as error:
        return _Place(entry=entry.model_copy(update={"message": str(error)}), reason=str(LogicState.WAITING))
    if said is None and before is not None and before.node == node:  # not said again since this process began
        kept = before.model_copy(update={"last_heard": entry.last_heard})
        return _Place(entry=kept, reason=_reason_kept(document, kept))
    return _progress(entry, said or LogicReport(), document["spec"]["digest"])


def _progress(entry: SatelliteLogic, said: LogicReport, source: Digest) -> _Place:
    """How far the file ``source`` has come at a satellite that is to have it."""
    offered = said.offered
    if offered is None or offered.source != source:
        why = said.refused.get(source)
        message = why or said.put_off or "the gateway has not offered it yet"
        reason = str(LogicState.WAITING) if why is None else "NotOffered"
        return _Place(entry=entry.model_copy(update={"message": message}), reason=reason)
    state, message = _on_board(said, offered)
    new = {"state": state, "version": offered.version, "digest": offered.digest, "message": message}
    return _Place(entry=entry.model_copy(update=new), reason=str(state), offered=offered)


def _on_board(said: LogicReport, offered: LogicOffered) -> tuple[LogicState, str]:
    there = said.on_board
    if there is not None and there.flying == offered.digest:
        return LogicState.FLYING, f"frames go by version {offered.version}"
    if there is not None and there.refused == offered.digest:
        return LogicState.REFUSED, there.reason
    if said.fetched != offered.digest:
        return LogicState.OFFERED, f"version {offered.version} goes up in the next contacts"
    if there is None:
        return LogicState.FETCHED, "it is on board; whether it flies is not said: the worker there is away, or older"
    return LogicState.FETCHED, "it is on board, and flies once it has proved good"


def _reason_kept(document: Document, entry: SatelliteLogic) -> str:
    """The reason for what was said before: one that waited may have been refused by the gateway."""
    not_offered = entry.state is LogicState.WAITING and still_said(document, "NotOffered") is not None
    return "NotOffered" if not_offered else str(entry.state)


def _ready(places: Sequence[_Place]) -> Finding:
    """Whether it flies on all of them; else what is in the way, the worst first."""
    for reason in _WORST:
        if found := [place for place in places if place.reason == reason]:
            return Finding(holds=False, reason=reason, message=_told(found))
    least = min((place.entry.state for place in places), key=_HOW_FAR.index)
    found = [place for place in places if place.entry.state is least]
    return Finding(holds=least is LogicState.FLYING or None, reason=str(least), message=_told(found))


def _told(places: Iterable[_Place]) -> str:
    return "; ".join(f"{place.entry.name}: {place.entry.message}" for place in places)


def _written(entry: SatelliteLogic) -> dict[str, Any]:
    dumped = entry.model_dump(mode="json", by_alias=True)
    return {name: value for name, value in dumped.items() if value not in {None, ""}}
