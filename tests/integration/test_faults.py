"""Faults on the models of a satellite, a seeded slice of ``make fault-test``: never is a wrong one served."""

from __future__ import annotations

import time
from pathlib import Path

from bench.faults.__main__ import mission_keys, run
from bench.faults.board import small_model


def test_whatever_befalls_its_models_a_satellite_serves_no_wrong_one(tmp_path: Path) -> None:
    ends = time.monotonic() + 600
    keys = mission_keys(tmp_path / "keys")
    tally = run(60, seed=100, model=small_model(), keys=keys, folder=tmp_path / "board", ends=ends)
    assert tally.faults == 60
    assert tally.total("silently wrong") == 0, tally.notes
    assert tally.total("repaired") > 10
    assert tally.total("refused") > 5
