"""What a job can see: its own documents, and those that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orbitloop.api.annotations import SATELLITES
from orbitloop.api.kinds import parse
from orbitloop.api.orbitloop_v1alpha1.satellite import Satellite
from orbitloop.api.rules import checked
from orbitloop.api.sedna_v1alpha1.dataset import Dataset
from orbitloop.api.sedna_v1alpha1.incremental_learning_job import IncrementalLearningJob, IncrementalLearningJobSpec
from orbitloop.api.sedna_v1alpha1.model import Model
from orbitloop.domain.errors import Refused
from orbitloop.domain.triggers import Trigger
from orbitloop_operators.handlers.changes import Document, Key, View
from orbitloop_operators.handlers.node_reports import NodeReport, report_of
from orbitloop_operators.handlers.nodes import is_in_cluster, satellites_on
from orbitloop_operators.handlers.worker_groups import MAKERS, worker_of
from orbitloop_operators.handlers.worker_pods import Owner, Place, is_on_node

SEDNA = "sedna.io/v1alpha1"
ORBITLOOP = "orbitloop.io/v1alpha1"


class Missing(Refused):
    """Something that a job names is not there; it goes on by itself once it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A job with all that it sees.

    Args:
        owner: the job, as its pods name it.
        job: its resource.
        view: everything that was watched.
        now: the present moment.
        pods: its pods, by name; those that its makers have made too.
        makers: its Jobs, PyTorchJobs and TrainJobs.
        satellites: that its model flies on, in the order in which they are served; empty: it does not fly.
        train: when a round begins.
        deploy: when a model is deployed.
    """

    owner: Owner
    job: IncrementalLearningJob
    view: View
    now: datetime
    pods: Mapping[str, Document]
    makers: tuple[Document, ...]
    satellites: tuple[Satellite, ...]
    train: Trigger
    deploy: Trigger

    @property
    def spec(self) -> IncrementalLearningJobSpec:
        """What the user wants."""
        return self.job.spec

    def dataset(self) -> Dataset | None:
        """The Dataset, if it is there. Raises ``BadInput`` for one that cannot be read."""
        return _dataset(self.view, self.owner.namespace, self.spec.dataset.name)

    def model(self, name: str) -> Model | None:
        """A Model of the job's namespace, if it is there. Raises ``BadInput`` for one that cannot be read."""
        document = self.view.get(Key(api_version=SEDNA, kind="Model", namespace=self.owner.namespace, name=name))
        if document is None:
            return None
        model = parse(document)
        assert isinstance(model, Model)
        return model

    def needed_dataset(self) -> Dataset:
        """The Dataset. Raises :class:`Missing`."""
        found = self.dataset()
        if found is None:
            raise self._missing("Dataset", self.spec.dataset.name)
        return found

    def needed_model(self, name: str) -> Model:
        """A Model. Raises :class:`Missing`."""
        found = self.model(name)
        if found is None:
            raise self._missing("Model", name)
        return found

    def _missing(self, kind: str, name: str) -> Missing:
        return Missing(f"there is no {kind} {name} in namespace {self.owner.namespace}; create it")

    def check_references(self) -> None:
        """Raises :class:`Missing`, naming all that is."""
        names = dict.fromkeys((self.spec.initial_model.name, self.spec.deploy_spec.model.name, *self._eval_models()))
        absent = [f"Model {name}" for name in names if self.model(name) is None]
        if self.dataset() is None:
            absent.insert(0, f"Dataset {self.spec.dataset.name}")
        if absent:
            raise Missing(f"namespace {self.owner.namespace} lacks {', '.join(absent)}; create what is missing")

    def _eval_models(self) -> tuple[str, ...]:
        initial = self.spec.eval_spec.initial_model
        return () if initial is None else (initial.name,)

    def ground_place(self, dataset: Dataset, last: str) -> Place:
        """Where a round is trained and evaluated: beside its samples, but for those of a satellite on the ground.

        Args:
            last: the node of the last training, whose output folder has the models; empty: none yet.
        """
        node = dataset.spec.node_name
        if satellite_on(self.view, node) is None:
            return Place(node=node)
        return Place(on_ground=True, node=last if is_on_node(self.spec.output_dir) else "")

    def lacks_node(self, node: str) -> bool:
        """Whether the cluster has nodes, and none of this name."""
        return not is_in_cluster(self.view, node) and bool(self.view.all("v1", "Node"))

    def taken(self, name: str, api_version: str = "v1", kind: str = "Pod") -> str:
        """Why nothing can be made under a name of the job's; empty: it can, or is made already."""
        key = Key(api_version=api_version, kind=kind, namespace=self.owner.namespace, name=name)
        known = self.view.get(key)
        if known is None or self.owns(known):
            return ""
        owners = ", ".join(f"{one['kind']} {one['name']}" for one in _owners(known))
        what = "pod" if kind == "Pod" else kind
        return f"{what} {name} belongs to another owner ({owners}); it goes with that one, or delete it"

    def owns(self, document: Document) -> bool:
        """Whether an object is the job's, and not made by another one of its objects."""
        return any(one.get("controller") and one["uid"] == self.owner.uid for one in _owners(document))

    def maker_of(self, pod: Document) -> Document | None:
        """The Job, PyTorchJob or TrainJob that has made a pod; ``None``: we have, or it is gone."""
        if self.owns(pod):
            return None
        worker = worker_of(pod)
        return next((maker for maker in self.makers if maker["metadata"]["name"] == worker), None)

    def drift(self) -> float | None:
        """The largest drift that one of its satellites tells of; ``None``: none of them tells any."""
        reports = [self.report(satellite.spec.node_name) for satellite in self.satellites]
        said = [report.satellite() for report in reports if report is not None]
        return max((one.drift for one in said if one is not None and one.drift is not None), default=None)

    def report(self, node: str) -> NodeReport | None:
        """What a node has said."""
        return report_of(self.view, node)


