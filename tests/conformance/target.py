"""The API server that the implementation under test works on."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PATHS = {
    "Node": "/api/v1/nodes",
    "Namespace": "/api/v1/namespaces",
    "Pod": "/api/v1/namespaces/{0}/pods",
    "Service": "/api/v1/namespaces/{0}/services",
    "ServiceAccount": "/api/v1/namespaces/{0}/serviceaccounts",
    "Secret": "/api/v1/namespaces/{0}/secrets",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v1/namespaces/{0}/horizontalpodautoscalers",
    "Deployment": "/apis/apps/v1/namespaces/{0}/deployments",
    "Dataset": "/apis/sedna.io/v1alpha1/namespaces/{0}/datasets",
    "Model": "/apis/sedna.io/v1alpha1/namespaces/{0}/models",
    "IncrementalLearningJob": "/apis/sedna.io/v1alpha1/namespaces/{0}/incrementallearningjobs",
    "JointInferenceService": "/apis/sedna.io/v1alpha1/namespaces/{0}/jointinferenceservices",
    "FederatedLearningJob": "/apis/sedna.io/v1alpha1/namespaces/{0}/federatedlearningjobs",
    "LifelongLearningJob": "/apis/sedna.io/v1alpha1/namespaces/{0}/lifelonglearningjobs",
    "FeatureExtractionService": "/apis/sedna.io/v1alpha1/namespaces/{0}/featureextractionservices",
    "VideoAnalyticsJob": "/apis/sedna.io/v1alpha1/namespaces/{0}/videoanalyticsjobs",
    "ReidJob": "/apis/sedna.io/v1alpha1/namespaces/{0}/reidjobs",
    "ObjectSearchService": "/apis/sedna.io/v1alpha1/namespaces/{0}/objectsearchservices",
    "ObjectTrackingService": "/apis/sedna.io/v1alpha1/namespaces/{0}/objecttrackingservices",
}
JOBS_AND_SERVICES = tuple(kind for kind in _PATHS if kind.endswith(("Job", "Service")) and kind != "Service")
"""Sedna's kinds whose statuses have conditions."""
_LEFT = ("HorizontalPodAutoscaler", "Deployment", "Service", "Pod", "Dataset", "Model", "Secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An API server by kubectl, and by plain HTTP through ``kubectl proxy``, so that any kubeconfig will do.

    Args:
        kubeconfig: of an administrator.
        proxy: where the proxy answers.
    """

    kubeconfig: Path
    proxy: str

    def kubectl(self, *arguments: str, said: str | None = None) -> str:
        """What kubectl prints; fails with what it complains about."""
        ran = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments],
            input=said,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """The status and the JSON that the API server answers."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(
            f"{self.proxy}{path}", data=data, headers={"Content-Type": kind, **headers}, method=method
        )
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def get(self, path: str) -> Any:
        """What is at ``path``; fails if there is nothing."""
        return self._well(*self.ask("GET", path))

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        """Merge ``body`` into what is at ``path``."""
        self._well(*self.ask("PATCH", path, body))

    def create(self, document: Mapping[str, Any], namespace: str = "") -> Any:
        """Have an object; as it is stored."""
        return self._well(*self.ask("POST", path_of(document["kind"], namespace), document))

    def named(self, kind: str, namespace: str, name: str) -> Any:
        """The object, ``None`` if there is none."""
        status, answer = self.ask("GET", path_of(kind, namespace, name))
        return None if status == 404 else self._well(status, answer)

    def all(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """All objects of a kind, by name."""
        items: list[dict[str, Any]] = self.get(path_of(kind, namespace))["items"]
        return items

    def empty(self, namespace: str) -> None:
        """Delete all that a test, and the implementation, made; then the namespace."""
        for kind in (*JOBS_AND_SERVICES, *_LEFT):
            for one in self.all(kind, namespace):
                path = path_of(kind, namespace, one["metadata"]["name"])
                self.ask("DELETE", f"{path}?gracePeriodSeconds=0")
        self.ask("DELETE", path_of("Namespace", "", namespace))

    @staticmethod
    def _well(status: int, answer: Any) -> Any:
        assert status < 400, answer.get("message", answer)
        return answer


def path_of(kind: str, namespace: str = "", name: str = "") -> str:
    """Where the API server has objects of a kind, or one of them."""
    folder = _PATHS[kind].format(namespace)
    return f"{folder}/{name}" if name else folder


@contextmanager
def proxied(kubeconfig: Path) -> Iterator[Target]:
    """The API server that a kubeconfig names."""
    command = ["kubectl", "--kubeconfig", str(kubeconfig), "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().rpartition(" ")[2].strip()
        assert address, f"kubectl proxy did not start with {kubeconfig}"
        try:
            yield Target(kubeconfig=kubeconfig, proxy=f"http://{address}")
        finally:
            process.kill()
