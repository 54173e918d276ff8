"""A real PostgreSQL for the tests, of Debian's package: its own user, a free port, a folder that goes afterwards."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.pods import free_port

_PACKAGED = "/usr/lib/postgresql"
_OWNER = "postgres"
"""Debian's user for it: PostgreSQL refuses to run as root."""
_QUICK = ("fsync=off", "full_page_writes=off", "unix_socket_directories=", "listen_addresses=127.0.0.1")
_TRIES = 600


class PostgreSQL:
    """A server that runs; ledgers are made in it, and it can be killed and started again."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._data = folder / "data"
        self.port = free_port()
        self._as_owner: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, _OWNER, _OWNER)
            self._as_owner = ["setpriv", f"--reuid={_OWNER}", f"--regid={_OWNER}", "--clear-groups"]
        settings = ["-A", "trust", "-U", _OWNER, "-N", "-E", "UTF8", "--locale=C"]
        made = subprocess.run(
            [*self._as_owner, programs / "initdb", *settings, self._data], capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        told = [word for setting in _QUICK for word in ("-c", setting)]
        place = ["-D", str(self._data), "-p", str(self.port)]
        command = [*self._as_owner, str(self._programs / "postgres"), *place, *told]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        asks = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(_TRIES):
            if subprocess.run(asks, check=False).returncode == 0:
                return
            assert self._server.poll() is None, "PostgreSQL ended as soon as it was started"
            time.sleep(0.05)
        raise AssertionError("PostgreSQL does not answer")

    def kill(self) -> None:
        """End it at once, as a crash does: what was not committed is gone."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(30)

    def database(self) -> str:
        """URL of a place that is empty: a schema of its own, which is made quicker than a database."""
        name = f"test_{secrets.token_hex(8)}"
        self.does(f"CREATE SCHEMA {name}")
        return f"postgresql://{_OWNER}@127.0.0.1:{self.port}/postgres?options=-csearch_path%3D{name}"

    def does(self, statement: str) -> str:
        """What a statement gives, without decoration."""
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", _OWNER, "-d", "postgres"]
        ran = subprocess.run(
            [self._programs / "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", *place, "-c", statement],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()


def _programs() -> Path:
    found = sorted(Path(_PACKAGED).glob("*/bin/initdb"), key=lambda path: int(path.parents[1].name))
    if found:
        return found[-1].parent
    missing = f"no PostgreSQL in {_PACKAGED}; on Debian: apt-get install postgresql"
    if os.environ.get("CI"):
        pytest.fail(f"CI must have it: {missing}")
    pytest.skip(missing)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One server for the session; without Debian's package the test is skipped, except in CI."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="orbitloop-postgresql-") as folder:  # pytest's own are closed to its user
        server = PostgreSQL(programs, Path(folder))
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind that a ledger can be in."""
    if request.param == "SQLite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.database()
