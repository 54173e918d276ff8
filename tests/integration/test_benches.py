"""The benches at a small scale: they run, their figures make sense, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.control_plane import Cluster

pytestmark = pytest.mark.timeout(400)

as_root = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/net/tun").exists(), reason="network namespaces and TUN devices need root"
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_few_faults_lose_double_and_block_nothing(tmp_path: Path) -> None:
    out = tmp_path / "chaos.json"
    ran = run(
        "bench.chaos",
        *("--faults", "16", "--per-world", "8", "--worlds", "2", "--seed", "11"),
        *("--folder", str(tmp_path / "worlds"), "--out", str(out)),
    )
    assert ran.returncode == 0, ran.stderr[-3_000:]
    found = json.loads(out.read_text())
    assert found["faults"] == 16
    assert [found[what] for what in ("lost", "duplicated", "invented", "stuck", "wrong_models")] == [0] * 5
    assert found["made"] > 0
    assert {world["layer"] for world in found["worlds"]} == {"http", "datagrams"}


@pytest.mark.slow
@as_root
@pytest.mark.parametrize("who", ["datagrams", "https", "http", "tus", "cfdp"])
def test_a_recorded_pass_is_replayed_for_us_and_for_every_peer(who: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    seconds = [(2_000, 40)] * 6 + [(0, 0)] * 2 + [(2_000, 20)] * 3
    rows = (f"{second},{frames},{bad}" for second, (frames, bad) in enumerate(seconds))
    trace.write_text("\n".join(["second,frames,bad_frames", *rows]) + "\n")
    ran = run("bench.link.replay", who, "--trace", str(trace), "--folder", str(tmp_path))
    assert ran.returncode == 0, ran.stderr[-3_000:]
    found = json.loads(ran.stdout)
    assert found["offered"] == sum(frames - bad for frames, bad in seconds) * 1_008
    assert 0 < found["acknowledged"] < found["delivered"] <= found["offered"]


@pytest.mark.slow
def test_a_few_jobs_are_measured_beside_the_api_server_alone(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.plane.whole  # or there are no binaries, and the fixture has said so
    out = tmp_path / "operator.json"
    ran = run(
        "bench.operator",
        *("--jobs", "5", "--satellites", "2", "--idle", "3", "--folder", str(tmp_path / "planes"), "--out", str(out)),
    )
    assert ran.returncode == 0, ran.stderr[-3_000:]
    found = json.loads(out.read_text())
    (scale,) = found["scale"]
    assert scale["jobs"] == 5
    assert 0 < scale["api_server_p50_s"] <= scale["api_server_p99_s"]
    assert 0 < scale["first_condition_p50_s"] <= scale["first_condition_p99_s"]
    assert (scale["idle_writes_per_minute"], scale["restart_status_writes"]) == (0, 0)
    assert scale["requests_per_transition"] >= 1
    assert found["restart_s"] == scale["restart_s"] > 0
