"""The project's own processes, for the tests that start them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

GROUND = [sys.executable, "-c", "import sys; from orbitloop_ground.cli import main; sys.exit(main())"]
EDGE = [sys.executable, "-m", "orbitloop_edge.cli"]
GENEROUS_S = 90.0


def until(true: Callable[[], bool], what: str) -> None:
    """Wait until it is so; a loaded machine may take its time, and what hangs is told by name."""
    deadline = time.monotonic() + GENEROUS_S
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {GENEROUS_S} s"
        time.sleep(0.1)


def a_free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return int(unused.getsockname()[1])


@contextmanager
def gateway_for_operators(folder: Path, keys: Path, admin: int) -> Iterator[None]:
    """A gateway in ``folder``, with the operators' token in ``folder/token``; killed in the end."""
    command: list[object] = [*GROUND, "serve", "--folder", folder / "ground", "--keys", keys / "ground"]
    command += ["--port", 0, "--admin-port", admin, "--operator-token", folder / "token"]
    log = (folder / "gateway.log").open("ab")
    with log, subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=log) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), "it listens"
            yield
        finally:
            process.kill()
