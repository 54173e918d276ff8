"""The Docker engine, as images need it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Any


class Failed(Exception):
    """It cannot be done; the message says what is wrong and what to do."""


def client() -> str:
    """The path of docker: ``DOCKER``, or the one of the PATH. Raises :class:`Failed`, also if no engine answers."""
    wanted = os.environ.get("DOCKER") or "docker"
    found = shutil.which(wanted)
    if found is None:
        raise Failed(f"there is no {wanted}; install Docker, or name a client of it: DOCKER=/usr/bin/docker")
    ran = subprocess.run([found, "version"], capture_output=True, check=False, text=True)
    if ran.returncode != 0:
        last = (ran.stderr.strip().splitlines() or ["it does not answer"])[-1]
        raise Failed(f"the Docker engine: {last}; start it, or name another client: DOCKER=/usr/bin/docker")
    return found


def identity(docker: str) -> str:
    """What tells an engine from others. Raises :class:`Failed`."""
    ran = subprocess.run([docker, "info", "--format", "{{.ID}}"], capture_output=True, check=False, text=True)
    if ran.returncode != 0:
        raise Failed(f"the Docker engine: {ran.stderr.strip()}; start it")
    return ran.stdout.strip()


def inspect(docker: str, name: str) -> dict[str, Any] | None:
    """What the engine knows of an image; ``None`` if it has none of that name."""
    ran = subprocess.run([docker, "image", "inspect", name], capture_output=True, check=False, text=True)
    if ran.returncode != 0:
        return None
    [found] = json.loads(ran.stdout)
    return dict(found)


def pulled(docker: str, name: str) -> str:
    """The id of an image, which is pulled if the engine has none of that name. Raises :class:`Failed`."""
    found = inspect(docker, name)
    if found is None:
        ran = subprocess.run([docker, "pull", name], capture_output=True, check=False, text=True)
        found = inspect(docker, name)
        if found is None:
            last = (ran.stderr.strip().splitlines() or ["it is not there afterwards"])[-1]
            raise Failed(f"pulling {name}: {last}; where no registry is reached: make images OFFLINE=1")
    return str(found["Id"])


def build(docker: str, arguments: list[str], context: Callable[[IO[bytes]], None]) -> None:
    """Build an image of what ``context`` writes, a tar archive. Raises :class:`Failed` with what was said last."""
    with tempfile.TemporaryFile() as said:
        command = [docker, "build", *arguments, "-"]
        running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT)
        assert running.stdin is not None
        with running, contextlib.suppress(BrokenPipeError):  # it has failed, and says why
            context(running.stdin)
            running.stdin.close()
        said.seek(0)
        words = said.read().decode(errors="replace").strip().splitlines()
    if running.returncode != 0:
        raise Failed("\n".join(["docker build failed:", *words[-20:]]))


@contextlib.contextmanager
def exported(docker: str, name: str) -> Iterator[IO[bytes]]:
    """The files of an image as a stream, a tar archive; what its user may read does not matter."""
    made = subprocess.run([docker, "create", name], capture_output=True, check=False, text=True)
    if made.returncode != 0:
        raise Failed(f"{name}: {made.stderr.strip()}; build it: make images")
    container = made.stdout.strip()
    try:
        with subprocess.Popen([docker, "export", container], stdout=subprocess.PIPE) as running:
            assert running.stdout is not None
            yield running.stdout
    finally:
        subprocess.run([docker, "rm", container], capture_output=True, check=False)
