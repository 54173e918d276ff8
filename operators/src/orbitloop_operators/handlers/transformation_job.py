"""The Job of a transformation: named by what goes into it, so that the same is done once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orbitloop.api.orbitloop_v1alpha1.application_transformation import ApplicationTransformationSpec
from orbitloop.api.orbitloop_v1alpha1.satellite import ComputeSpec
from orbitloop.api.sedna_v1alpha1.dataset import Dataset
from orbitloop.api.sedna_v1alpha1.model import Model
from orbitloop.domain.errors import BadInput
from orbitloop_operators.handlers.changes import Key
from orbitloop_operators.handlers.worker_groups import BATCH_JOB, WORKER_LABEL
from orbitloop_operators.handlers.worker_pods import (
    Mount,
    Owner,
    Place,
    WorkerPod,
    in_pod,
    is_on_node,
    mounts_for,
    off_host_network,
    path_of,
    pod_for,
    user_of,
)

_RETRIES = 3
"""How often another pod is tried where one was lost: its node failed, or its memory did not do."""
_ON_PURPOSE = [1, 2]
"""Exit codes by which the worker says that asking again will not help."""
_DIGITS = 10
_LONGEST_NAME = 63 - _DIGITS - 1
_USER = 65532
"""Whom the transformer's image runs as, and the gateway, which reads what is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformation:
    """All that a Job is made of.

    Args:
        owner: the ApplicationTransformation.
        spec: what its user wants.
        compute: the satellite's.
        dataset: that it learns from; ``None``: what its image brings.
        model: the detector that is its reference; ``None``: none, or what its image brings.
        place: where it goes unless its template says so.
        image: the transformer's.
        tools_image: image with orbitloop's worker tools.
    """

    owner: Owner
    spec: ApplicationTransformationSpec
    compute: ComputeSpec
    dataset: Dataset | None
    model: Model | None
    place: Place
    image: str
    tools_image: str

    @property
    def digest(self) -> str:
        """Of what goes into it; not of how it is rolled out, nor of the images of this version."""
        written = self.spec.model_dump(by_alias=True, mode="json", exclude={"rollout"}, exclude_none=True)
        urls = ["" if one is None else one.spec.url for one in (self.dataset, self.model)]
        compute = self.compute.model_dump(by_alias=True, mode="json")
        text = json.dumps([self.owner.uid, written, urls, compute], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

    @property
    def name(self) -> str:
        """Of the Job: hosts' names are of 63 characters at most."""
        return f"{self.owner.name[:_LONGEST_NAME].rstrip('-.')}-{self.digest}"

    @property
    def key(self) -> Key:
        """Where the Job is."""
        return Key(api_version=BATCH_JOB[0], kind=BATCH_JOB[1], namespace=self.owner.namespace, name=self.name)

    @property
    def folder(self) -> str:
        """Where it writes to: of its own, so that what was made before stays as it is."""
        return f"{path_of(self.spec.output_url, 'spec.outputUrl')}/{self.digest}"


def job_for(wanted: Transformation) -> dict[str, Any]:
    """The Job's document. Raises ``BadInput`` where a file is not on the ground's storage."""
    given = wanted.spec.template or {}
    template = _filled(given, wanted.image)
    pod = pod_for(wanted.owner, _worker(wanted, template))
    off_host_network(pod["spec"], given.get("spec") or {})
    labels = {**pod["metadata"]["labels"], WORKER_LABEL: wanted.name}
    return {
        "apiVersion": BATCH_JOB[0],
        "kind": BATCH_JOB[1],
        "metadata": {
            "name": wanted.name,
            "namespace": wanted.owner.namespace,
            "labels": labels,
            "ownerReferences": [wanted.owner.reference()],
        },
        "spec": {
            "backoffLimit": _RETRIES,
            "podFailurePolicy": {  # servers before Kubernetes 1.26 leave it out, and try again what cannot succeed
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": _ON_PURPOSE}},
                ]
            },
            "template": {
                "metadata": {"labels": labels, "annotations": pod["metadata"]["annotations"]},
                "spec": pod["spec"],
            },
        },
    }


def _worker(wanted: Transformation, template: Mapping[str, Any]) -> WorkerPod:
    files = [_on_ground(one) for one in (wanted.dataset, wanted.model) if one is not None]
    user = user_of(template)
    give = ("give", "--folder", in_pod(wanted.folder), "--to", user)
    return WorkerPod(
        name=wanted.name,
        worker_type="transform",
        template=template,
        place=wanted.place,
        env=_told(wanted),
        mounts=_merged((*mounts_for(files=files), *mounts_for(folders=(wanted.folder,)))),
        tools=(wanted.tools_image, *give) if user else (),
    )


def _told(wanted: Transformation) -> dict[str, str]:
    spec, compute = wanted.spec, wanted.compute
    told = {
        "APPLICATION": spec.application,
        "TARGET": compute.target or json.dumps(compute.profile, sort_keys=True),
        "MODEL_URL": in_pod(wanted.folder),
        "TRAIN_DATASET_URL": "" if wanted.dataset is None else in_pod(_on_ground(wanted.dataset)),
        "BASE_MODEL_URL": "" if wanted.model is None else in_pod(_on_ground(wanted.model)),
        "CAPACITY": "" if spec.capacity_permille is None else f"{spec.capacity_permille / 1000:g}",
        "DEADLINE": "" if spec.deadline_milliseconds is None else f"{spec.deadline_milliseconds / 1000:.12g}",
        "CONTEXTS": ";".join(spec.contexts),
        "SEED": str(spec.seed),
        "EFFORT": f"{spec.effort_percent / 100:g}",
        "NAMESPACE": wanted.owner.namespace,
        "JOB_NAME": wanted.owner.name,
        "WORKER_NAME": wanted.name,
    }
    return {name: value for name, value in told.items() if value}


def _on_ground(one: Dataset | Model) -> str:
    """The path of what a Dataset or Model names."""
    if not is_on_node(one.spec.url):
        raise BadInput(
            f"{one.kind_name} {one.name} is at {one.spec.url}; a transformation reads what is on the ground's storage: "
            "write an absolute path"
        )
    return path_of(one.spec.url, f"the url of {one.kind_name} {one.name}")


def _merged(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    return tuple(dict.fromkeys(mounts))


def _filled(given: Mapping[str, Any], image: str) -> dict[str, Any]:
    """A template with what it leaves out: a container, its image, whom it runs as, and where it may write."""
    spec = {"securityContext": _NOBODY, "automountServiceAccountToken": False, **(given.get("spec") or {})}
    first, *others = spec.get("containers") or [{}]
    first = {"name": "transformer", "image": image, "securityContext": _CONFINED, **first}
    mounts = first.get("volumeMounts") or ()
    if all(one.get("mountPath") != _SHORT_LIVED for one in mounts):
        first["volumeMounts"] = [*mounts, {"name": _SCRATCH, "mountPath": _SHORT_LIVED}]
        spec["volumes"] = [*(spec.get("volumes") or ()), {"name": _SCRATCH, "emptyDir": {}}]
    return {**given, "spec": spec | {"containers": [first, *others]}}


_SHORT_LIVED, _SCRATCH = "/tmp", "orbitloop-tmp"  # noqa: S108  # of the container
_NOBODY = {"runAsUser": _USER, "runAsGroup": _USER, "runAsNonRoot": True}
_CONFINED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
