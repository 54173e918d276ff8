"""The programs that a cluster is made with, and how they are asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from hack import helm
from hack.images.docker import Failed

_INTERNET = "or `make kind-up OFFLINE=1` on Debian, which builds what is missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Paths of the programs, and the environment they run in.

    Args:
        docker, kind, kubectl, helm: paths.
        kubeconfig: file that kind writes the cluster's credentials to, beside those of other clusters.
    """

    docker: str
    kind: str
    kubectl: str
    helm: str
    kubeconfig: Path
    path: str = field(default_factory=lambda: os.environ.get("PATH", ""))

    @classmethod
    def found(cls, told: dict[str, str] | None = None) -> Programs:
        """Those of the environment (``DOCKER``, ``KIND``, ``KUBECTL``, ``HELM``), of ``told``, or of the ``PATH``.

        Raises:
            Failed: one is missing.
        """
        told = told or {}
        places = {name: _place(name, told) for name in ("docker", "kind", "kubectl")}
        try:
            newest = str(helm.find()[-1])
        except helm.Missing as error:
            raise Failed(str(error)) from None
        home = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
        kubeconfig = Path(home) if home else Path.home() / ".kube" / "config"
        return cls(**places, helm=newest, kubeconfig=kubeconfig)

    def run(self, *command: str, given: str | bytes | None = None, seconds: float = 600) -> str:
        """What a command says on its standard output. Raises :class:`Failed` with its last words."""
        data = given.encode() if isinstance(given, str) else given
        try:
            ran = subprocess.run(
                command, input=data, capture_output=True, check=False, timeout=seconds, env=self._environment()
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"{_shown(command)} has not ended after {seconds:.0f} s") from None
        if ran.returncode != 0:
            words = (ran.stderr or ran.stdout).decode(errors="replace").strip().splitlines()
            raise Failed(f"{_shown(command)}: " + (" / ".join(words[-4:]) or f"exit status {ran.returncode}"))
        return ran.stdout.decode(errors="replace")

    def asks(self, *command: str, seconds: float = 60) -> bool:
        """Whether a command succeeds."""
        try:
            self.run(*command, seconds=seconds)
        except Failed:
            return False
        return True

    def kube(self, *arguments: str, given: str | None = None, seconds: float = 600) -> str:
        """What kubectl says."""
        return self.run(self.kubectl, "--context", CONTEXT, *arguments, given=given, seconds=seconds)

    def inside(self, node: str, script: str, *, given: bytes | None = None) -> str:
        """What a shell script says on a node, as root."""
        interactive = () if given is None else ("-i",)
        return self.run(self.docker, "exec", *interactive, node, "sh", "-ec", script, given=given)

    def _environment(self) -> dict[str, str]:
        # kind calls docker by its name.
        first = os.pathsep.join({str(Path(self.docker).parent), str(Path(self.kubectl).parent)})
        return os.environ | {"PATH": f"{first}{os.pathsep}{self.path}", "KUBECONFIG": str(self.kubeconfig)}


CLUSTER = "orbitloop"
CONTEXT = f"kind-{CLUSTER}"
GROUND = f"{CLUSTER}-control-plane"


def check_docker(docker: str) -> None:
    """Raises :class:`Failed` if no Docker engine answers."""
    try:
        ran = subprocess.run([docker, "info"], capture_output=True, check=False, timeout=60, text=True)
    except OSError as error:
        raise Failed(f"{docker}: {error.strerror}; install Docker, {_INTERNET}") from None
    except subprocess.TimeoutExpired:
        raise Failed("the Docker engine does not answer within a minute; restart it") from None
    if ran.returncode != 0:
        last = (ran.stderr.strip().splitlines() or ["it does not answer"])[-1]
        raise Failed(f"the Docker engine: {last}; start it (systemctl start docker), {_INTERNET}")


def _place(name: str, told: dict[str, str]) -> str:
    wanted = os.environ.get(name.upper()) or told.get(name) or name
    found = shutil.which(wanted)
    if found is None:
        raise Failed(f"there is no {wanted}; install {name}, {_INTERNET}")
    return found


def _shown(command: tuple[str, ...]) -> str:
    words = [Path(command[0]).name, *command[1:]]
    return " ".join(words)[:160]