def scene_of(document: Document, view: View, now: datetime) -> Scene:
    """All that a job sees.

    Raises:
        Missing: a satellite that it names is not there.
        BadInput: its spec cannot be carried out; says which field, and what to write.
    """
    job = checked({name: part for name, part in document.items() if name != "status"})
    assert isinstance(job, IncrementalLearningJob)
    owner = Owner.of(document)
    makers = tuple(maker for kind in MAKERS for maker in view.owned(owner.uid, *kind))
    pods = (*view.owned(owner.uid, "v1", "Pod"), *(_made_pods(owner, view) if makers else ()))
    return Scene(
        owner=owner,
        job=job,
        view=view,
        now=now,
        pods={pod["metadata"]["name"]: pod for pod in pods},
        makers=makers,
        satellites=_satellites(job, view),
        train=job.spec.train_spec.trigger.to_domain(),
        deploy=job.spec.deploy_spec.trigger.to_domain(),
    )


def _made_pods(owner: Owner, view: View) -> Iterator[Document]:
    """Pods of the job that others have made for it, some by way of objects that are not watched."""
    for pod in view.all("v1", "Pod", owner.namespace):
        if worker_of(pod) and owner.uid in pod["metadata"]["labels"].values():
            yield pod


def _owners(document: Document) -> Sequence[Document]:
    owners: Sequence[Document] = document["metadata"].get("ownerReferences") or ()
    return owners


def names_of_satellites(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The satellites that annotations name, each once, in order."""
    names = (name.strip() for name in annotations.get(SATELLITES, "").split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def _satellites(job: IncrementalLearningJob, view: View) -> tuple[Satellite, ...]:
    names = names_of_satellites(job.annotations)
    if not names:
        dataset = _dataset(view, job.namespace, job.spec.dataset.name)
        found = None if dataset is None else satellite_on(view, dataset.spec.node_name)
        return () if found is None else (found,)
    keys = [Key(api_version=ORBITLOOP, kind="Satellite", namespace=job.namespace, name=name) for name in names]
    documents = [view.get(key) for key in keys]
    absent = [name for name, document in zip(names, documents, strict=True) if document is None]
    if absent:
        raise Missing(
            f"the annotation {SATELLITES} names {', '.join(absent)}, and namespace {job.namespace} has no such "
            "Satellite; create it, or correct the annotation"
        )
    return tuple(_satellite(document) for document in documents if document is not None)


def _dataset(view: View, namespace: str, name: str) -> Dataset | None:
    document = view.get(Key(api_version=SEDNA, kind="Dataset", namespace=namespace, name=name))
    if document is None:
        return None
    dataset = parse(document)
    assert isinstance(dataset, Dataset)
    return dataset


def satellite_on(view: View, node: str) -> Satellite | None:
    """The Satellite whose node this is, in whatever namespace."""
    found = satellites_on(view, node)
    return _satellite(found[0]) if found else None


def _satellite(document: Document) -> Satellite:
    satellite = parse(document)
    assert isinstance(satellite, Satellite)
    return satellite
