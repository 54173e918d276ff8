"""What every test folder shares: laws are tried alike on every machine; keys of a small mission."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings

from orbitloop_ground.app import open_authority

pytest_plugins = ["tests.control_plane", "tests.postgresql", "tests.s3"]

# No deadline: a loaded machine is not a wrong answer, and pytest-timeout stops what hangs. Derandomised: the same
# commit gives the same result twice.
settings.register_profile("orbitloop", deadline=None, derandomize=True)
settings.load_profile("orbitloop")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of keys, of sat-1, sat-2 and gateways of this machine; not to be changed."""
    folder = tmp_path_factory.mktemp("keys")
    authority = open_authority(folder, timedelta(days=30))
    authority.equip_ground(["127.0.0.1", "localhost"])
    for name in ("sat-1", "sat-2"):
        authority.equip(name)
    return folder
