"""The third example, by the commands of its README: what comes down by a fitted logic is worth more than what just
comes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.domain.tiling import PAD

ROOT = Path(__file__).parents[2]
EXAMPLE = Path("examples/3-selection-logic")
sys.path.append(str(ROOT / EXAMPLE))

from scenes import SIDE, frames, picture, share_of_value, value_of_stream  # noqa: E402 - of the example


def commands() -> list[str]:
    [block] = re.findall(r"```\n(export .*?)```", (ROOT / EXAMPLE / "README.md").read_text(), re.DOTALL)
    lines = block.replace("\\\n", " ").strip().splitlines()
    return [line.replace(".venv/bin/", f"{Path(sys.executable).parent}/") for line in lines]


def shell(command: str, work: Path) -> None:
    environment = os.environ | {"WORK": str(work)}
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def flown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all of it has been done."""
    work = tmp_path_factory.mktemp("work")
    export, *rest = commands()
    assert export == "export WORK=$PWD/build/ships"
    for command in rest:
        shell(command, work)
    return work


def result(work: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((work / "flight" / "result.json").read_text())
    return told


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_pass_by_a_fitted_logic_brings_more_of_value_than_a_bent_pipe_does_on_average(flown: Path) -> None:
    told = result(flown)
    assert 0 < told["fitted"]["valuable"] <= told["fitted"]["crossed"]
    assert told["bent_pipe"]["crossed"] > 0
    if told["looked"] > len(frames()) / 3:  # a machine with much else to do sends frames on without a look
        assert told["fitted"]["density"] > told["share_of_value"] > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_came_down_was_sent_by_the_logic_that_was_fitted(flown: Path) -> None:
    logic = digest_of((flown / "logic" / "selection.ols").read_bytes())
    products = result(flown)["products"]
    names = {frame.name for frame in frames()}
    assert products
    assert {each["logic"] for each in products} == {logic}
    assert {each["frame"] for each in products} <= names


def test_the_bytes_of_a_stream_are_worth_what_of_its_frames_has_arrived() -> None:
    first, *rest = frames()
    assert picture(first.png).shape == (SIDE, SIDE, 3)
    assert value_of_stream([first, *rest], 0) == 0
    assert value_of_stream([first, *rest], len(first.png)) == pytest.approx(first.valuable)
    assert value_of_stream([first], 10**9) == pytest.approx(first.valuable)
    assert 0 < first.valuable < len(first.png)


def test_what_is_grey_was_not_sent_and_counts_as_nothing() -> None:
    truth = np.array([[True, False]])
    pixels = np.random.default_rng(0).integers(0, 255, (32, 64, 3)).astype(np.uint8)
    assert 0.4 < share_of_value(pixels, truth) < 0.6
    pixels[:, 32:] = PAD
    assert share_of_value(pixels, truth) == 1.0
