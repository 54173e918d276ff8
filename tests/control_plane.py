"""A real kube-apiserver for the tests that need one; each pytest process starts its own."""

import json
import os
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hack.control_plane.binaries import Missing, find
from hack.control_plane.cluster import ControlPlane


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A control plane, and kubectl on it."""

    plane: ControlPlane

    def kubectl(self, *arguments: str, said: str | None = None) -> str:
        """What kubectl prints; fails with what it complains about."""
        ran = self.try_kubectl(*arguments, said=said)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def try_kubectl(self, *arguments: str, said: str | None = None) -> subprocess.CompletedProcess[str]:
        """kubectl with ``said`` on its standard input."""
        return subprocess.run(
            ["kubectl", "--kubeconfig", str(self.plane.kubeconfig), *arguments],
            input=said,
            capture_output=True,
            text=True,
            check=False,
        )

    def get(self, path: str) -> Any:
        """What is at ``path``."""
        return json.loads(self._ask("GET", path))

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        """Merge ``body`` into what is at ``path``; for statuses, which kubectl of this age does not write."""
        self._ask("PATCH", path, json.dumps(body).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        config = json.loads(self.plane.kubeconfig.read_text())
        token = config["users"][0]["user"]["token"]
        context = ssl.create_default_context(cafile=config["clusters"][0]["cluster"]["certificate-authority"])
        context.check_hostname = False
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
        asked = urllib.request.Request(f"{self.plane.url}{path}", data=body, headers=headers, method=method)
        with urllib.request.urlopen(asked, context=context, timeout=30) as answer:
            return bytes(answer.read())


@contextmanager
def control_plane(folder: Path, *, controllers: bool = False) -> Iterator[Cluster]:
    """A control plane in ``folder``, with or without controllers; where there is none to start the test is skipped."""
    try:
        binaries = find()
        if controllers and binaries.controller_manager is None:
            raise Missing("there is no kube-controller-manager")
    except Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have a control plane: {missing}")
        pytest.skip(str(missing))
    plane = ControlPlane.make(folder, binaries)
    try:
        plane.start(controller_manager=controllers)
        yield Cluster(plane=plane)
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The control plane that tests of one process share."""
    with control_plane(tmp_path_factory.mktemp("control-plane")) as started:
        yield started


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One with the controllers that collect what has lost its owner or its namespace, and with our kinds."""
    with control_plane(tmp_path_factory.mktemp("controlled"), controllers=True) as started:
        started.kubectl("apply", "-f", str(Path(__file__).parents[1] / "crds"))
        started.kubectl("wait", "--for=condition=Established", "crd/datasets.sedna.io", "--timeout=30s")
        yield started
