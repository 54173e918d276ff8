"""One namespace of the API server, and all that is outside of it: nodes, kubelets, whoever counts samples."""

from __future__ import annotations

import json
import shlex
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.conformance.node_files import NodeFiles
from tests.conformance.target import Target, path_of
from tests.global_manager import Kubelet

NODE = "conformance-edge"
"""The node that datasets and inference workers are on; no kubelet runs there but the tests'."""
LABEL = "incrementallearningjob.sedna.io/"
Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How an implementation hears of what is outside of the API server.

    Args:
        count: command that is told namespace, Dataset and number of samples; empty: the Dataset's status is.
        local_controller: URL that workers' reports are posted to as well; empty: their last words are all they say.
    """

    count: str = ""
    local_controller: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A namespace of its own.

    Args:
        files: of the node; none: nobody looks at them.
    """

    target: Target
    namespace: str
    ways: Ways
    files: NodeFiles | None = None

    @property
    def kubelet(self) -> Kubelet:
        """Of every node."""
        return Kubelet(cluster=self.target, namespace=self.namespace)

    def has(self, *documents: Mapping[str, Any]) -> None:
        """Create them."""
        for document in documents:
            self.target.create(document, self.namespace)

    def change(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        """Merge ``spec`` into that of an object."""
        self.target.patch(path_of(kind, self.namespace, name), {"spec": spec})

    def count(self, dataset: str, samples: int) -> None:
        """The node has, and counts, so many samples."""
        if self.files is not None:
            url = self.target.get(path_of("Dataset", self.namespace, dataset))["spec"]["url"]
            self.files.index(url, samples)
        if self.ways.count:
            subprocess.run([*shlex.split(self.ways.count), self.namespace, dataset, str(samples)], check=True)
            return
        path = path_of("Dataset", self.namespace, dataset)
        self.target.patch(f"{path}/status", {"status": {"numberOfSamples": samples}})

    def bury(self) -> None:
        """Pods that were deleted end at once."""
        for pod in self.target.all("Pod", self.namespace):
            if "deletionTimestamp" in pod["metadata"]:
                path = path_of("Pod", self.namespace, pod["metadata"]["name"])
                self.target.ask("DELETE", f"{path}?gracePeriodSeconds=0")

    def ends_well(self, pod: Document, kind: str, job: str, results: list[Document]) -> None:
        """A worker reports what it made, and ends."""
        self._report(pod, kind, job, results)
        said = json.dumps({"kind": kind, "status": "completed", "results": results, "message": ""})
        self.kubelet.ends(pod["metadata"]["name"], message=said)

    def _report(self, pod: Document, kind: str, job: str, results: list[Document]) -> None:
        if not self.ways.local_controller:
            return
        worker = variables(pod)["WORKER_NAME"]["value"]
        body = {
            "name": worker,
            "namespace": self.namespace,
            "ownerName": job,
            "ownerKind": "incrementallearningjob",
            "kind": kind,
            "status": "completed",
            "results": results,
        }
        url = f"{self.ways.local_controller}/sedna/workers/{worker}/info"
        asked = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=60):
            pass


@contextmanager
def a_world(target: Target, ways: Ways, files: NodeFiles | None = None) -> Iterator[World]:
    """A namespace of its own, empty again at the end."""
    namespace = f"conformance-{uuid.uuid4().hex[:8]}"
    target.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    target.ask("POST", path_of("ServiceAccount", namespace), account())  # where no controller makes it
    try:
        yield World(target=target, namespace=namespace, ways=ways, files=files)
    finally:
        target.empty(namespace)


def node() -> Document:
    """An object for the node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE, "labels": {"node-role.kubernetes.io/edge": "", "kubernetes.io/hostname": NODE}},
    }


def account() -> Document:
    """The account of pods that name none."""
    metadata = {"name": "default"}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False}


def variables(pod: Document, container: int = 0) -> dict[str, Document]:
    """What a container is told, by name."""
    return {entry["name"]: entry for entry in pod["spec"]["containers"][container].get("env", ())}


def values(pod: Document) -> dict[str, str]:
    """The variables of the first container that have a value."""
    return {name: entry["value"] for name, entry in variables(pod).items() if "value" in entry}


def has_ended(pod: Document) -> bool:
    """Whether its containers have ended, or are about to."""
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"} or "deletionTimestamp" in pod["metadata"]
