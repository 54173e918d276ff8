"""Which stage's worker is several pods, what makes them, and what there is of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orbitloop.api.sedna_v1alpha1.incremental_learning_job import Via
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.learning import Stage
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.job_scene import Scene
from orbitloop_operators.handlers.queues import queue_of
from orbitloop_operators.handlers.round_state import Status
from orbitloop_operators.handlers.stage_pods import Platform, pod_name, stage_pod, stage_worker
from orbitloop_operators.handlers.worker_groups import (
    ASIDES,
    PYTORCH_JOB,
    TRAIN_JOB,
    WorkerGroup,
    objects_of,
    worker_of,
)
from orbitloop_operators.handlers.worker_pods import is_made_from

_TAKES = {
    Via.PYTORCH_JOB: "kubeflow.org/v1, which this cluster does not serve: install the training operator of Kubeflow",
    Via.TRAIN_JOB: "trainer.kubeflow.org/v1alpha1, which this cluster does not serve: install Kubeflow Trainer",
    Via.INDEXED_JOB: "Kubernetes 1.24 or later: write Pods",
}
"""What a cluster lacks, and what to do."""


class NotServed(Refused):
    """The cluster lacks what a job asks for; it goes on by itself once that is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What there is of a worker of several pods.

    Args:
        members: its pods, by name.
        maker: the Job, PyTorchJob or TrainJob that makes them; ``None``: there is none.
        asides: the Service by which they meet, and what else there is besides.
    """

    members: Mapping[str, Document]
    maker: Document | None
    asides: tuple[Document, ...]

    def __bool__(self) -> bool:
        """Whether there are pods, or what makes them."""
        return bool(self.members) or self.maker is not None

    def parts(self) -> tuple[Document, ...]:
        """What is deleted to have none of it."""
        made = tuple(self.members.values()) if self.maker is None else (self.maker,)
        return (*made, *self.asides)

    def others_than(self, wanted: tuple[Document, ...]) -> tuple[Key, ...]:
        """Parts that were made from something else than what is wanted now."""
        by_key = {Key.of(one): one for one in wanted}
        parts = {Key.of(one): one for one in self.parts()}
        return tuple(key for key, one in parts.items() if key not in by_key or not is_made_from(one, by_key[key]))


def group_there(scene: Scene, name: str) -> Group:
    """What there is of a worker's pods, where these are several."""
    members = {one: pod for one, pod in sorted(scene.pods.items()) if worker_of(pod) == name}
    makers = [maker for maker in scene.makers if maker["metadata"]["name"] == name]
    asides = (aside for kind in ASIDES for aside in scene.view.owned(scene.owner.uid, *kind))
    return Group(
        members=members,
        maker=makers[0] if makers else None,
        asides=tuple(aside for aside in asides if aside["metadata"]["name"] == name),
    )


def is_several(scene: Scene, status: Status) -> bool:
    """Whether the stage's worker is several pods; an attempt goes on as it has begun."""
    name = pod_name(scene.owner.name, Stage(status.stage), status.round, status.attempt)
    return bool(group_there(scene, name)) or (_asked(scene, status) > 1 and name not in scene.pods)


def _asked(scene: Scene, status: Status) -> int:
    return scene.spec.train_spec.pods if status.stage == Stage.TRAIN else 1


def stage_objects(scene: Scene, status: Status, platform: Platform) -> tuple[dict[str, Any], ...]:
    """What the stage's worker is made of.

    Raises:
        Missing: a Dataset or Model that it needs is not there.
        BadInput: an URL is of a kind that its worker cannot be given, or the job's name of a kind that hosts cannot
            have, or there are no host names.
        NotServed: the cluster lacks what is to make its pods.
    """
    size = _asked(scene, status)
    if size == 1:
        return (stage_pod(scene, status, platform),)
    if not platform.host_names:
        raise BadInput(
            f"spec.trainSpec.pods: it is {size}, and several pods find each other by host names, which there are only "
            "in a cluster; leave it out here"
        )
    group = WorkerGroup(
        owner=scene.owner,
        pod=stage_worker(scene, status, platform),
        size=size,
        via=_via(scene, platform),
        tools_image=platform.tools_image,
        queue=queue_of(scene.job.metadata),
    )
    return objects_of(group)


def _via(scene: Scene, platform: Platform) -> Via:
    """What makes the pods: what the job says, else the best that there is."""
    asked = scene.spec.train_spec.via
    there = {
        Via.PYTORCH_JOB: scene.view.serves(*PYTORCH_JOB),
        Via.TRAIN_JOB: scene.view.serves(*TRAIN_JOB),
        Via.INDEXED_JOB: platform.indexed_jobs,
        Via.PODS: True,
    }
    if asked is Via.AUTO:
        return next(via for via, is_there in there.items() if is_there)
    if not there[asked]:
        raise NotServed(f"spec.trainSpec.via is {asked}, which takes {_TAKES[asked]}; or leave via out")
    return asked
