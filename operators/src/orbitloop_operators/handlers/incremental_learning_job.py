"""IncrementalLearningJob: train, evaluate, deploy, again and again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from orbitloop.api.sedna_v1alpha1.incremental_learning_job import Phase
from orbitloop.api.sedna_v1alpha1.parts import ConditionType
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.learning import Stage
from orbitloop_operators.handlers.changes import Changes, Document, Key, Notice, Severity, View
from orbitloop_operators.handlers.inference_workers import tended
from orbitloop_operators.handlers.job_relations import jobs_that_see
from orbitloop_operators.handlers.job_scene import Missing, Scene, scene_of
from orbitloop_operators.handlers.round_samples import counted
from orbitloop_operators.handlers.round_state import (
    Status,
    document_of,
    first_status,
    seconds_of,
    status_of,
    stepped,
)
from orbitloop_operators.handlers.round_steps import Round
from orbitloop_operators.handlers.satellite_rollout import with_satellites
from orbitloop_operators.handlers.stage_groups import NotServed
from orbitloop_operators.handlers.stage_pods import Platform, swept
from orbitloop_operators.handlers.whereabouts import AT_ONCE, Patience, Step, soonest


@dataclass(frozen=True, slots=True, kw_only=True)
class IncrementalLearningJobs:
    """The reconciler of IncrementalLearningJobs.

    Args:
        platform: what pods are told of the cluster.
        patience: how long, and how often, a job waits and tries.
    """

    platform: Platform
    patience: Patience = Patience()

    def related(self, document: Document, view: View) -> Sequence[Key]:
        """Jobs that see ``document``: those that it belongs to, or that name it."""
        return tuple(dict.fromkeys(jobs_that_see(document, view)))

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:
        """The job's next step. Raises ``Refused``."""
        if "deletionTimestamp" in document["metadata"]:
            return Changes()  # its pods go with it
        status = status_of(document)
        if status is None:
            return _changes(document, Step(status=first_status(now), again=timedelta(0)))
        scene = scene_of(document, view, now)
        samples = counted(status, scene.dataset(), now, self.patience.shrunk)
        status = with_satellites(scene, samples.status)
        step = Round(scene=scene, status=status, platform=self.platform, patience=self.patience).step()
        step = tended(scene, _swept(scene, step), self.platform, self.patience)
        step = replace(step, notices=(*samples.notices, *step.notices), again=soonest(samples.again, step.again))
        return _changes(document, step)

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """The job shows what is wrong, and stays where it is until that is mended."""
        status = status_of(document) or first_status(now)
        message, reason = str(error), type(error).__name__
        if not isinstance(error, BadInput) and (left := self._on_the_way(status, now)):
            return _changes(document, Step(status=status.model_copy(update={"message": message}), again=left))
        unseen = self.patience.refused if isinstance(error, NotServed) else None
        generation = document["metadata"].get("generation")
        if _shows(status, message) and status.observed_generation == generation:
            return Changes(status=document_of(status), again=unseen)
        rest = None if isinstance(error, BadInput | Missing | NotServed) else self._rest(status, message)
        retry = None if rest is None else seconds_of(now + rest)
        shown = stepped(status, Stage(status.stage), ConditionType.FAILED, now, reason=reason, message=message)
        blocked = {"phase": Phase.BLOCKED, "last_error": message, "retry_at": retry}
        notice = Notice(severity=Severity.WARNING, reason=reason, message=message)
        step = Step(status=shown.model_copy(update=blocked), notices=(notice,), again=soonest(rest, unseen))
        return _changes(document, step)

    def _rest(self, status: Status, message: str) -> timedelta:
        """How long what the API server refused is left alone: longer each time that it says the same."""
        failed = [one for one in status.conditions if one.type is ConditionType.FAILED]
        same = len(list(itertools.takewhile(lambda one: one.message == message, reversed(failed))))
        return min(self.patience.first_refused * (1 << same), self.patience.refused)

    def _on_the_way(self, status: Status, now: datetime) -> timedelta | None:
        """How long what a new job names may still be on its way; none: it is missing."""
        if status.start_time is None or status.state is not ConditionType.WAITING:
            return None
        left = status.start_time + self.patience.on_the_way - now
        return left if AT_ONCE < left <= self.patience.on_the_way else None


def _shows(status: Status, message: str) -> bool:
    return status.phase is Phase.BLOCKED and status.state is ConditionType.FAILED and status.last_error == message


def _changes(document: Document, step: Step) -> Changes:
    status = step.status.model_copy(update={"observed_generation": document["metadata"].get("generation")})
    return Changes(
        create=step.create,
        delete=step.delete,
        status=document_of(status),
        notices=step.notices,
        again=step.again,
    )


def _swept(scene: Scene, step: Step) -> Step:
    """The same step, and what rounds long past have left goes."""
    return replace(step, delete=(*step.delete, *swept(scene, step.status.round)))
