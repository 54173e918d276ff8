"""etcd and kube-apiserver as processes, each on a port that was free, in a folder of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hack.control_plane.binaries import Binaries

_TOKEN = "orbitloop-admin"  # noqa: S105 - of a server on the loopback interface that lives as long as a test
_READY_S = 60.0
_GRACE_S = 2.0
"""An API server with open watches would take its time."""


class Failed(Exception):
    """A process of the control plane did not start; the message has the end of its log."""


@dataclass(slots=True, kw_only=True, eq=False)
class ControlPlane:
    """A control plane in ``folder``; start it, and stop it.

    Args:
        folder: etcd's data, certificates, logs and ``kubeconfig``; made if missing.
        port: of the API server; stays the same when it is stopped and started again.
    """

    folder: Path
    binaries: Binaries
    port: int
    processes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, binaries: Binaries) -> ControlPlane:
        """One that does not run yet, on a free port."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder=folder.resolve(), binaries=binaries, port=_free_port())

    @classmethod
    def started(cls, folder: Path, binaries: Binaries) -> ControlPlane | None:
        """The one that was started in ``folder`` and not stopped; some of its processes may be dead."""
        try:
            told = json.loads((folder / "processes.json").read_text())
        except FileNotFoundError:
            return None
        return cls(folder=folder.resolve(), binaries=binaries, port=told["port"], processes=told["processes"])

    @property
    def whole(self) -> bool:
        """Whether every process that was started still runs."""
        return all(_runs(pid, name) for name, pid in self.processes.items())

    @property
    def kubeconfig(self) -> Path:
        """For kubectl and clients, as an administrator."""
        return self.folder / "kubeconfig"

    @property
    def url(self) -> str:
        """Of the API server."""
        return f"https://127.0.0.1:{self.port}"

    def start(self, *, controller_manager: bool = False) -> None:
        """Start all of it, and wait until it answers. Raises :class:`Failed`."""
        _write_key(self.folder / "accounts.key")
        (self.folder / "tokens.csv").write_text(f"{_TOKEN},admin,admin,system:masters\n")
        clients, peers = _free_port(), _free_port()
        self._spawn(
            "etcd",
            self.binaries.etcd,
            "--data-dir", str(self.folder / "etcd"),
            "--listen-client-urls", f"http://127.0.0.1:{clients}",
            "--advertise-client-urls", f"http://127.0.0.1:{clients}",
            "--listen-peer-urls", f"http://127.0.0.1:{peers}",
            "--unsafe-no-fsync",
        )  # fmt: skip
        (self.folder / "etcd.url").write_text(f"http://127.0.0.1:{clients}")
        self.start_api()
        if controller_manager:
            self._start_controller_manager()

    def start_api(self) -> None:
        """Start the API server alone, on the port and data that it had. Raises :class:`Failed`."""
        accounts = str(self.folder / "accounts.key")
        self._spawn(
            "kube-apiserver",
            self.binaries.apiserver,
            f"--etcd-servers={(self.folder / 'etcd.url').read_text()}",
            f"--secure-port={self.port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self.folder / 'certificates'}",
            f"--service-account-key-file={accounts}",
            f"--service-account-signing-key-file={accounts}",
            "--service-account-issuer=https://orbitloop.invalid",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged",
        )
        self._wait_until_ready()
        self._write_kubeconfig()

    def stop_api(self) -> None:
        """End the API server alone."""
        self._end("kube-apiserver")

    def stop(self) -> None:
        """End what was started, the last first; idempotent."""
        for name in reversed(list(self.processes)):
            self._end(name)
        (self.folder / "processes.json").unlink(missing_ok=True)

    def _start_controller_manager(self) -> None:
        if self.binaries.controller_manager is None:
            raise Failed("there is no kube-controller-manager beside kube-apiserver")
        self._spawn(
            "kube-controller-manager",
            self.binaries.controller_manager,
            f"--kubeconfig={self.kubeconfig}",
            f"--service-account-private-key-file={self.folder / 'accounts.key'}",
            f"--root-ca-file={self.folder / 'certificates' / 'apiserver.crt'}",
            f"--cert-dir={self.folder / 'manager'}",
            "--secure-port=0",
            "--port=0",
            "--leader-elect=false",
            "--use-service-account-credentials=false",
            "--controllers=namespace,garbagecollector,deployment,replicaset,serviceaccount,serviceaccount-token",
        )

    def _spawn(self, name: str, program: Path, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(program), *arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd=self.folder,
            )
        self.processes[name] = process.pid
        (self.folder / "processes.json").write_text(json.dumps({"port": self.port, "processes": self.processes}))

    def _end(self, name: str) -> None:
        pid = self.processes.pop(name, None)
        if pid is None or not _runs(pid, name):
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        while _runs(pid, name):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def _wait_until_ready(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # its certificate is being made; it is pinned in the kubeconfig afterwards
        asked = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {_TOKEN}"})
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and self.whole:
            try:
                with urllib.request.urlopen(asked, context=context, timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise Failed("\n".join(self._tail(name) for name in ("etcd", "kube-apiserver")))

    def _tail(self, name: str) -> str:
        log = self.folder / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
        return f"{name} did not start; the end of {log}:\n" + "\n".join(lines)

    def _write_kubeconfig(self) -> None:
        authority = str(self.folder / "certificates" / "apiserver.crt")
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": {"server": self.url, "certificate-authority": authority}}],
            "users": [{"name": "admin", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "admin"}}],
            "current-context": "local",
        }
        self.kubeconfig.write_text(json.dumps(config, indent=2))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _runs(pid: int, name: str) -> bool:
    """Whether ``pid`` is alive, no zombie, and still the program ``name``."""
    with contextlib.suppress(ChildProcessError):  # another process may have started it
        os.waitpid(pid, os.WNOHANG)
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    command, _, rest = status.rpartition(")")
    return command.partition("(")[2] == name[:15] and rest.split()[0] != "Z"


def _write_key(path: Path) -> None:
    if path.exists():
        return
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
