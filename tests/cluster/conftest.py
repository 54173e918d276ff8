"""One cluster for all of these tests, which use it one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.constellation import Constellation, run_kind

PASSES = "45/15"
"""Seconds in contact and without: three rounds are to see many contacts, and the tests are to end."""


@pytest.fixture(scope="session")
def constellation() -> Iterator[Constellation]:
    """A ground and a satellite; ``ORBITLOOP_KEEP_CLUSTER`` leaves them there, and finds them the next time."""
    folder = Path("build/kind-test")
    yield Constellation.up(folder, "--passes", PASSES, "--picture-every", "4")
    if not os.environ.get("ORBITLOOP_KEEP_CLUSTER"):
        run_kind(folder, "down")
