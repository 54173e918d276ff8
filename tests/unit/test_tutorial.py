"""What the tutorial of the live link tells people to write is taken by the programs that read it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from orbitloop.adapters.plans import read_plan
from orbitloop_edge.satellite_file import Layer, SatelliteFile, read_satellite_file
from orbitloop_ground.settings import GroundSettings

TUTORIAL = (Path(__file__).parents[2] / "docs" / "tutorial" / "live-link.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", TUTORIAL, flags=re.MULTILINE | re.DOTALL)
HEREDOC = r"(.*?)^END$"


def written(folder: Path, name: str) -> Path:
    """The file that the tutorial has people write under ``name``."""
    (text,) = re.findall(rf"^cat > {name} <<'END'\n{HEREDOC}", TUTORIAL, flags=re.MULTILINE | re.DOTALL)
    path = folder / name
    path.write_text(text)
    return path


def edited(path: Path, command: str) -> SatelliteFile:
    """The satellite's file after a ``sed`` of the tutorial."""
    subprocess.run(["bash", "-c", command], cwd=path.parent, check=True)
    return read_satellite_file(path)


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0][:40] for block in BLOCKS])
def test_every_block_is_a_shell_script(block: str) -> None:
    if "<this repository>" not in block:
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def test_the_gateway_takes_its_file(tmp_path: Path) -> None:
    settings = GroundSettings.read(written(tmp_path, "ground.toml"), {})
    assert settings.keys == tmp_path / "keys/ground"
    assert settings.datagram_port == 8402


def test_the_satellite_takes_its_file_and_every_change_of_it(tmp_path: Path) -> None:
    path = written(tmp_path, "satellite.toml")
    seds = [line for line in TUTORIAL.splitlines() if line.startswith("sed ")]
    told = [read_satellite_file(path), *(edited(path, sed) for sed in seds)]
    assert [each.layer for each in told] == [Layer.AUTO, Layer.HTTP, Layer.DATAGRAMS]
    assert [each.contacts.plan for each in told] == [None, None, tmp_path / "passes.csv"]


def test_the_plan_that_people_write_is_of_a_station_that_the_satellite_knows(tmp_path: Path) -> None:
    (script,) = re.findall(rf"^python - > passes.csv <<'END'\n{HEREDOC}", TUTORIAL, flags=re.MULTILINE | re.DOTALL)
    made = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, check=True).stdout
    (tmp_path / "passes.csv").write_text(made)
    stations = read_satellite_file(written(tmp_path, "satellite.toml")).stations
    windows = read_plan(tmp_path / "passes.csv")
    assert len(windows) == 3
    assert {window.station for window in windows} == set(stations)
