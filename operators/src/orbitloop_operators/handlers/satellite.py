"""Satellite: what it said last, and when it can be heard next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orbitloop.api.orbitloop_v1alpha1.satellite import Satellite
from orbitloop.api.rules import checked
from orbitloop.domain.contacts import ContactWindow, next_window, window_at
from orbitloop.domain.errors import Refused
from orbitloop_operators.handlers.changes import Changes, Document, Key, View
from orbitloop_operators.handlers.conditions import Finding, conditioned, kept, refusal, stamp, still_said
from orbitloop_operators.handlers.contact_plan import windows_of_satellite
from orbitloop_operators.handlers.node_reports import LogicOnBoard, NodeReport, report_of
from orbitloop_operators.handlers.nodes import is_in_cluster, node_of, satellites_on

API_VERSION, KIND = "orbitloop.io/v1alpha1", "Satellite"
IN_CONTACT = "InContact"
_HEARD = "Heard"
_SAID = ("flying", "lastContact", "queuedSamples", "queuedBytes", "driftPercent", "selection")


@dataclass(frozen=True, slots=True, kw_only=True)
class Satellites:
    """The reconciler of Satellites.

    Args:
        grain: while a satellite is heard, the time of its last contact is written no more often than so.
        silence: outside of the windows of its plans, a satellite that was not heard for so long is out of contact.
    """

    grain: timedelta = timedelta(minutes=1)
    silence: timedelta = timedelta(minutes=2)

    def related(self, document: Document, view: View) -> Sequence[Key]:
        """Satellites whose node, plans, policy or twins changed."""
        namespace = document["metadata"].get("namespace", "")
        match (document["apiVersion"], document["kind"]):
            case (version, "ContactPlan") if version == API_VERSION:
                return [Key.of(one) for one in view.all(API_VERSION, KIND, namespace)]
            case (version, "LinkPolicy") if version == API_VERSION:
                name = document["metadata"]["name"]
                satellites = view.all(API_VERSION, KIND, namespace)
                return [Key.of(one) for one in satellites if (one.get("spec") or {}).get("linkPolicy") == name]
            case _:
                node = node_of(document)
                here = Key.of(document)
                found = () if node is None else satellites_on(view, node)
                return [key for one in found if (key := Key.of(one)) != here]

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:
        """What is known of it.

        Raises:
            BadInput: the spec, what it said, or a window of a plan cannot be read.
        """
        satellite = checked(document)
        assert isinstance(satellite, Satellite)
        report = report_of(view, satellite.spec.node_name)
        windows = windows_of_satellite(view, satellite.namespace, satellite.name)
        said = self._said(document, report, now)
        heard = _moment(said.get("lastContact"))
        latest = heard if report is None else max(filter(None, (heard, report.last_contact())), default=None)
        contact, lasts = self._contact(windows, latest, now)
        upcoming = next_window(windows, now)
        fields = said | {"nextContact": None if upcoming is None else stamp(upcoming.aos)}
        moments = [lasts, None if upcoming is None else upcoming.aos]
        if heard is not None and latest is not None and latest > heard:
            moments.append(heard + self.grain)
        ready = _ready(document, satellite, view, report)
        return conditioned(document, fields, [ready, contact], now, again=_until(moments, now))

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """The Satellite is not ready, and says why; what it said last stays."""
        return refusal(document, error, now)

    def _said(self, document: Document, report: NodeReport | None, now: datetime) -> dict[str, Any]:
        """What it said last; what it has not said again since this process began is as it was."""
        fields = kept(document, *_SAID)
        said = None if report is None else report.satellite()
        if said is not None:
            new = {
                "flying": said.flying,
                "queuedSamples": said.queued_samples,
                "queuedBytes": said.queued_bytes,
                "driftPercent": None if said.drift is None else round(100 * said.drift),
            }
            fields |= {name: value for name, value in new.items() if value not in {None, ""}}
        logic = None if report is None else report.logic()
        if logic is not None and logic.on_board is not None:
            fields["selection"] = _selection(logic.on_board)
        heard, known = None if report is None else report.last_contact(), _moment(fields["lastContact"])
        if heard is not None and (known is None or (heard > known and now >= known + self.grain)):
            fields["lastContact"] = stamp(heard)
        return fields

    def _contact(
        self, windows: tuple[ContactWindow, ...], heard: datetime | None, now: datetime
    ) -> tuple[Finding, datetime | None]:
        """Whether it is heard now, and when that has to be asked again; ``None``: when something changes."""
        window = window_at(windows, now)
        recently = heard is not None and now - heard < self.silence
        if window is not None:
            if recently or (heard is not None and heard >= window.aos):
                return _contact(True, _HEARD, f"over {window.station}"), window.los
            message = f"{window.station} should hear it in this pass, and has not yet"
            return _contact(None, "PassBegan", message), window.los
        if recently and heard is not None:
            return _contact(True, _HEARD, "outside of the windows of a ContactPlan"), heard + self.silence
        if not windows:
            message = "no ContactPlan of its namespace has a window of it, so that its next contact is not known"
            return _contact(False, "NoPlan", message), None
        return _contact(False, "BetweenPasses", "status.nextContact says when it can be heard"), None


def _selection(said: LogicOnBoard) -> dict[str, Any] | None:
    """What became of selection logics on board; ``None``: there was none yet."""
    written = {
        "application": said.application,
        "version": said.version,
        "digest": said.flying,
        "refused": said.refused,
        "reason": said.reason,
    }
    return {name: value for name, value in written.items() if value} or None


def _contact(holds: bool | None, reason: str, message: str) -> Finding:
    return Finding(type=IN_CONTACT, holds=holds, reason=reason, message=message, is_routine=True)


def _ready(document: Document, satellite: Satellite, view: View, report: NodeReport | None) -> Finding:
    node, policy = satellite.spec.node_name, satellite.spec.link_policy
    here = Key.of(document)
    twins = [key for one in satellites_on(view, node) if (key := Key.of(one)) != here]
    if twins:
        other = f"{twins[0].namespace}/{twins[0].name}"
        message = f"spec.nodeName: Satellite {other} has node {node} too; give each its own, or delete one"
        return Finding(holds=False, reason="NodeTaken", message=message)
    if policy and view.get(_policy_key(satellite, policy)) is None:
        message = f"spec.linkPolicy: its namespace has no LinkPolicy {policy}; create it, or leave the field out"
        return Finding(holds=False, reason="MissingLinkPolicy", message=message)
    if report is not None and report.has_spoken:
        return Finding(holds=True, reason=_HEARD, message=f"node {node} has reported")
    if (before := still_said(document, _HEARD)) is not None:
        return before
    if not is_in_cluster(view, node):
        message = (
            f"spec.nodeName: the cluster has no node {node}, and nothing was heard of it over the link either; correct "
            "the name (kubectl get nodes shows them), or join the node to the cluster"
        )
        return Finding(holds=False, reason="UnknownNode", message=message)
    return Finding(holds=None, reason="WaitingForContact", message=f"node {node} has not been heard yet")


def _policy_key(satellite: Satellite, name: str) -> Key:
    return Key(api_version=API_VERSION, kind="LinkPolicy", namespace=satellite.namespace, name=name)


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _until(moments: Sequence[datetime | None], now: datetime) -> timedelta | None:
    """How long until the first of these moments that lies ahead, or has just come."""
    return min((max(moment - now, timedelta(0)) for moment in moments if moment is not None), default=None)
