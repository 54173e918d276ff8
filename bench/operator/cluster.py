"""A control plane of the benchmark's own, requests to it, and what it counts."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from hack.control_plane.binaries import find
from hack.control_plane.cluster import ControlPlane

_PLURALS = {
    "Namespace": "namespaces",
    "Node": "nodes",
    "ServiceAccount": "serviceaccounts",
    "Model": "models",
    "Satellite": "satellites",
    "Dataset": "datasets",
    "IncrementalLearningJob": "incrementallearningjobs",
    "CustomResourceDefinition": "customresourcedefinitions",
}
_CLUSTER_WIDE = {"Namespace", "Node", "CustomResourceDefinition"}


@dataclass(slots=True, kw_only=True)
class Api:
    """Requests to one API server."""

    plane: ControlPlane
    pool: urllib3.PoolManager
    token: str

    @classmethod
    def of(cls, plane: ControlPlane) -> Api:
        """As the administrator."""
        config = json.loads(plane.kubeconfig.read_text())
        authority = config["clusters"][0]["cluster"]["certificate-authority"]
        context = ssl.create_default_context(cafile=authority)
        context.check_hostname = False
        pool = urllib3.PoolManager(ssl_context=context, maxsize=16, assert_hostname=False)
        return cls(plane=plane, pool=pool, token=config["users"][0]["user"]["token"])

    def ask(self, verb: str, path: str, body: Mapping[str, Any] | None = None, **more: str) -> bytes:
        """The answer's body. Raises ``RuntimeError`` for anything but success."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": more.get("type", "application/json")}
        answer = self.pool.request(
            verb, f"{self.plane.url}{path}", body=json.dumps(body) if body else None, headers=headers
        )
        if answer.status >= 300:
            raise RuntimeError(f"{verb} {path}: {answer.status} {answer.data[:300]!r}")
        return answer.data

    def create(self, document: Mapping[str, Any]) -> None:
        """Have one object exist."""
        self.ask("POST", collection(document), document)

    def requests(self) -> float:
        """How many the API server has answered, its own left out as far as it says."""
        text = self.ask("GET", "/metrics").decode()
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("apiserver_request_total{")
        )

    def watch(self, path: str) -> Iterator[dict[str, Any]]:
        """Events of a collection as they come, for ever."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = self.pool.request("GET", f"{self.plane.url}{path}?watch=true", headers=headers, preload_content=False)
        rest = b""
        for chunk in answer.stream(2**16, decode_content=True):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from map(json.loads, lines)


def collection(document: Mapping[str, Any]) -> str:
    """Path of the collection that an object belongs to."""
    version, kind = document["apiVersion"], document["kind"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    within = "" if kind in _CLUSTER_WIDE else f"/namespaces/{document['metadata']['namespace']}"
    return f"{root}{within}/{_PLURALS[kind]}"


@contextlib.contextmanager
def control_plane(folder: Path) -> Iterator[Api]:
    """A fresh one, with our kinds."""
    import yaml

    plane = ControlPlane.make(folder, find())
    try:
        plane.start()
        api = Api.of(plane)
        for path in sorted(Path("crds").glob("*.yaml")):
            api.create(yaml.safe_load(path.read_text()))
        _wait_until_served(api)
        yield api
    finally:
        plane.stop()


def _wait_until_served(api: Api) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            api.ask("GET", "/apis/sedna.io/v1alpha1/incrementallearningjobs")
            api.ask("GET", "/apis/orbitloop.io/v1alpha1/satellites")
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


@dataclass(slots=True)
class FirstConditions:
    """When each job got its first condition, by the observer's clock."""

    api: Api
    path: str
    at: dict[str, float] = field(default_factory=dict)
    conditions: dict[str, int] = field(default_factory=dict)
    stages: dict[str, tuple[str, str]] = field(default_factory=dict)

    def start(self) -> None:
        """Watch in a thread that ends with the process, or with the API server."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
            for event in self.api.watch(self.path):
                self._take(event["object"])

    def _take(self, job: dict[str, Any]) -> None:
        conditions = (job.get("status") or {}).get("conditions")
        if not conditions:
            return
        name = job["metadata"]["name"]
        self.at.setdefault(name, time.monotonic())
        self.conditions[name] = len(conditions)
        self.stages[name] = (conditions[-1]["stage"], conditions[-1]["type"])
