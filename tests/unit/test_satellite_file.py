"""satellite.toml: strict, and refused with one line that says where."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from orbitloop.domain.errors import BadInput
from orbitloop.domain.samples import Reason
from orbitloop_edge.cli import main
from orbitloop_edge.satellite_file import Layer, SatelliteFile, read_satellite_file

LEAST = """
satellite = "sat-1"
folder = "state"
keys = "/keys"
[stations.here]
gateway = "https://10.0.0.1:8400"
"""


def read(folder: Path, text: str) -> SatelliteFile:
    path = folder / "satellite.toml"
    path.write_text(text)
    return read_satellite_file(path)


def test_paths_count_from_the_file_and_the_rest_has_defaults(tmp_path: Path) -> None:
    file = read(tmp_path, LEAST)
    assert (file.folder, file.keys) == (tmp_path / "state", Path("/keys"))
    assert file.worker.frames == tmp_path / "frames"
    assert file.layer is Layer.AUTO
    assert file.contacts.plan is None
    assert file.cfdp is None
    assert file.local_controller is None
    assert file.rhythm().interval == timedelta(seconds=60)


def test_the_link_becomes_a_policy(tmp_path: Path) -> None:
    text = "[link]\ndownlink_bits_per_second = 5_000\ndoubling_hours = 12\n[link.priorities]\naudit = 300\n"
    policy = read(tmp_path, LEAST + text).link.policy()
    assert (policy.downlink, policy.doubling) == (5_000, timedelta(hours=12))
    assert policy.factor(Reason.AUDIT) == 3.0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("satellite = ", "cannot be read as TOML"),
        ('satellite = "sat-1"', "Field required"),
        (LEAST + "antenna = 1", "antenna"),
        (LEAST.replace("https", "http"), "write https://host:port"),
        (LEAST + 'datagrams = "10.0.0.1"', "write host:port"),
        (LEAST + "[worker]\ncommand = 'other'", "worker.command"),
        (LEAST + "[worker]\ncommand = []", "worker.command"),
        (LEAST + "[mining]\nrule = 'Guess'", "hardExampleMining"),
        (LEAST + "[link.priorities]\nnone = 200", "link.priorities.none"),
        (LEAST + "[link]\nquality = 0", "quality 0"),
        (LEAST + "[link]\ninterface = ''", "link.interface: .* is no network interface"),
        (LEAST + "[link]\ninterface = 'eth 1'", "is no network interface"),
        (LEAST + "[link]\ninterface = 'a-name-of-16-let'", "is no network interface"),
        (LEAST + "[contacts]\npoll_seconds = 0", "contacts.poll_seconds"),
        (LEAST + "[cfdp]\nentity = 2\nlisten = '10.0.0.2:7002'\nremotes = {}", "cfdp.remotes"),
        (LEAST + "[cfdp]\nentity = 2\nlisten = '10.0.0.2:7002'\nremotes = { 1 = '10.0.0.1' }", "write host:port"),
        (LEAST + "[cfdp]\nentity = 2\nlisten = '7002'\nremotes = { 1 = '10.0.0.1:7001' }", "write host:port"),
        (LEAST + "[cfdp]\nentity = 2\nlisten = '10.0.0.2:7002'\nremotes = { a = '10.0.0.1:7001' }", "cfdp.remotes"),
        (LEAST + "[local_controller]\nport = 65536", "local_controller.port"),
        (LEAST + "[local_controller]\nmode = 'lenient'", "local_controller.mode: .*'compat' or 'strict'"),
        (LEAST + "[local_controller]\nroot = 'rootfs'", "local_controller.root: .* is no absolute path"),
        (LEAST + "[local_controller]\nmodel_folders = ['/a/../b']", "model_folders.0: .* is no absolute path"),
        (LEAST + "[local_controller]\npoll_seconds = 0", "local_controller.poll_seconds"),
        ('layer = "datagrams"\n' + LEAST, "stations.here has no address"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why) as refused:
        read(tmp_path, text)
    assert str(tmp_path / "satellite.toml") in str(refused.value)


def test_the_command_line_says_it_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--config", str(tmp_path / "none.toml")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("orbitloop-edge: ")
    assert said.count("\n") == 1
    read(tmp_path, LEAST)
    assert main(["status", "--config", str(tmp_path / "satellite.toml")]) == 2
    assert "start orbitloop-edge run first" in capsys.readouterr().err
