"""ApplicationTransformation: its Job is made, watched, and what came of it becomes a SelectionLogic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from orbitloop.api.orbitloop_v1alpha1.application_transformation import (
    ApplicationTransformation,
    LogicRollout,
    TransformationPhase,
)
from orbitloop.api.orbitloop_v1alpha1.satellite import ComputeSpec, Satellite
from orbitloop.api.parts import Resource
from orbitloop.api.rules import checked
from orbitloop.api.sedna_v1alpha1.dataset import Dataset
from orbitloop.api.sedna_v1alpha1.model import Model
from orbitloop.domain.errors import Refused
from orbitloop_operators.handlers.changes import Changes, Document, Key, View
from orbitloop_operators.handlers.conditions import Finding, conditioned, kept, reason_of
from orbitloop_operators.handlers.job_scene import ORBITLOOP, SEDNA, Missing, satellite_on
from orbitloop_operators.handlers.nodes import is_in_cluster
from orbitloop_operators.handlers.transformation_job import Transformation, job_for
from orbitloop_operators.handlers.transformation_state import COMPLETED, State, state_of
from orbitloop_operators.handlers.worker_groups import BATCH_JOB
from orbitloop_operators.handlers.worker_pods import Owner, Place

API_VERSION, KIND, LOGIC = "orbitloop.io/v1alpha1", "ApplicationTransformation", "SelectionLogic"
_NAME_LABEL = "applicationtransformation.orbitloop.io/name"
_FIELDS: Mapping[tuple[str, str], str] = {
    (SEDNA, "Dataset"): "dataset",
    (SEDNA, "Model"): "model",
    (ORBITLOOP, "Satellite"): "satellite",
}
"""Where a spec names what it depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationTransformations:
    """The reconciler of ApplicationTransformations.

    What goes into a transformation names its Job: the same is done once, and what has changed is done anew. What was
    made stays in the status, whatever becomes of the Job then.

    Args:
        image: of the transformer, where a template names none.
        tools_image: image with orbitloop's worker tools.
    """

    image: str
    tools_image: str

    def related(self, document: Document, view: View) -> Sequence[Key]:
        """Transformations that name ``document``, or that it was made for."""
        return tuple(dict.fromkeys(_related(document, view)))

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:
        """The Job that should be there, and what came of it.

        Raises:
            Missing: what the spec names is not there.
            BadInput: the spec, or what it names, cannot be worked with.
        """
        written = checked({name: part for name, part in document.items() if name != "status"})
        assert isinstance(written, ApplicationTransformation)
        wanted = self._wanted(document, written, view)
        job = job_for(wanted)
        state = state_of(document, wanted, view, now)
        others = (Key.of(one) for one in view.owned(wanted.owner.uid, *BATCH_JOB))
        logic: tuple[Document, ...] = ()
        if state.finding.reason == COMPLETED and written.spec.rollout is LogicRollout.AUTOMATIC:
            state, logic = _handed_over(wanted, state, view)
        shown = conditioned(document, state.fields, [state.finding], now, again=state.again)
        return replace(
            shown,
            create=(job,) if state.is_absent else (),
            replace=logic,
            delete=tuple(key for key in others if key != wanted.key),
        )

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """What is wrong with it; what was made, and what runs, stay."""
        reason = error.reason if isinstance(error, _Absent) else reason_of(error)
        phase = TransformationPhase.PENDING if isinstance(error, _Absent) else TransformationPhase.FAILED
        fields = kept(document) | {"phase": str(phase)}
        return conditioned(document, fields, [Finding(holds=False, reason=reason, message=str(error))], now)

    def _wanted(self, document: Document, written: ApplicationTransformation, view: View) -> Transformation:
        spec = written.spec
        satellite = _named(view, written, "Satellite", spec.satellite)
        assert isinstance(satellite, Satellite)
        compute = _compute_of(satellite)
        dataset = _named(view, written, "Dataset", spec.dataset) if spec.dataset else None
        assert dataset is None or isinstance(dataset, Dataset)
        model = _named(view, written, "Model", spec.model) if spec.model else None
        assert model is None or isinstance(model, Model)
        return Transformation(
            owner=Owner.of(document),
            spec=spec,
            compute=compute,
            dataset=dataset,
            model=model,
            place=_place(dataset, view),
            image=self.image,
            tools_image=self.tools_image,
        )


