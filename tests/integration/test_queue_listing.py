"""What waits on board, listed for the pass planner while the spool is in use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orbitloop.domain.traffic import Direction, TrafficClass
from orbitloop.domain.units import Bytes
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop_edge.adapters.spool import DiskSpool
from orbitloop_mission.planner.queue import read_queue


def a_satellite(folder: Path) -> Path:
    config = folder / "satellite.toml"
    config.write_text(
        'satellite = "sat-1"\nfolder = "space"\nkeys = "keys"\n\n'
        '[stations.tongchuan]\ngateway = "https://127.0.0.1:8400"\n'
    )
    return config


def listed(config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from orbitloop_edge.cli import main; sys.exit(main())"]
    return subprocess.run([*command, "queue", "--config", str(config)], capture_output=True, text=True, check=False)


def test_the_planner_reads_what_an_open_spool_holds(tmp_path: Path) -> None:
    config = a_satellite(tmp_path)
    with DiskSpool(tmp_path / "space" / "spool", "sat-1", VirtualClock(LAUNCH), budget=Bytes(2**20)) as spool:
        samples = [a_sample(number)[0] for number in range(3)]
        for number in range(3):
            spool.add(*a_sample(number))
        ran = listed(config)
    assert ran.returncode == 0, ran.stderr
    queue = tmp_path / "queue.json"
    queue.write_text(ran.stdout)
    items = read_queue(queue)
    assert [item.id for item in items] == [sample.id for sample in samples]
    assert [item.created for item in items] == [sample.captured for sample in samples]
    assert {(item.traffic, item.direction) for item in items} == {(TrafficClass.SAMPLES, Direction.DOWN)}
    assert [item.value for item in items] == [sample.value for sample in samples]


def test_a_satellite_that_never_ran_has_no_queue(tmp_path: Path) -> None:
    ran = listed(a_satellite(tmp_path))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "there is no spool; start orbitloop-edge run first" in ran.stderr


def test_a_damaged_index_is_one_clear_error(tmp_path: Path) -> None:
    config = a_satellite(tmp_path)
    (tmp_path / "space" / "spool").mkdir(parents=True)
    (tmp_path / "space" / "spool" / "spool.db").write_bytes(b"no database at all" * 100)
    ran = listed(config)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "which mends it" in ran.stderr
