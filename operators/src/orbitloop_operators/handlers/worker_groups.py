"""A worker that is several pods: what they are told to find each other, and what makes them.

They are told what torchrun reads from its environment. Which of them is rank 0 is settled when they meet.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from orbitloop.api.sedna_v1alpha1.incremental_learning_job import Via
from orbitloop.domain.errors import BadInput
from orbitloop_operators.handlers.changes import Document
from orbitloop_operators.handlers.queues import queued_labels, queued_pod
from orbitloop_operators.handlers.worker_pods import (
    MADE_FROM,
    Owner,
    WorkerPod,
    asking_container,
    digest_of,
    off_host_network,
    pod_for,
)

WORKER_LABEL = "orbitloop.io/worker"
"""Label of all that a worker of several pods is made of, with the worker's name."""
SIZE = "orbitloop.io/pods"
"""Annotation with how many pods the worker is."""
BATCH_JOB, PYTORCH_JOB = ("batch/v1", "Job"), ("kubeflow.org/v1", "PyTorchJob")
_TRAINER = "trainer.kubeflow.org/v1alpha1"
TRAIN_JOB, TRAINING_RUNTIME = (_TRAINER, "TrainJob"), (_TRAINER, "TrainingRuntime")
MAKERS = (BATCH_JOB, PYTORCH_JOB, TRAIN_JOB)
"""What makes a worker's pods, where we do not."""
ASIDES = (("v1", "Service"), TRAINING_RUNTIME)
"""What a worker of several pods has besides."""
_INDEX_LABEL = "orbitloop.io/pod-index"
_FIRST_POD: Mapping[Via, Mapping[str, str]] = {
    Via.PODS: {_INDEX_LABEL: "0"},
    Via.INDEXED_JOB: {},
    Via.PYTORCH_JOB: {"training.kubeflow.org/replica-index": "0"},
    Via.TRAIN_JOB: {"batch.kubernetes.io/job-completion-index": "0"},
}
"""Label of the first pod; those of an Indexed Job have host names, and a label only from Kubernetes 1.28 on."""
_PORT = 29400
_PATIENCE_S = 600
"""How long the pods wait for each other: an image may have to be pulled meanwhile."""
_LONGEST_NAME = 36
"""Of a job: with stage, round, attempt and number behind it, it is a host name of 63 characters at most."""
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_USERS_OWN = {"PET_NPROC_PER_NODE": "1", "PET_RDZV_CONF": f"read_timeout={_PATIENCE_S},join_timeout={_PATIENCE_S}"}
"""Variables that a template may set otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerGroup:
    """Several pods that are one worker.

    Args:
        owner: the job.
        pod: what each of them is; its name is the worker's.
        size: how many they are.
        via: what makes them; not ``Auto``.
        tools_image: image with orbitloop's worker tools.
        queue: of Kueue, that they wait in; empty: none.

    Raises:
        BadInput: the job's name is none that hosts can have.
    """

    owner: Owner
    pod: WorkerPod
    size: int
    via: Via
    tools_image: str
    queue: str = ""

    def __post_init__(self) -> None:
        name = self.owner.name
        if len(name) > _LONGEST_NAME or _NAME.fullmatch(name) is None:
            raise BadInput(
                f"metadata.name: with trainSpec.pods the pods find each other by host names, and {name} is a part of "
                f"them; give it at most {_LONGEST_NAME} lower-case letters, digits and hyphens, beginning with a letter"
            )

    @property
    def name(self) -> str:
        """The worker's name."""
        return self.pod.name

    @property
    def annotations(self) -> dict[str, str]:
        """What every part says of what it was made from."""
        text = json.dumps([digest_of(self.pod), self.size, self.via, self.queue])
        return {MADE_FROM: hashlib.sha256(text.encode()).hexdigest()[:32], SIZE: str(self.size)}

    @property
    def meeting_place(self) -> str:
        """Name of the host that the pods meet at."""
        service = f"{self.name}.{self.owner.namespace}.svc"
        return f"{self.name}-0.{service}" if self.via is Via.INDEXED_JOB else service


