"""Wheels for a builder that reaches no package index: collected by this machine's pip, kept below ``build/``."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hack.images.context import Context
from hack.images.docker import Failed

PYTHON = (3, 11)
"""The version on the base that is made of Debian's packages; wheels are made for one version."""


def collect(context: Context, folder: Path) -> Path:
    """The folder below ``folder`` that holds what a context's packages need; filled if they need other than last time.

    Raises:
        Failed: no Python of the right version here, or pip cannot get what is needed.
    """
    packages = [Path(requirement.split("[")[0]) for requirement in context.definition.requirements()]
    inputs = ["constraints.txt", *(str(package / "pyproject.toml") for package in packages)]
    key = hashlib.sha256(repr(context.definition.requirements()).encode())
    for name in inputs:
        key.update((context.root / name).read_bytes())
    whose = "+".join(dict.fromkeys(package.name for package in packages))
    found = folder / f"{whose}-{key.hexdigest()[:16]}"
    if not found.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{whose}-*"):
            shutil.rmtree(old)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _fill(context, Path(scratch)).rename(found)
    return found


def _fill(context: Context, scratch: Path) -> Path:
    """Collect beside a copy of the sources: building leaves files in them. Our own packages are left out."""
    sources, filled = scratch / "sources", scratch / "wheels"
    for name, path in context.files():
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, sources / name)
    command = [
        _python(),
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--constraint",
        "constraints.txt",
        "--wheel-dir",
        str(filled),
    ]
    requirements = [*context.definition.requirements(), "setuptools"]
    ran = subprocess.run([*command, *requirements], cwd=sources, capture_output=True, check=False, text=True)
    if ran.returncode != 0:
        raise Failed("\n".join(["pip cannot collect wheels:", *ran.stderr.strip().splitlines()[-8:]]))
    for own in filled.glob("orbitloop*.whl"):
        own.unlink()
    return filled


def _python() -> str:
    """A Python with pip, of the version that wheels are for."""
    version = ".".join(map(str, PYTHON))
    found = sys.executable if sys.version_info[:2] == PYTHON else shutil.which(f"python{version}")
    if found is None:
        raise Failed(f"wheels for the base image take Python {version} here: apt-get install python{version}-venv")
    return found
