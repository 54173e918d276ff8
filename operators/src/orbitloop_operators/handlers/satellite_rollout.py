"""The Deploy stage of a job whose model flies: satellites are offered it in turn, and say what became of it.

The bridge to the nodes offers ``status.candidate`` to every satellite of ``status.satellites`` that is ``offered``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from orbitloop.api.sedna_v1alpha1.incremental_learning_job import InferenceWorker, SatelliteRollout
from orbitloop.api.sedna_v1alpha1.parts import ConditionType
from orbitloop.domain.constellation import Finished, Member, Offer, Stop, next_offers, rings
from orbitloop.domain.errors import BadInput
from orbitloop.domain.learning import Stage
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Digest
from orbitloop_operators.handlers.changes import Severity
from orbitloop_operators.handlers.job_scene import Scene
from orbitloop_operators.handlers.node_reports import NodeReport, SatelliteReport
from orbitloop_operators.handlers.round_state import Status, output_data, seconds_of
from orbitloop_operators.handlers.stage_pods import candidate_of
from orbitloop_operators.handlers.whereabouts import Step, Whereabouts


def with_satellites(scene: Scene, status: Status) -> Status:
    """The status with what the satellites say, and when the next of them can be heard.

    What a satellite said before stays while nothing else is heard of it.
    """
    known = {one.name: one for one in status.satellites}
    members = rings([satellite.name for satellite in scene.satellites])
    digest = _digest_under_way(status)
    seen = tuple(
        _heard(scene, known.get(member.name, SatelliteRollout(name=member.name)), satellite.spec.node_name, digest)
        for member, satellite in zip(members, scene.satellites, strict=True)
    )
    seen = tuple(one.model_copy(update={"ring": member.ring}) for one, member in zip(seen, members, strict=True))
    contacts = [one.status.next_contact for one in scene.satellites if one.status and one.status.next_contact]
    flying = seen[0].flying if seen and seen[0].flying else status.flying
    next_contact = min(contacts, default=None)
    changes = {
        "satellites": seen,
        "flying": flying,
        "next_contact": None if next_contact is None else seconds_of(next_contact),
    }
    return status.model_copy(update=changes)


def _heard(scene: Scene, before: SatelliteRollout, node: str, digest: Digest | None) -> SatelliteRollout:
    said = _said(scene.report(node))
    if said is None:
        return before.model_copy(update={"node": node})
    outcome = before.outcome
    if digest is not None:
        outcome = Outcome.APPLIED if said.flying == digest else said.outcomes.get(digest, outcome)
    return before.model_copy(update={"node": node, "flying": said.flying or before.flying, "outcome": outcome})


def _said(report: NodeReport | None) -> SatelliteReport | None:
    """What a satellite says; what cannot be read is shown by the Satellite itself, and is no news to its jobs."""
    try:
        return None if report is None else report.satellite()
    except BadInput:
        return None


def _digest_under_way(status: Status) -> Digest | None:
    """Digest of the model that is offered at present."""
    if status.stage != Stage.DEPLOY or status.state not in {ConditionType.STARTING, ConditionType.RUNNING}:
        return None
    return Digest(status.candidate.digest) if status.candidate is not None else None


def outcome_of(status: Status) -> Outcome | None:
    """What stopped the rollout; ``None``: nothing did."""
    if status.stage != Stage.DEPLOY or not status.satellites:
        return None
    found = next_offers(_members(status))
    return found.outcome if isinstance(found, Stop) else None


def _members(status: Status) -> list[Member]:
    return [Member(name=one.name, ring=one.ring, outcome=one.outcome) for one in status.satellites]


@dataclass(frozen=True, slots=True, kw_only=True)
class SatelliteDeployment(Whereabouts):
    """The satellites that a round's model is offered to."""

    def start(self) -> Step:
        """Offer it to the canary."""
        if not candidate_of(self.status).digest:
            return self._without_digest()
        found = next_offers(_members(self.status))
        status = self._offering(found.names if isinstance(found, Offer) else ())
        return self.to(ConditionType.STARTING, status=status, message=self._awaited(status))

    def look(self) -> Step:
        """What they say."""
        if not candidate_of(self.status).digest:
            return self._without_digest()
        found = next_offers(_members(self.status))
        if self.status.state is ConditionType.STARTING and (not isinstance(found, Offer) or self._was_heard()):
            return self.to(ConditionType.RUNNING, message="a satellite was in contact since the model is on offer")
        match found:
            case Offer(names=names):
                status = self._offering(names)
                return Step(status=status.model_copy(update={"message": self._awaited(status), "retry_at": None}))
            case Finished(without=without):
                return self._finished(without)
            case Stop(outcome=outcome, reason=reason):
                more: dict[str, Any] = {"last_error": reason, "failed_at": seconds_of(self.now)}
                word = "RolledBack" if outcome is Outcome.ROLLED_BACK else "Refused"
                step = self.to(ConditionType.FAILED, status=self._offering(()), reason=word, message=reason, **more)
                return step.telling(Severity.WARNING, f"Deploy{word}", f"round {self.status.round}: {reason}")
            case _:
                assert_never(found)

    def _without_digest(self) -> Step:
        return self.fail(
            "NoDigest",
            "the trained model has no digest, and satellites take only what they can check; train with the worker "
            "library of orbitloop, which reports it",
        )

    def _finished(self, without: tuple[str, ...]) -> Step:
        new = candidate_of(self.status)
        message = f"the model flies on {len(self.status.satellites) - len(without)} of {len(self.status.satellites)}"
        message += f" satellites; refused by {', '.join(without)}" if without else " satellites"
        more: dict[str, Any] = {"deployed": new, "data": output_data((new,)), "last_error": ""}
        if not self.scene.spec.deploy_spec.model.hot_update_enabled:
            more["inference"] = self._begun_anew(without)
        step = self.to(ConditionType.COMPLETED, status=self._offering(()), message=message, **more)
        return step.telling(Severity.NORMAL, "DeployCompleted", f"round {self.status.round}: {message}")

    def _begun_anew(self, without: tuple[str, ...]) -> tuple[InferenceWorker, ...]:
        """The inference workers; those on satellites that fly the model begin anew, with the file that is there now."""
        return tuple(
            one if one.satellite in without else one.model_copy(update={"revision": one.revision + 1})
            for one in self.status.inference
        )

    def _offering(self, names: tuple[str, ...]) -> Status:
        satellites = tuple(one.model_copy(update={"offered": one.name in names}) for one in self.status.satellites)
        return self.status.model_copy(update={"satellites": satellites})

    def _awaited(self, status: Status) -> str:
        """Who is waited for, and when they can be heard."""
        names = [one.name for one in status.satellites if one.offered]
        contacts = {one.name: one.status.next_contact for one in self.scene.satellites if one.status}
        when = [f"{name}{_at(contacts.get(name))}" for name in names]
        bad = "".join(self._hindrance(one) for one in status.satellites if one.offered)
        return f"the model is on offer, and the report awaited, of {', '.join(when)}{bad}"

    def _hindrance(self, satellite: SatelliteRollout) -> str:
        """Why the model is not on offer to a satellite after all, as the bridge says."""
        report = self.scene.report(satellite.node)
        try:
            why = None if report is None else report.not_offered().get(Digest(candidate_of(self.status).digest))
        except BadInput as error:
            why = str(error)
        return f"; not yet to {satellite.name}: {why}" if why else ""

    def _was_heard(self) -> bool:
        """Whether one that the model is offered to was in contact since."""
        since = self.status.conditions[-1].last_transition_time
        for one in self.status.satellites:
            report = self.scene.report(one.node) if one.offered else None
            contact = _contact(report)
            if contact is not None and since is not None and contact > since:
                return True
        return False


def _contact(report: NodeReport | None) -> datetime | None:
    try:
        return None if report is None else report.last_contact()
    except BadInput:
        return None


def _at(contact: datetime | None) -> str:
    return "" if contact is None else f" (next contact {contact:%Y-%m-%d %H:%M} UTC)"