def objects_of(group: WorkerGroup) -> tuple[dict[str, Any], ...]:
    """All that a worker is made of, the Service by which its pods meet first; the same for the same arguments."""
    match group.via:
        case Via.PODS:
            template = _template(group)
            return (_service(group), *(_pod(group, template, number) for number in range(group.size)))
        case Via.INDEXED_JOB:
            return (_service(group), _batch_job(group))
        case Via.PYTORCH_JOB:
            return (_service(group), _pytorch_job(group))
        case Via.TRAIN_JOB:
            return (_service(group), *_train_job(group))
        case Via.AUTO:
            raise AssertionError("what makes the pods is settled before")
        case _:
            assert_never(group.via)


def worker_of(document: Document) -> str:
    """The worker of several pods that an object is a part of; empty: of none."""
    return str((document["metadata"].get("labels") or {}).get(WORKER_LABEL, ""))


def size_of(document: Document) -> int:
    """How many pods the worker is that an object is a part of."""
    return int((document["metadata"].get("annotations") or {}).get(SIZE, "1"))


def is_over(maker: Document) -> bool:
    """Whether a Job and the like makes no pods any more."""
    return bool(_conditions(maker) & {"Complete", "Succeeded", "Failed"})


def why_failed(maker: Document) -> str:
    """Why a Job and the like has failed; empty if it has not."""
    for one in (maker.get("status") or {}).get("conditions") or ():
        if one.get("type") == "Failed" and one.get("status") == "True":
            said = ": ".join(part for part in (one.get("reason"), one.get("message")) if part)
            return said or "it does not say why"
    return ""


def is_suspended(maker: Document) -> bool:
    """Whether a Job and the like is held back, as a queue does."""
    spec = maker.get("spec") or {}
    return bool(spec.get("suspend") or (spec.get("runPolicy") or {}).get("suspend"))


def _conditions(maker: Document) -> set[str]:
    conditions = (maker.get("status") or {}).get("conditions") or ()
    return {str(one.get("type")) for one in conditions if one.get("status") == "True"}


def _template(group: WorkerGroup) -> dict[str, Any]:
    """Metadata and spec of each pod."""
    pod = pod_for(group.owner, group.pod)
    metadata, spec = pod["metadata"], pod["spec"]
    off_host_network(spec, group.pod.template.get("spec") or {})
    spec["containers"] = [_told(one, group) for one in spec["containers"]]
    arguments = ("await-name", "--name", group.meeting_place, "--wait-seconds", str(_PATIENCE_S))
    meeting = asking_container("orbitloop-rendezvous", group.tools_image, arguments)
    spec["initContainers"] = [*spec.get("initContainers", ()), meeting]
    told = {"labels": _labels(group, metadata["labels"]), "annotations": metadata["annotations"] | group.annotations}
    return {"metadata": told, "spec": spec}


def _labels(group: WorkerGroup, more: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**(more or {}), **group.owner.labels(group.pod.worker_type), WORKER_LABEL: group.name}


def _told(container: Mapping[str, Any], group: WorkerGroup) -> dict[str, Any]:
    """A container with what it is told of the others; torchrun reads it as if it were options of its own."""
    own = {entry.get("name") for entry in container["env"]}
    given = [
        _field("WORKER_NAME", "metadata.name"),
        {"name": "PET_NNODES", "value": str(group.size)},
        {"name": "PET_RDZV_BACKEND", "value": "c10d"},
        {"name": "PET_RDZV_ENDPOINT", "value": f"{group.meeting_place}:{_PORT}"},
        {"name": "PET_RDZV_ID", "value": group.name},
        _field("PET_LOCAL_ADDR", "status.podIP"),
        *({"name": name, "value": value} for name, value in _USERS_OWN.items() if name not in own),
    ]
    names = {entry["name"] for entry in given}
    return {**container, "env": [*(entry for entry in container["env"] if entry.get("name") not in names), *given]}


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _metadata(group: WorkerGroup, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": group.owner.namespace,
        "labels": _labels(group),
        "annotations": group.annotations,
        "ownerReferences": [group.owner.reference()],
    }


