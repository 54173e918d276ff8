"""Building what changed."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import partial

from hack.images import docker as engine
from hack.images.containerfile import Containerfile
from hack.images.context import NAME, Context
from hack.images.definitions import BASE, ROOT, Image
from hack.images.docker import Failed
from hack.images.wheels import collect

LABEL = "io.orbitloop.inputs"
"""The digest of what an image was built from."""

_BASE_SCRIPT = ROOT / "hack" / "kind-offline" / "build-base-image.sh"
_FROM_ENVIRONMENT = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One image as it lies in the engine; ``size`` in bytes, unpacked."""

    image: Image
    anew: bool
    size: int

    @property
    def fits(self) -> bool:
        """Whether it keeps to its limit."""
        return self.size <= self.image.limit * 1_000_000


def make_base(docker: str) -> None:
    """The base image of Debian's packages, unless it is there. Raises :class:`Failed`."""
    ran = subprocess.run([str(_BASE_SCRIPT), BASE], check=False, env=os.environ | {"DOCKER": docker})
    if ran.returncode != 0:
        raise Failed(f"{BASE} cannot be made, as said above")


def build(docker: str, image: Image, *, base: str | None, offline: bool) -> Built:
    """Build an image, unless the one that is there was made of the same.

    Args:
        docker: path of the client.
        image: which one.
        base: what it is to stand on; by default what its Containerfile says.
        offline: nothing but Debian's packages is reached from inside the build; wheels come from here.

    Raises:
        Failed: with what the builder or pip said last.
    """
    context = Context(root=ROOT, definition=Containerfile.read(ROOT / image.file).needed(image.target))
    given = {name: os.environ[name] for name in _FROM_ENVIRONMENT if os.environ.get(name) and not offline}
    given |= {"PIP_NO_INDEX": "1"} if offline and not image.debian else {}
    given |= {"BASE_IMAGE": base} if base else {}
    digest = context.digest(given | {"base": engine.pulled(docker, base or context.definition.base())})
    found = engine.inspect(docker, image.name)
    if found is not None and (found["Config"]["Labels"] or {}).get(LABEL) == digest:
        return Built(image=image, anew=False, size=found["Size"])
    wheels = collect(context, ROOT / "build" / "images" / "wheels") if offline and not image.debian else None
    arguments = ["--file", NAME, "--target", image.target, "--tag", image.name, "--label", f"{LABEL}={digest}"]
    arguments += [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
    # Debian's packages are reached as this machine reaches them.
    arguments += ["--network", "host" if image.debian else "none" if offline else "default"]
    engine.build(docker, arguments, partial(context.write, wheels=wheels))
    made = engine.inspect(docker, image.name)
    if made is None:
        raise Failed(f"{image.name} was built and is not there; is the builder's output loaded into this engine?")
    return Built(image=image, anew=True, size=made["Size"])
