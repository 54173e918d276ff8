"""Where the binaries come from: ``KUBEBUILDER_ASSETS``, as everywhere, or a cache that fills from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).parents[1] / "kind-offline" / "build-binaries.sh"
"""All that a kind cluster needs comes of the same build, so that one machine pays for it once."""


class Missing(Exception):
    """A binary is not there; the message says how to get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """Paths of the programs; the controller manager may be absent."""

    etcd: Path
    apiserver: Path
    controller_manager: Path | None


def cache() -> Path:
    """The folder that the build fills, for this version of it; whole if it is there."""
    said = subprocess.run([str(_SCRIPT), "--where"], capture_output=True, text=True, check=True)
    return Path(said.stdout.rstrip("\n"))


def find() -> Binaries:
    """The binaries that are there. Raises :class:`Missing`."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    folder = Path(assets) if assets else cache()
    apiserver = folder / "kube-apiserver"
    beside = folder / "etcd"
    etcd = str(beside) if beside.exists() else shutil.which("etcd")
    if not apiserver.exists():
        remedy = "correct KUBEBUILDER_ASSETS" if assets else "run `make control-plane`, or set KUBEBUILDER_ASSETS"
        raise Missing(f"no kube-apiserver in {folder}; {remedy}")
    if etcd is None:
        raise Missing(f"no etcd in {folder} nor on the PATH; on Debian: apt-get install etcd-server")
    manager = folder / "kube-controller-manager"
    return Binaries(etcd=Path(etcd), apiserver=apiserver, controller_manager=manager if manager.exists() else None)


def build() -> None:
    """Fill the cache, unless it is full or ``KUBEBUILDER_ASSETS`` is set. Raises :class:`Missing` if that fails."""
    if os.environ.get("KUBEBUILDER_ASSETS"):
        return
    try:
        subprocess.run([str(_SCRIPT)], check=True)
    except subprocess.CalledProcessError:
        raise Missing("building the control plane failed, as said above; or set KUBEBUILDER_ASSETS") from None