def _service(group: WorkerGroup) -> dict[str, Any]:
    """The name that the pods meet at, which counts before they are ready."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {WORKER_LABEL: group.name, **_FIRST_POD[group.via]},
        "ports": [{"name": "rendezvous", "protocol": "TCP", "port": _PORT, "targetPort": _PORT}],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(group, group.name), "spec": spec}


def _pod(group: WorkerGroup, template: Mapping[str, Any], number: int) -> dict[str, Any]:
    metadata = _metadata(group, f"{group.name}-{number}") | {
        "labels": template["metadata"]["labels"] | {_INDEX_LABEL: str(number)},
        "annotations": template["metadata"]["annotations"],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    return queued_pod(pod, group.queue, worker=group.name, size=group.size)


def _maker(group: WorkerGroup, kind: tuple[str, str], spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata = _metadata(group, group.name)
    metadata["labels"] |= queued_labels(group.queue)
    return {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, "spec": spec}


def _batch_job(group: WorkerGroup) -> dict[str, Any]:
    """Host names ``<worker>-0``, ``<worker>-1`` … below that of the Service; the first failure ends it."""
    template = _template(group)
    template["spec"]["subdomain"] = group.name
    spec = {
        "completionMode": "Indexed",
        "completions": group.size,
        "parallelism": group.size,
        "backoffLimit": 0,
        "template": template,
    }
    return _maker(group, BATCH_JOB, spec)


def _pytorch_job(group: WorkerGroup) -> dict[str, Any]:
    """Workers alone: with a Master the PyTorchJob ends when that one does, and any of them may have the result."""
    template = _template(group)
    del template["spec"]["restartPolicy"]
    containers = template["spec"]["containers"]
    template["spec"]["containers"] = _with_one_named(containers, "pytorch")
    workers = {"replicas": group.size, "restartPolicy": "Never", "template": template}
    spec = {
        "nprocPerNode": _processes(containers),
        "runPolicy": {"cleanPodPolicy": "Running"},
        "pytorchReplicaSpecs": {"Worker": workers},
    }
    return _maker(group, PYTORCH_JOB, spec)


def _train_job(group: WorkerGroup) -> tuple[dict[str, Any], dict[str, Any]]:
    """A TrainJob with a runtime of its own, which has the whole template: what a TrainJob may say itself changes.

    Without a policy for torch nothing else is told to the containers. Its pods are those of an Indexed Job.
    """
    template = _template(group)
    template["spec"]["containers"] = _with_one_named(template["spec"]["containers"], "node")
    job = {
        "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
        "spec": {"backoffLimit": 0, "template": template},
    }
    nodes = [{"name": "node", "replicas": 1, "template": job}]
    runtime = {
        "apiVersion": TRAINING_RUNTIME[0],
        "kind": TRAINING_RUNTIME[1],
        "metadata": _metadata(group, group.name),
        "spec": {
            "mlPolicy": {"numNodes": group.size},
            "template": {"spec": {"network": {"enableDNSHostnames": False}, "replicatedJobs": nodes}},
        },
    }
    reference = {"apiGroup": "trainer.kubeflow.org", "kind": TRAINING_RUNTIME[1], "name": group.name}
    return runtime, _maker(group, TRAIN_JOB, {"runtimeRef": reference})


def _with_one_named(containers: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """The same containers; Kubeflow demands a name, which the first one is given if none has it."""
    first, *others = (dict(one) for one in containers)
    if all(one.get("name") != name for one in (first, *others)):
        first["name"] = name
    return [first, *others]


def _processes(containers: Sequence[Mapping[str, Any]]) -> str:
    """Processes of a pod; left to itself the training operator would tell each container another number."""
    for container in containers:
        for entry in container["env"]:
            if entry["name"] == "PET_NPROC_PER_NODE" and entry.get("value"):
                return str(entry["value"])
    return _USERS_OWN["PET_NPROC_PER_NODE"]
