"""A wall clock that is set in flight: nothing waits for a moment that has gone, and no pass is missed."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from orbitloop.adapters.plans import write_plan
from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.digests import digest_of
from orbitloop.domain.units import Bytes
from orbitloop.ports.workers import WorkerStatus
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import Telemetry
from orbitloop_edge.adapters.host import Patience
from orbitloop_edge.controller import AbsentWorker, Controller
from orbitloop_edge.live import Agent, settings_of
from orbitloop_edge.satellite_file import SatelliteFile, read_satellite_file
from orbitloop_edge.usecases.passes import LONGEST_WAIT_S


class SteppedClock(Patience):
    """Wall clock and waits at once: waiting passes at once, and at given moments the wall clock is set.

    Args:
        steps: by how much the wall clock is set, by monotonic second.
        ends: monotonic second at which all ends.
    """

    def __init__(self, steps: dict[float, timedelta], ends: float) -> None:
        super().__init__()
        self._steps = dict(sorted(steps.items()))
        self._ends = ends
        self._monotonic = 0.0
        self._offset = timedelta(0)
        self.waits: list[float] = []

    def now(self) -> datetime:
        return LAUNCH + timedelta(seconds=self._monotonic) + self._offset

    def monotonic(self) -> float:
        return self._monotonic

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self._monotonic += seconds
        for moment in [moment for moment in self._steps if moment <= self._monotonic]:
            self._offset += self._steps.pop(moment)
        return self._monotonic >= self._ends


@pytest.fixture
def file(tmp_path: Path, keys: Path) -> SatelliteFile:
    path = tmp_path / "satellite.toml"
    path.write_text(
        f'satellite = "sat-1"\nfolder = "sat"\nkeys = "{keys / "satellites" / "sat-1"}"\n'
        '[stations.here]\ngateway = "https://127.0.0.1:9"\n[contacts]\nplan = "plan.csv"\n[worker]\ncommand = "none"\n'
    )
    minute = timedelta(minutes=1)
    windows = [
        ContactWindow(aos=LAUNCH + begins * minute, los=LAUNCH + (begins + 5) * minute, station="here", peak=30.0)
        for begins in (30, 90)
    ]
    write_plan(tmp_path / "plan.csv", windows)
    telemetry = Telemetry(
        satellite="sat-1", frames_captured=0, frames_processed=0, captured_bytes=Bytes(0), samples_spooled=0
    )
    (tmp_path / "sat").mkdir()
    (tmp_path / "sat" / "worker.json").write_text(
        WorkerStatus(flying=digest_of(b"weights"), telemetry=telemetry).model_dump_json()
    )
    return read_satellite_file(path)


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("steps", "used"),
    [
        ({}, {30, 90}),
        ({60.0: -HOUR}, {30}),
        ({60.0: HOUR}, {90}),
        ({31 * 60.0: -HOUR}, {30}),
        ({31 * 60.0: HOUR}, {30, 90}),
    ],
    ids=["not", "back before a pass", "ahead over a pass", "back in a pass, which comes again", "ahead into the next"],
)
def test_however_the_clock_is_set_the_agent_goes_by_what_it_says_now(
    file: SatelliteFile, caplog: pytest.LogCaptureFixture, steps: dict[float, timedelta], used: set[int]
) -> None:
    caplog.set_level("INFO")
    clock = SteppedClock(steps, ends=100 * 60.0)
    with Controller(settings_of(file), clock) as controller:
        Agent(file, controller, AbsentWorker(), clock, clock).run()
    assert max(clock.waits) <= LONGEST_WAIT_S
    begun = [vars(record)["begun"] for record in caplog.records if record.message == "session_ended"]
    minutes = [(datetime.fromisoformat(moment) - LAUNCH) / timedelta(minutes=1) for moment in begun]
    assert {begins for begins in (30, 90) if any(begins <= minute < begins + 5 for minute in minutes)} == used
    assert all(any(begins <= minute < begins + 5 for begins in used) for minute in minutes)
    assert len(minutes) > 10 * len(used)
