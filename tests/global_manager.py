"""The Global Manager as a process, and a node that carries pods out on paper, for the tests that need them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from tests.control_plane import Cluster

PATIENCE_S = 60.0
BETWEEN_LOOKS_S = 0.03


def until(holds: Callable[[], bool], what: str, why: Callable[[], str] = str) -> None:
    """Wait until it holds; a loaded machine may take its time, and what hangs is told by name."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"it never came to pass that {what}\n{why()}"
        time.sleep(BETWEEN_LOOKS_S)


@dataclass(slots=True, kw_only=True)
class GlobalManager:
    """One process.

    Args:
        arguments: of ``orbitloop-operators run``.
        log: where its standard error goes.
    """

    arguments: tuple[str, ...]
    log: Path
    process: subprocess.Popen[str] | None = None
    port: int = 0

    def start(self) -> None:
        """Start it; it answers probes from now on."""
        command = [sys.executable, "-m", "orbitloop_operators", "run", "--probes-port", "0", *self.arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        self.port = json.loads(_pipe(self.process.stdout).readline())["probes_port"]

    def is_ready(self) -> bool:
        """What its probe says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=30) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            return False

    def metrics(self) -> str:
        """What it counts."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            return str(answer.read().decode())

    def kill(self) -> None:
        """As a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def end(self) -> int:
        """As Kubernetes ends a pod; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.process = None
        return status


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextmanager
def global_manager(cluster: Cluster, folder: Path, *arguments: str) -> Iterator[GlobalManager]:
    """One that runs, in a namespace for its lease alone."""
    made = GlobalManager(
        arguments=("--kubeconfig", str(cluster.plane.kubeconfig), "--lease-namespace", "default", *arguments),
        log=folder / "operators.log",
    )
    made.start()
    try:
        yield made
    finally:
        made.kill()


class Asked(Protocol):
    """An API server."""

    def kubectl(self, *arguments: str, said: str | None = None) -> str:
        """What kubectl prints."""

    def get(self, path: str) -> Any:
        """What is at ``path``."""

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        """Merge ``body`` into what is at ``path``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubelet:
    """Says of pods what a node would say, in one namespace."""

    cluster: Asked
    namespace: str

    def pods(self) -> list[dict[str, Any]]:
        """All pods, by name."""
        found: list[dict[str, Any]] = json.loads(
            self.cluster.kubectl("-n", self.namespace, "get", "pods", "-o", "json")
        )["items"]
        return found

    def runs(self, name: str) -> None:
        """The pod's containers run."""
        running = {"startedAt": _now()}
        self._say(name, "Running", {"running": running})

    def ends(self, name: str, *, code: int = 0, message: str = "") -> None:
        """The pod's first container ended so."""
        reason = "Completed" if code == 0 else "Error"
        ended = {"exitCode": code, "reason": reason, "message": message, "startedAt": _now(), "finishedAt": _now()}
        self._say(name, "Failed" if code else "Succeeded", {"terminated": ended})

    def waits(self, name: str, reason: str, message: str = "") -> None:
        """The pod cannot start."""
        self._say(name, "Pending", {"waiting": {"reason": reason, "message": message}})

    def _say(self, name: str, phase: str, state: dict[str, Any]) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}"
        pod = self.cluster.get(path)
        statuses = [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": "running" in state,
                "restartCount": 0,
                "state": state,
            }
            for container in pod["spec"]["containers"]
        ]
        # No kubectl of this age patches a status, so the API server is asked itself.
        self.cluster.patch(f"{path}/status", {"status": {"phase": phase, "containerStatuses": statuses}})


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
