"""One cluster for all of these tests, which use it one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.constellation import Constellation, run_kind

PASSES = "45/15"
"""Seconds in contact and without: three rounds are to see many contacts, and the tests are to end."""

LENIENT = "[canary]\ntolerance = 1.0\n"
"""Rounds are short here: what is learnt in them, and whether it is good enough to fly, is the matter of other tests."""


@pytest.fixture(scope="session")
def constellation() -> Iterator[Constellation]:
    """A ground and a satellite; ``ORBITLOOP_KEEP_CLUSTER`` leaves them there, and finds them the next time."""
    folder = Path("build/kind-test")
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "satellite.toml"
    settings.write_text(LENIENT)
    yield Constellation.up(folder, "--passes", PASSES, "--picture-every", "10", "--settings", str(settings))
    if not os.environ.get("ORBITLOOP_KEEP_CLUSTER"):
        run_kind(folder, "down")
