"""A delta makes the same bits on the satellite's arm64 as on the ground's x86-64, to which it is compared by digest."""

from __future__ import annotations

import base64
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hack import arm64
from tests import exact_arithmetic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first fills a cache from the network

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def on_arm64() -> Run:
    try:
        arm64.command()
    except arm64.Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have arm64: {missing}")
        pytest.skip(str(missing))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        asked = [sys.executable, "-m", "hack.arm64", *arguments]
        return subprocess.run(asked, capture_output=True, text=True, check=False)

    return run


def test_it_is_another_processor_with_the_pinned_packages(on_arm64: Run) -> None:
    ran = on_arm64("-c", "import numpy, platform; print(platform.machine(), numpy.__version__, numpy.__file__)")
    assert ran.returncode == 0, ran.stderr
    machine, version, file = ran.stdout.split()
    assert machine == "aarch64"
    assert f"numpy=={version}" in arm64.pins()
    assert Path(file).is_relative_to(arm64.root())


@pytest.mark.parametrize("script", ["tests.exact_arithmetic", "tests.golden_delta"])
def test_what_is_stored_comes_out_to_the_bit(script: str, on_arm64: Run) -> None:
    ran = on_arm64("-m", script)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_ground_makes_the_same() -> None:
    assert exact_arithmetic.differing() == [], f"on {platform.machine()}"


def test_a_bit_that_differs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = json.loads(exact_arithmetic.GOLDEN.read_text())
    golden["digests"]["shift on weights"] = 64 * "0"
    golden["streams"]["zstd"] = base64.b85encode(zstandard.compress(b"another text")).decode()
    (tmp_path / "damaged.json").write_text(json.dumps(golden))
    monkeypatch.setattr(exact_arithmetic, "GOLDEN", tmp_path / "damaged.json")
    assert exact_arithmetic.differing() == ["shift on weights", "zstd"]
