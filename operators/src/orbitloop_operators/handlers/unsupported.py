"""Kinds of Sedna that nothing carries out yet: each object says so, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orbitloop.domain.errors import Refused
from orbitloop_operators.handlers.changes import Changes, Document, Key, View
from orbitloop_operators.handlers.conditions import generation_of, reason_of
from orbitloop_operators.handlers.service_conditions import FAILED, State, news, with_state

LIFELONG = "LifelongLearningJob"
"""Its conditions have stages."""

SERVICES = ("FeatureExtractionService", "ObjectSearchService", "ObjectTrackingService")
JOBS = ("FederatedLearningJob", "VideoAnalyticsJob", "ReidJob")
KINDS = (*JOBS, LIFELONG, *SERVICES)
"""All of them."""

_INSTEAD = {
    "FederatedLearningJob": "an IncrementalLearningJob with the annotation orbitloop.io/satellites serves several "
    "satellites with one model",
    LIFELONG: "an IncrementalLearningJob trains one model again and again",
    "FeatureExtractionService": "a Deployment runs its template",
    "VideoAnalyticsJob": "a batch/v1 Job runs its template",
    "ReidJob": "a batch/v1 Job runs its template",
    "ObjectSearchService": "Deployments run its templates",
    "ObjectTrackingService": "Deployments run its templates",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """The reconciler of a kind that is accepted and not carried out.

    Args:
        kind: its name.
    """

    kind: str

    def related(self, document: Document, view: View) -> Sequence[Key]:  # noqa: ARG002  # nothing else counts
        """None: nothing is done about it."""
        return ()

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:  # noqa: ARG002
        """A condition that says so, in the form of its kind."""
        message = (
            f"orbitloop does not carry out {self.kind}s yet, and nothing runs for this one; {_INSTEAD[self.kind]}. "
            "Delete it, or run it in a cluster with Sedna's own Global Manager"
        )
        return self._shown(document, State(type=FAILED, reason="NotSupported", message=message), now)

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """The same, with the cause."""
        return self._shown(document, State(type=FAILED, reason=reason_of(error), message=str(error)), now)

    def _shown(self, document: Document, state: State, now: datetime) -> Changes:
        conditions = with_state(document, state, now)
        told = news(document, state)
        if self.kind == LIFELONG:
            staged = [{**condition, "stage": "Train"} for condition in conditions]
            return Changes(status={"conditions": staged}, notices=told)
        status = {"conditions": conditions, "active": 0, "failed": 0}
        if self.kind in JOBS:
            status |= {"succeeded": 0, "phase": FAILED}
        return Changes(status=status | generation_of(document), notices=told)
