"""What Kubernetes runs for a JointInferenceService: two Deployments, the Service between them, autoscalers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orbitloop.api.sedna_v1alpha1.joint_inference_service import JointInferenceServiceSpec
from orbitloop.api.sedna_v1alpha1.model import Model
from orbitloop.api.sedna_v1alpha1.parts import ScaledWorkerSpec
from orbitloop.domain.errors import BadInput
from orbitloop_operators.handlers.changes import Document
from orbitloop_operators.handlers.worker_pods import (
    DATA_PREFIX,
    Owner,
    Place,
    WorkerPod,
    in_pod,
    mounts_for,
    off_host_network,
    pod_for,
)

CLOUD, EDGE = "cloud", "edge"
PORT = 5000
APP_LABEL = "app.sedna.io"
_LONGEST_NAME = 53
"""Of a service: with what is put behind it, it is a label and the name of a Service, of 63 characters at most."""
_ONE_AFTER_THE_OTHER = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
"""Two workers on the network of one host would want the same ports."""
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """A JointInferenceService with its models.

    Args:
        owner: whose all objects are.
        spec: what the user wants.
        models: the Model of each worker, by role.
        local_controller: where edge workers find their Local Controller.
        autoscaling_version: of HorizontalPodAutoscalers.

    Raises:
        BadInput: its name cannot be that of a Service.
    """

    owner: Owner
    spec: JointInferenceServiceSpec
    models: Mapping[str, Model]
    local_controller: str
    autoscaling_version: str

    def __post_init__(self) -> None:
        name = self.owner.name
        if len(name) > _LONGEST_NAME or _NAME.fullmatch(name) is None:
            raise BadInput(
                f"metadata.name: {name} names a Service too; give it at most {_LONGEST_NAME} lower-case letters, "
                "digits and hyphens, beginning with a letter and without dots"
            )

    def worker(self, role: str) -> ScaledWorkerSpec:
        """The worker of a role."""
        return self.spec.cloud_worker if role == CLOUD else self.spec.edge_worker

    def environment(self, role: str) -> dict[str, str]:
        """What a worker is told, in Sedna's words; ``JOB_NAME`` besides, which is what Sedna's library asks for."""
        told = {
            "NAMESPACE": self.owner.namespace,
            "SERVICE_NAME": self.owner.name,
            "JOB_NAME": self.owner.name,
            "WORKER_NAME": deployment_name(self.owner.name, role),
            "MODEL_URL": in_pod(self.models[role].spec.url),
            "DATA_PATH_PREFIX": DATA_PREFIX,
        }
        if role == CLOUD:
            return told | {"BIG_MODEL_BIND_PORT": str(PORT)}
        mining = self.spec.edge_worker.hard_example_mining
        return told | {
            "BIG_MODEL_IP": f"{service_name(self.owner.name)}.{self.owner.namespace}",
            "BIG_MODEL_PORT": str(PORT),
            "HEM_NAME": mining.name,
            "HEM_PARAMETERS": json.dumps([{"key": one.key, "value": one.value} for one in mining.parameters]),
            "LC_SERVER": self.local_controller,
        }


def deployment_name(name: str, role: str) -> str:
    """The Deployment of a role; its workers report under this name."""
    return f"{name}-deployment-{role}"


def service_name(name: str) -> str:
    """The Service by which the edge finds the cloud."""
    return f"{name}-cloud"


def deployment(joint: Joint, role: str, running: Document | None) -> Document:
    """The Deployment of a role.

    Args:
        running: as it is now: where an autoscaler sets how many replicas there are, that stays.

    Raises:
        BadInput: its model is in the root folder of the node, or at a relative path.
    """
    pod, app = _pod(joint, role), _app(joint, role)
    annotations = joint.worker(role).template.get("metadata", {}).get("annotations") or {}
    spec = {
        "replicas": _replicas(joint.worker(role).hpa, running),
        "selector": {"matchLabels": app},
        "template": {
            "metadata": {"labels": pod["metadata"]["labels"] | app, "annotations": annotations},
            "spec": pod["spec"],
        },
    }
    if role == EDGE:
        spec["strategy"] = _ONE_AFTER_THE_OTHER
    name = deployment_name(joint.owner.name, role)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _metadata(joint, name, role), "spec": spec}


def service(joint: Joint) -> Document:
    """The Service by which the edge finds the cloud."""
    port = {"name": "tcp-0", "protocol": "TCP", "port": PORT, "targetPort": PORT}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(joint, service_name(joint.owner.name), CLOUD),
        "spec": {"selector": _app(joint, CLOUD), "ports": [port]},
    }


def autoscaler(joint: Joint, role: str) -> Document | None:
    """The HorizontalPodAutoscaler of a role, if it is to have one."""
    hpa = joint.worker(role).hpa
    if hpa is None:
        return None
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment_name(joint.owner.name, role)}
    return {
        "apiVersion": f"autoscaling/{joint.autoscaling_version}",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(joint, f"hpa-{target['name']}", role),
        "spec": {"scaleTargetRef": target, **hpa},
    }


def _pod(joint: Joint, role: str) -> dict[str, Any]:
    """The pod of a role. On the edge it stays on a node that is out of contact; only there it needs the host's network.

    Sedna's cloud workers are on the host's network too, where two replicas on one node would want one port.
    """
    model, worker = joint.models[role].spec, joint.worker(role)
    wanted = WorkerPod(
        name=deployment_name(joint.owner.name, role),
        worker_type=role,
        template=worker.template,
        place=Place(in_orbit=role == EDGE, on_ground=role == CLOUD),
        env=joint.environment(role),
        credential=model.credential_name,
        mounts=mounts_for(files=(model.url,)),
        runs_once=False,
    )
    pod = pod_for(joint.owner, wanted)
    if role == CLOUD:
        off_host_network(pod["spec"], worker.template.get("spec") or {})
    return pod


def _replicas(hpa: Mapping[str, Any] | None, running: Document | None) -> int:
    if hpa is None:
        return 1
    least, most = int(hpa.get("minReplicas") or 1), int(hpa["maxReplicas"])
    now = ((running or {}).get("spec") or {}).get("replicas") or least
    return max(least, min(int(now), most))


def _app(joint: Joint, role: str) -> dict[str, str]:
    return {APP_LABEL: f"{joint.owner.name}-{role.capitalize()}-svc"}


def _metadata(joint: Joint, name: str, role: str) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": joint.owner.namespace,
        "labels": joint.owner.labels(role),
        "ownerReferences": [joint.owner.reference()],
    }
