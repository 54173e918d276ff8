"""A Python for arm64, with what the core needs, on this machine by qemu: ``python -m hack.arm64 [ARGUMENTS]``.

It is unpacked beside the system, in ``~/.cache/orbitloop/arm64``: Debian's packages by an apt of its own lists and
status, so that the system's architectures stay as they are, and the wheels that ``constraints.txt`` pins. The Python
has the version of the one that asks, which must be Debian's there. Filling takes a minute, and 60 MB of network; it
is done once for each set of pins.

    python -m hack.arm64 -c "import platform; print(platform.machine())"   # aarch64
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent.parent
PACKAGES = (
    "annotated-types",
    "numpy",
    "pydantic",
    "pydantic_core",
    "typing-inspection",
    "typing_extensions",
    "zstandard",
)
"""What the core imports and what that brings along."""

_PYTHON = f"python3.{sys.version_info.minor}"
_DEBIAN = (f"{_PYTHON}-minimal", f"lib{_PYTHON}-stdlib", "libstdc++6")
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")


class Missing(Exception):
    """There is no arm64 here; the message says how to get it."""


def pins() -> list[str]:
    """``name==version`` of each package, as ``constraints.txt`` has it."""
    text = (HERE / "constraints.txt").read_text()
    found = {name: re.search(rf"(?m)^{re.escape(name)}==\S+$", text) for name in PACKAGES}
    if unpinned := [name for name, pin in found.items() if pin is None]:
        raise Missing(f"constraints.txt does not pin {', '.join(unpinned)}; correct hack/arm64.py")
    return [pin[0] for pin in found.values() if pin]


def root() -> Path:
    """Where the arm64 system is kept, or would be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    named = hashlib.sha256("\n".join([*_DEBIAN, *pins()]).encode()).hexdigest()[:16]
    return cache / "orbitloop" / "arm64" / named


def fill() -> Path:
    """Fill the cache unless it is filled; returns :func:`root`. Raises :class:`Missing` if that fails."""
    place = root()
    if place.exists():
        return place
    for program, package in {"apt-get": "apt", "dpkg-deb": "dpkg"}.items():
        if not shutil.which(program):
            raise Missing(f"no {program}, which fetches arm64 packages on Debian ({package})")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        whole = Path(scratch) / "root"
        _fetch_system(Path(scratch) / "apt", whole)
        _fetch_wheels(Path(scratch) / "wheels", whole / "site")
        try:
            whole.rename(place)
        except OSError:  # another has been faster
            if not place.exists():
                raise
    return place


def command(*arguments: str) -> list[str]:
    """What runs the arm64 Python with ``arguments``; fills the cache first. Raises :class:`Missing`."""
    qemu = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if qemu is None:
        raise Missing("no qemu-aarch64; on Debian: apt-get install qemu-user-static")
    place = fill()
    return [qemu, "-L", str(place), str(place / "usr/bin" / _PYTHON), *arguments]


def environment(*paths: Path) -> dict[str, str]:
    """The environment for it: no other Python's folders, one thread, ``paths`` before the packages."""
    place = root()
    return {
        "PATH": os.defpath,
        "PYTHONHOME": str(place / "usr"),
        "PYTHONPATH": os.pathsep.join(map(str, [*paths, place / "site"])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _fetch_system(apt: Path, whole: Path) -> None:
    """Debian's packages and all that they depend on, by the system's sources."""
    (apt / "lists/partial").mkdir(parents=True)
    (apt / "cache/archives/partial").mkdir(parents=True)
    (apt / "status").touch()
    told = {
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "true",
        "Dir::Cache": str(apt / "cache"),
        "Dir::State": str(apt),
        "Dir::State::lists": str(apt / "lists"),
        "Dir::State::status": str(apt / "status"),
    }
    options = [part for name, value in told.items() for part in ("-o", f"{name}={value}")]
    updated = _said("apt-get", *options, "-qq", "update")  # a source without arm64 is no matter if the rest have all
    fetched = _said("apt-get", *options, "-qq", "-y", "--download-only", "install", *_DEBIAN)
    archives = sorted((apt / "cache/archives").glob("*.deb"))
    if fetched or not archives:
        why = updated or fetched or "nothing came"
        raise Missing(f"apt cannot fetch {', '.join(_DEBIAN)} for arm64 by the system's sources: {why}")
    whole.mkdir()
    for archive in archives:
        if why := _said("dpkg-deb", "-x", str(archive), str(whole)):
            raise Missing(f"{archive.name} cannot be unpacked: {why}")


def _fetch_wheels(wheels: Path, site: Path) -> None:
    version = ("--python-version", f"3.{sys.version_info.minor}", "--only-binary", ":all:", "--no-deps")
    platforms = [part for name in _PLATFORMS for part in ("--platform", name)]
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
    why = _said(*pip, *version, *platforms, "--dest", str(wheels), *pins())
    if why and len(list(wheels.glob("*.whl"))) < len(PACKAGES):
        raise Missing(f"pip cannot fetch the wheels for aarch64: {why}")
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(site)


def _said(*asked: str) -> str:
    """Runs a program; what it said last if it failed, else nothing."""
    ran = subprocess.run(asked, capture_output=True, text=True, check=False)
    lines = (ran.stderr.strip() or ran.stdout.strip() or "it said nothing").splitlines()
    return lines[-1] if ran.returncode else ""


if __name__ == "__main__":
    try:
        ran = subprocess.run(command(*sys.argv[1:]), env=environment(HERE / "core/src", HERE), check=False)
    except Missing as missing:
        sys.exit(f"arm64: {missing}")
    sys.exit(ran.returncode)