class _Absent(Missing):
    """What a spec names is not there, and which kind of thing that is.

    Args:
        reason: one word in camel case.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def _named(view: View, written: ApplicationTransformation, kind: str, name: str) -> Resource:
    """The resource that a field names. Raises :class:`Missing`, or ``BadInput`` for one that cannot be read."""
    version = ORBITLOOP if kind == "Satellite" else SEDNA
    found = view.get(Key(api_version=version, kind=kind, namespace=written.namespace, name=name))
    if found is None:
        field = _FIELDS[version, kind]
        raise _Absent(
            f"spec.{field}: namespace {written.namespace} has no {kind} {name}; create it, or correct the name",
            f"Missing{kind}",
        )
    return checked({part: value for part, value in found.items() if part != "status"})


def _compute_of(satellite: Satellite) -> ComputeSpec:
    if satellite.spec.compute is None:
        raise _Absent(
            f"spec.satellite: Satellite {satellite.name} does not say which computer it has; write its spec.compute: "
            "target, or profile with what orbitloop profile measured",
            "MissingCompute",
        )
    return satellite.spec.compute


def _place(dataset: Dataset | None, view: View) -> Place:
    """Beside its data; those of a satellite have come down, to somewhere on the ground. Raises :class:`Missing`."""
    if dataset is None or satellite_on(view, dataset.spec.node_name) is not None:
        return Place(on_ground=True)
    node = dataset.spec.node_name
    if not is_in_cluster(view, node) and view.all("v1", "Node"):
        message = (
            f"Dataset {dataset.name} is on node {node}, and the cluster has no such node; correct its spec.nodeName"
        )
        raise _Absent(message, "UnknownNode")
    return Place(node=node)


def _handed_over(wanted: Transformation, state: State, view: View) -> tuple[State, tuple[Document, ...]]:
    """What was made, as a SelectionLogic; none where somebody else has one of that name."""
    if taken := _taken(view, wanted.owner):
        return replace(state, finding=Finding(holds=False, reason="NameTaken", message=taken)), ()
    fields = {**state.fields, "selectionLogic": wanted.owner.name}
    return replace(state, fields=fields), (_logic(wanted, state.fields["artefact"]),)


def _taken(view: View, owner: Owner) -> str:
    """Why the SelectionLogic of that name is somebody else's; empty: it is not."""
    key = Key(api_version=API_VERSION, kind=LOGIC, namespace=owner.namespace, name=owner.name)
    known = view.get(key)
    if known is None or any(one.get("uid") == owner.uid for one in known["metadata"].get("ownerReferences") or ()):
        return ""
    return (
        f"SelectionLogic {owner.name} is there, and was not made by this; delete it, or write spec.rollout: Manual and "
        "apply one of another name with the url and digest of status.artefact"
    )


def _logic(wanted: Transformation, artefact: Mapping[str, Any]) -> dict[str, Any]:
    owner = wanted.owner
    return {
        "apiVersion": API_VERSION,
        "kind": LOGIC,
        "metadata": {
            "name": owner.name,
            "namespace": owner.namespace,
            "labels": owner.labels("transform"),
            "ownerReferences": [owner.reference()],
        },
        "spec": {
            "satellites": [wanted.spec.satellite],
            "url": artefact["url"],
            "digest": artefact["digest"],
        },
    }


def _related(document: Document, view: View) -> Iterator[Key]:
    metadata = document["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    owners = [one["name"] for one in metadata.get("ownerReferences") or () if one.get("kind") == KIND]
    labelled = (metadata.get("labels") or {}).get(_NAME_LABEL)
    for owner in (*owners, *([labelled] if labelled else ())):
        yield Key(api_version=API_VERSION, kind=KIND, namespace=namespace, name=owner)
    if field := _FIELDS.get((document["apiVersion"], document["kind"])):
        for one in view.all(API_VERSION, KIND, namespace):
            if (one.get("spec") or {}).get(field) == name:
                yield Key.of(one)
    elif (document["apiVersion"], document["kind"]) == (API_VERSION, LOGIC):
        yield from (key for key in map(Key.of, view.all(API_VERSION, KIND, namespace)) if key.name == name)
