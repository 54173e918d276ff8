"""Our Local Controller as a process, out of contact with any ground: what workers on a node see of it."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.global_manager import until


@contextmanager
def local_controller(folder: Path, keys: Path) -> Iterator[str]:
    """One that runs, and the URL of its port for workers.

    Args:
        folder: for all that it keeps.
        keys: of a satellite.
    """
    port, nowhere = _free_port(), _free_port()
    config = folder / "satellite.toml"
    config.write_text(
        f'satellite = "sat-1"\nfolder = "state"\nkeys = "{keys}"\n'
        f'[stations.nowhere]\ngateway = "https://127.0.0.1:{nowhere}"\n'
        f'[worker]\ncommand = "none"\n[local_controller]\nport = {port}\n'
    )
    command = [sys.executable, "-m", "orbitloop_edge.cli", "run", "--config", str(config)]
    log = folder / "log"
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as written, subprocess.Popen(command, stdout=written, stderr=written) as process:
        try:
            until(lambda: _answers(url), "the Local Controller answered", log.read_text)
            yield url
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=30) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return int(unused.getsockname()[1])
