"""What was seen in each frame."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from orbitloop.domain.detection import Detections
from orbitloop.domain.drift import sketch_of
from orbitloop.domain.errors import NoSpace
from orbitloop.domain.units import Bytes
from orbitloop.testing.builders import a_digest, some_detections
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import Telemetry
from orbitloop_edge.adapters.results import FrameResults
from orbitloop_edge.usecases.observe import FrameResult


@pytest.fixture
def results(tmp_path: Path) -> Iterator[FrameResults]:
    made = FrameResults(tmp_path / "results.db", "sat-1")
    yield made
    made.close()


def a_result(frame: str, *, size: int = 1_000, samples: int = 0, error: str = "") -> FrameResult:
    return FrameResult(
        frame=frame,
        captured=LAUNCH,
        size=Bytes(size),
        model=a_digest("model"),
        found=Detections.none() if error else some_detections((1, 2, 3.26, 4), scores=[0.123456]),
        samples=samples,
        error=error,
    )


def counted(captured: int, processed: int, size: int, samples: int) -> Telemetry:
    return Telemetry(
        satellite="sat-1",
        frames_captured=captured,
        frames_processed=processed,
        captured_bytes=Bytes(size),
        samples_spooled=samples,
    )


def test_nothing_was_seen_at_launch(results: FrameResults) -> None:
    assert results.telemetry() == counted(0, 0, 0, 0)


def test_frames_are_counted_when_captured_and_when_processed(results: FrameResults) -> None:
    for name in ("1.png", "2.png", "3.png"):
        results.captured(name, LAUNCH)
    results.record(a_result("1.png", size=700, samples=4))
    results.record(a_result("2.png", size=300, error="corrupt"))
    assert results.telemetry() == counted(3, 2, 1_000, 4)


def test_a_repeated_frame_counts_once(results: FrameResults) -> None:
    for _ in range(3):
        results.captured("1.png", LAUNCH)
        results.record(a_result("1.png", size=700, samples=4))
    results.captured("1.png", LAUNCH + timedelta(days=1))
    assert results.telemetry() == counted(1, 1, 700, 4)


def test_samples_that_were_spooled_stay_counted_when_the_frame_is_lost(results: FrameResults) -> None:
    results.record(a_result("1.png", samples=4))
    results.record(a_result("1.png", samples=0, error="the frame is gone"))
    assert results.telemetry().samples_spooled == 4


def test_results_survive_a_restart(tmp_path: Path) -> None:
    first = FrameResults(tmp_path / "results.db", "sat-1")
    first.captured("1.png", LAUNCH)
    first.record(a_result("1.png", size=700, samples=4))
    again = FrameResults(tmp_path / "results.db", "sat-1")  # without closing: as after a kill
    assert again.telemetry() == counted(1, 1, 700, 4)
    again.close()
    first.close()


def test_what_was_found_can_be_read_with_any_sqlite(results: FrameResults, tmp_path: Path) -> None:
    results.record(a_result("1.png"))
    with sqlite3.connect(tmp_path / "results.db") as rows:
        found, model, error = rows.execute("select found, model, error from frames").fetchone()
    rows.close()
    assert json.loads(found) == [[1.0, 2.0, 3.3, 4.0, 0.1235, 0]]
    assert (model, error) == (a_digest("model"), "")


def test_a_full_disk_is_said_and_what_was_kept_stays(results: FrameResults) -> None:
    results.record(a_result("1.png", size=700, samples=4))
    results._rows.execute("pragma max_page_count = 1")  # SQLite takes the pages there are as the least
    with pytest.raises(NoSpace, match=r"results\.db"):
        results.captured(10_000 * "x", LAUNCH)
    with pytest.raises(NoSpace, match=r"results\.db"):
        results.record(a_result("2.png", error=10_000 * "x"))
    assert results.telemetry().frames_processed == 1


@pytest.mark.parametrize("keep", [0, 100, 5_000])
def test_a_damaged_file_is_set_aside_and_counting_begins_anew(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "results.db"
    results = FrameResults(path, "sat-1")
    for number in range(200):
        results.captured(f"{number}.png", LAUNCH)
    results.close()
    data = path.read_bytes()
    path.write_bytes(data[:keep] + bytes(255 - byte for byte in data[keep:]))
    again = FrameResults(path, "sat-1")
    assert again.telemetry().frames_captured == 0
    assert again.done() == set()
    again.captured("1.png", LAUNCH)
    again.close()
    assert (tmp_path / "results.db.damaged").exists()


def a_look(frame: str, model: str, brightness: int = 90) -> FrameResult:
    found = some_detections((1, 2, 30, 40), scores=[0.9])
    pixels = np.full((64, 64, 3), brightness, np.uint8)
    return replace(a_result(frame), model=a_digest(model), found=found, sketch=sketch_of(pixels, found))


def test_sketches_of_the_model_that_looked_last_go_down_with_telemetry(results: FrameResults) -> None:
    for number in range(3):
        results.record(a_look(f"old-{number}.png", "old"))
    results.record(a_look("1.png", "new"))
    results.record(a_look("2.png", "new", brightness=120))
    results.record(a_look("2.png", "new", brightness=120))  # it came twice
    sketch = results.telemetry().sketch
    assert sketch is not None
    assert (sketch.model, sketch.frames, sum(sketch.scores)) == (a_digest("new"), 2, 2)


def test_only_the_latest_frames_are_sketched_and_in_less_than_a_kilobyte(results: FrameResults) -> None:
    for number in range(50):
        results.record(a_look(f"{number}.png", "new"))
    sketch = results.telemetry().sketch
    assert sketch is not None
    assert sketch.frames == 32
    assert len(sketch.model_dump_json()) < 1_000
