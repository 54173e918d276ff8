"""Pods of a job's workers: names, labels, environment, mounts and places as Sedna's users know them."""

from __future__ import annotations

import copy
import hashlib
import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orbitloop.domain.errors import BadInput
from orbitloop_operators.handlers.changes import Document

DATA_PREFIX = "/home/data"
"""Folders of the node are mounted below it, under their own path."""
TERMINATION_LOG = "/dev/termination-log"
TERMINATION_VARIABLE = "ORBITLOOP_TERMINATION_LOG"
MADE_FROM = "orbitloop.io/made-from"
"""Annotation of a pod with the digest of what it was made from."""
PLACING = ("nodeName", "nodeSelector", "affinity")
"""Where a template says on which node its pod goes."""
_TOOLS = ("python", "-m", "orbitloop.worker.tools")
_PREPARING = {
    "runAsUser": 0,
    "runAsNonRoot": False,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE"]},
}
_EDGE = "node-role.kubernetes.io/edge"
_LONGEST_LABEL = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The job that a pod belongs to.

    Raises:
        BadInput: its name does not fit into a label.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    def __post_init__(self) -> None:
        if len(self.name) > _LONGEST_LABEL:
            raise BadInput(
                f"{self.kind} {self.name} has a name of {len(self.name)} characters, and its pods carry it as a label; "
                f"give it one of at most {_LONGEST_LABEL}"
            )

    @classmethod
    def of(cls, document: Document) -> Owner:
        """The owner that a job's document is. Raises ``BadInput`` as the class does."""
        metadata = document["metadata"]
        return cls(
            api_version=document["apiVersion"],
            kind=document["kind"],
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
        )

    def labels(self, worker_type: str) -> dict[str, str]:
        """Labels in Sedna's form."""
        prefix = f"{self.kind.lower()}.{self.api_version.partition('/')[0]}"
        return {f"{prefix}/name": self.name, f"{prefix}/uid": self.uid, f"{prefix}/worker-type": worker_type}

    def reference(self) -> dict[str, Any]:
        """What an object says that belongs to it: it goes with its owner."""
        named = {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid}
        return {**named, "controller": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a pod goes if its template says nothing about it.

    Args:
        node: on this one; empty: wherever the scheduler puts it.
        on_ground: not on a node at the edge; the scheduler puts it onto ``node`` then, or has it wait.
        in_orbit: its node is out of contact most of the time: the pod stays there.
        strictly: whatever the template says.
    """

    node: str = ""
    on_ground: bool = False
    in_orbit: bool = False
    strictly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder of the node in the pod.

    Args:
        folder: on the node; empty: an empty one, which goes with the pod.
        at: in the pod.
        name: of its volume; empty: a name is made.
    """

    folder: str
    at: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPod:
    """One pod that is wanted.

    Args:
        name: its name, and that of the worker.
        worker_type: train, eval, deploy or inference.
        template: the user's.
        place: where it goes.
        env: what its containers are told.
        credential: Secret with the keys of an object store; empty: none.
        mounts: folders of the node.
        tools: image and arguments of the worker tools that run first.
        runs_once: it is not started again by the kubelet: whoever made it counts the attempts.
    """

    name: str
    worker_type: str
    template: Mapping[str, Any]
    place: Place = Place()
    env: Mapping[str, str]
    credential: str = ""
    mounts: tuple[Mount, ...] = ()
    tools: tuple[str, ...] = ()
    runs_once: bool = True


def pod_for(owner: Owner, wanted: WorkerPod) -> dict[str, Any]:
    """The pod's document; the same one for the same arguments."""
    template = copy.deepcopy(dict(wanted.template))
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    spec.setdefault("dnsPolicy", "ClusterFirstWithHostNet")
    spec["hostNetwork"] = True
    if wanted.runs_once:
        spec["restartPolicy"] = "Never"
    volumes, mounts = _volumes(wanted.mounts)
    spec["volumes"] = [*spec.get("volumes", ()), *volumes]
    env = _env(wanted)
    spec["containers"] = [_told(one, env, mounts) for one in spec.get("containers", ())]
    if wanted.tools:
        image, *arguments = wanted.tools
        spec["initContainers"] = [
            tools_container("orbitloop", image, arguments, mounts),
            *spec.get("initContainers", ()),
        ]
    _put(spec, wanted.place)
    labels = {**(metadata.get("labels") or {}), **owner.labels(wanted.worker_type)}
    made = {
        "name": wanted.name,
        "namespace": owner.namespace,
        "labels": labels,
        "annotations": {**(metadata.get("annotations") or {}), MADE_FROM: digest_of(wanted)},
        "ownerReferences": [owner.reference()],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": spec}


def off_host_network(spec: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Take a pod off the host's network, where two of one node would want the same ports, unless its template says so.

    Args:
        own: the template's spec.
    """
    for name in ("hostNetwork", "dnsPolicy"):
        del spec[name]
        if name in own:
            spec[name] = own[name]


def is_made_from(pod: Document, wanted: Document) -> bool:
    """Whether a pod was made from the same template, variables and places as the one that is wanted now."""
    found, asked = (one["metadata"].get("annotations") or {} for one in (pod, wanted))
    return bool(found.get(MADE_FROM) == asked[MADE_FROM])


def digest_of(wanted: WorkerPod) -> str:
    """The digest of what a pod is made from."""
    text = json.dumps(asdict(wanted), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def tools_container(name: str, image: str, arguments: Sequence[str], mounts: Sequence[Document]) -> dict[str, Any]:
    """A container that runs the worker tools on folders of the node; what goes wrong is its last word.

    The kubelet made those folders as root: that is whom it runs as, whoever the pod's own containers are.
    """
    container = asking_container(name, image, arguments)
    return {**container, "securityContext": copy.deepcopy(_PREPARING), "volumeMounts": list(mounts)}


def asking_container(name: str, image: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The same without the node's folders."""
    return {
        "name": name,
        "image": image,
        "command": [*_TOOLS, *arguments],
        "env": [{"name": TERMINATION_VARIABLE, "value": TERMINATION_LOG}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def user_of(template: Mapping[str, Any]) -> str:
    """Whom the first container of a template runs as, ``UID:GID``; empty: as its image says."""
    spec = template.get("spec") or {}
    first: Mapping[str, Any] = next(iter(spec.get("containers") or ()), {})
    told = {**(spec.get("securityContext") or {}), **(first.get("securityContext") or {})}
    user = told.get("runAsUser")
    return "" if user is None else f"{user}:{told.get('runAsGroup', user)}"


def tools_template(image: str, arguments: Sequence[str]) -> dict[str, Any]:
    """A pod template of which the worker tools are all."""
    return {"spec": {"containers": [tools_container("orbitloop", image, arguments, ())]}}


def _told(container: Mapping[str, Any], env: Sequence[Document], mounts: Sequence[Document]) -> dict[str, Any]:
    """A container of the user's with what it is told; its own variables of these names give way."""
    log = container.get("terminationMessagePath", TERMINATION_LOG)
    given = [*env, {"name": TERMINATION_VARIABLE, "value": log}]
    names = {entry["name"] for entry in given}
    own = [entry for entry in container.get("env") or () if entry.get("name") not in names]
    return {
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **container,
        "env": [*own, *given],
        "volumeMounts": [*(container.get("volumeMounts") or ()), *mounts],
    }


def _env(wanted: WorkerPod) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in wanted.env.items()]
    if wanted.credential:
        made += [
            _from_secret(wanted.credential, "ACCESS_KEY_ID"),
            _from_secret(wanted.credential, "SECRET_ACCESS_KEY"),
            _from_secret(wanted.credential, "S3_ENDPOINT_URL", optional=True),
        ]
    return made


def _from_secret(secret: str, key: str, *, optional: bool = False) -> dict[str, Any]:
    reference: dict[str, Any] = {"name": secret, "key": key}
    if optional:
        reference["optional"] = True
    return {"name": key, "valueFrom": {"secretKeyRef": reference}}


def _volumes(wanted: Iterable[Mount]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    volumes, mounts = [], []
    for number, mount in enumerate(sorted(set(wanted), key=lambda one: one.at)):
        name = mount.name or f"orbitloop-data-{number}"
        source = {"hostPath": {"path": mount.folder, "type": "DirectoryOrCreate"}} if mount.folder else {"emptyDir": {}}
        volumes.append({"name": name, **source})
        mounts.append({"name": name, "mountPath": mount.at})
    return volumes, mounts


def _put(spec: dict[str, Any], place: Place) -> None:
    """Put a pod at its place, unless its template says where it goes."""
    if place.in_orbit:
        away = [
            {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute"}
            for what in ("unreachable", "not-ready")
        ]
        spec["tolerations"] = [*(spec.get("tolerations") or ()), *away]
    if place.strictly:
        for key in PLACING:
            spec.pop(key, None)
    if any(spec.get(key) for key in PLACING):
        return
    if place.on_ground:
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _ground(place.node)}}
    elif place.node:
        spec["nodeName"] = place.node


def _ground(node: str) -> dict[str, Any]:
    term: dict[str, Any] = {"matchExpressions": [{"key": _EDGE, "operator": "DoesNotExist"}]}
    if node:
        term["matchFields"] = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    return {"nodeSelectorTerms": [term]}


def is_on_node(url: str) -> bool:
    """Whether a URL is a path of the node, be it a good one or not."""
    return "://" not in url or url.startswith("file://")


def path_of(url: str, what: str) -> str:
    """The path of the node that a URL is, without ``.`` and ``..``.

    Args:
        what: whose URL it is, for the message.

    Raises:
        BadInput: it is a relative path.
    """
    path = url.removeprefix("file://")
    if not path.startswith("/"):
        raise BadInput(f"{what} is {url!r}; write an absolute path on the node, for instance /data/{path or 'file'}")
    return "/" + posixpath.normpath(path).lstrip("/")


def in_pod(url: str) -> str:
    """Where a worker finds what is at ``url``: paths of the node are below :data:`DATA_PREFIX`."""
    return DATA_PREFIX + path_of(url, "the path") if is_on_node(url) else url


def from_pod(url: str) -> str:
    """The path of the node for one that a worker names; a worker of Sedna leaves the prefix out by itself."""
    path = url.removeprefix("file://")
    return path.removeprefix(DATA_PREFIX) if path.startswith(f"{DATA_PREFIX}/") else url


def mount_of(folder: str) -> Mount:
    """A folder of the node below :data:`DATA_PREFIX`."""
    return Mount(folder=folder, at=DATA_PREFIX + folder)


def mounts_for(files: Iterable[str] = (), folders: Iterable[str] = ()) -> tuple[Mount, ...]:
    """The mounts by which a worker finds files and folders; what is not on the node needs none.

    Raises:
        BadInput: a file is in the root folder of its node, which no worker is given.
    """
    parents = [posixpath.dirname(path_of(url, "the path")) for url in files if is_on_node(url)]
    named = [path_of(url, "the path") for url in folders if is_on_node(url)]
    if "/" in (*parents, *named):
        raise BadInput("a worker would be given the root folder of its node; put the file into a folder, such as /data")
    return tuple(mount_of(folder) for folder in dict.fromkeys((*parents, *named)))
