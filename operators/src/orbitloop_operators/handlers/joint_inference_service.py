"""JointInferenceService: a small model at the edge that asks a large one in the cloud."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orbitloop.api.rules import checked
from orbitloop.api.sedna_v1alpha1.joint_inference_service import JointInferenceService
from orbitloop.api.sedna_v1alpha1.model import Model
from orbitloop.domain.errors import Refused
from orbitloop_operators.handlers.changes import Changes, Document, Key, View
from orbitloop_operators.handlers.conditions import generation_of, kept, reason_of, stamp
from orbitloop_operators.handlers.joint_inference_objects import (
    CLOUD,
    EDGE,
    Joint,
    autoscaler,
    deployment,
    deployment_name,
    service,
)
from orbitloop_operators.handlers.joint_inference_state import joint_state
from orbitloop_operators.handlers.node_reports import reporting_node
from orbitloop_operators.handlers.nodes import node_of
from orbitloop_operators.handlers.service_conditions import FAILED, State, news, with_state
from orbitloop_operators.handlers.service_metrics import metrics_of
from orbitloop_operators.handlers.worker_pods import Owner

API_VERSION, KIND = "sedna.io/v1alpha1", "JointInferenceService"
ROLES = (CLOUD, EDGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointInferenceServices:
    """The reconciler of JointInferenceServices.

    Args:
        local_controller: where edge workers find their Local Controller.
        autoscaling_version: of HorizontalPodAutoscalers, ``v2`` or ``v2beta2``.
    """

    local_controller: str
    autoscaling_version: str = "v2"

    def related(self, document: Document, view: View) -> Sequence[Key]:
        """Services that own ``document``, use it, or whose edge worker is on its node."""
        return tuple(dict.fromkeys(_related(document, view)))

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:
        """The objects that should be there, and how they are.

        Raises:
            BadInput: the spec, or the place of a model, cannot be worked with.
        """
        wanted = checked(document)
        assert isinstance(wanted, JointInferenceService)
        models = {role: _model(view, wanted, role) for role in ROLES}
        absent = [_model_name(wanted, role) for role, model in models.items() if model is None]
        if absent:
            names = ", no Model ".join(dict.fromkeys(absent))
            message = f"its namespace has no Model {names}; create what is missing"
            return _shown(document, State(type="Pending", reason="MissingModel", message=message, is_wrong=True), now)
        joint = Joint(
            owner=Owner.of(document),
            spec=wanted.spec,
            models={role: model for role, model in models.items() if model is not None},
            local_controller=self.local_controller,
            autoscaling_version=self.autoscaling_version,
        )
        return self._carried_out(document, joint, view, now)

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """The service has failed, and says why; what runs goes on."""
        return _shown(document, State(type=FAILED, reason=reason_of(error), message=str(error)), now)

    def _carried_out(self, document: Document, joint: Joint, view: View, now: datetime) -> Changes:
        running = {role: _deployment(view, joint.owner, role) for role in ROLES}
        scalers = [one for role in ROLES if (one := autoscaler(joint, role)) is not None]
        wanted = {Key.of(one) for one in scalers}
        version = f"autoscaling/{self.autoscaling_version}"
        there = view.owned(joint.owner.uid, version, "HorizontalPodAutoscaler")
        workers = joint_state(joint, running, view)
        fields = {
            "active": workers.active,
            "failed": workers.failed,
            "metrics": metrics_of(document, view, deployment_name(joint.owner.name, EDGE)),
        }
        shown = _shown(document, workers.state, now, fields)
        return Changes(
            replace=(*(deployment(joint, role, running[role]) for role in ROLES), service(joint), *scalers),
            delete=tuple(key for one in there if (key := Key.of(one)) not in wanted),
            status=shown.status,
            notices=shown.notices,
        )


def _shown(document: Document, state: State, now: datetime, fields: Mapping[str, Any] | None = None) -> Changes:
    """The status in this state; without ``fields``, what was counted stays."""
    known = kept(document)
    status = {
        **known,
        "startTime": known.get("startTime") or stamp(now),
        "active": known.get("active", 0),
        "failed": known.get("failed", 0),
        **(fields or {}),
        "conditions": with_state(document, state, now),
        **generation_of(document),
    }
    return Changes(status=status, notices=news(document, state))


def _model_name(wanted: JointInferenceService, role: str) -> str:
    worker = wanted.spec.cloud_worker if role == CLOUD else wanted.spec.edge_worker
    return worker.model.name


def _model(view: View, wanted: JointInferenceService, role: str) -> Model | None:
    """The Model of a role, if it is there. Raises ``BadInput`` for one that cannot be used."""
    name = _model_name(wanted, role)
    document = view.get(Key(api_version=API_VERSION, kind="Model", namespace=wanted.namespace, name=name))
    if document is None:
        return None
    model = checked(document)
    assert isinstance(model, Model)
    return model


def _deployment(view: View, owner: Owner, role: str) -> Document | None:
    name = deployment_name(owner.name, role)
    return view.get(Key(api_version="apps/v1", kind="Deployment", namespace=owner.namespace, name=name))


def _related(document: Document, view: View) -> Iterator[Key]:
    metadata = document["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    for owner in metadata.get("ownerReferences") or ():
        if (owner.get("apiVersion"), owner.get("kind")) == (API_VERSION, KIND):
            yield Key(api_version=API_VERSION, kind=KIND, namespace=namespace, name=owner["name"])
    if (document["apiVersion"], document["kind"]) == (API_VERSION, "Model"):
        for one in view.all(API_VERSION, KIND, namespace):
            if name in {_named(one, "cloudWorker"), _named(one, "edgeWorker")}:
                yield Key.of(one)
    elif node_of(document) is not None:
        yield from _touched_by_node(document, view)


def _touched_by_node(document: Document, view: View) -> Iterator[Key]:
    """A node may be that of any edge worker; a report is of those that it names."""
    if reporting_node(document) is None:
        yield from map(Key.of, view.all(API_VERSION, KIND))
        return
    workers = (document.get("observed") or {}).get("workers") or {}
    for key in map(Key.of, view.all(API_VERSION, KIND)):
        if f"{key.namespace}/{deployment_name(key.name, EDGE)}" in workers:
            yield key


def _named(document: Document, worker: str) -> object:
    found: Any = (document.get("spec") or {}).get(worker) or {}
    return (found.get("model") or {}).get("name")
