"""What was seen in each frame, in one SQLite file: results, the counts of telemetry, and sketches of the latest frames.

A file that the disk has damaged is set aside: frames that are still there are looked at again, and their samples, which
have the same names, are not sent twice.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter

from orbitloop.adapters.durable import naming_full_disk
from orbitloop.domain.drift import NOTHING, Sketch
from orbitloop.domain.units import Digest
from orbitloop.wire.messages import SketchText, Telemetry
from orbitloop_edge.adapters.damage import FAULTS, Damaged, is_damage, set_aside
from orbitloop_edge.usecases.observe import FrameResult

_log = logging.getLogger(__name__)
_SKETCHES = TypeAdapter(Sketch)

_SCHEMA = """
create table if not exists frames (
    name text primary key,
    captured text not null,
    done integer not null default 0,
    bytes integer not null default 0,
    model text not null default '',
    found text not null default '[]',
    samples integer not null default 0,
    error text not null default ''
) strict;
create table if not exists sketches (
    frame text primary key,
    model text not null,
    sketch text not null,
    number integer not null
) strict;
"""
_SKETCH = """
insert into sketches values (?, ?, ?, (select coalesce(max(number), 0) + 1 from sketches))
on conflict (frame) do update set model = excluded.model, sketch = excluded.sketch, number = excluded.number
"""
_FORGET = "delete from sketches where number <= (select max(number) from sketches) - ?"
_SKETCHED = 32
"""Latest frames whose sketches are kept, and added up for the ground."""
_COLUMNS = ("name", "captured", "done", "bytes", "model", "found", "samples", "error")
_RECORD = """
insert into frames values (?, ?, 1, ?, ?, ?, ?, ?)
on conflict (name) do update set
    captured = excluded.captured, done = 1, bytes = excluded.bytes, model = excluded.model, found = excluded.found,
    samples = max(samples, excluded.samples), error = excluded.error
"""
_COUNTS = """
select count(*), coalesce(sum(done), 0), coalesce(sum(bytes), 0), coalesce(sum(samples), 0) from frames
"""


class FrameResults:
    """Results by frame, durable; a frame that comes again replaces its row, but its samples stay spooled and counted.

    Args:
        path: the SQLite file; made if missing.
        satellite: name that telemetry carries.

    Raises:
        NoSpace: the disk is full.
    """

    def __init__(self, path: Path, satellite: str) -> None:
        self._path = path
        self._satellite = satellite
        self._lock = threading.Lock()
        try:
            self._rows = _opened(path)
        except FAULTS as error:
            if not is_damage(error):
                raise
            _log.error("results_damaged", extra={"path": str(path), "why": str(error)})
            set_aside(path)
            self._rows = _opened(path)

    def close(self) -> None:
        """Let go of the file."""
        self._rows.close()

    def captured(self, frame: str, at: datetime) -> None:
        """A frame has been handed over. Raises ``NoSpace`` when the disk is full."""
        with self._lock, naming_full_disk(self._path):
            self._rows.execute(
                "insert into frames (name, captured) values (?, ?) on conflict (name) do nothing",
                (frame, at.isoformat()),
            )

    def done(self) -> set[str]:
        """Names of the frames that were looked at."""
        with self._lock:
            return {str(name) for (name,) in self._rows.execute("select name from frames where done = 1")}

    def record(self, result: FrameResult) -> None:
        """Keep a frame's result. Raises ``NoSpace`` when the disk is full."""
        found = [
            [*(round(float(value), 1) for value in box), round(float(score), 4), int(label)]
            for box, score, label in zip(result.found.boxes, result.found.scores, result.found.labels, strict=True)
        ]
        with self._lock, naming_full_disk(self._path):
            if result.sketch is not None:
                text = _SKETCHES.dump_json(result.sketch).decode()
                self._rows.execute(_SKETCH, (result.frame, result.model, text))
                self._rows.execute(_FORGET, (_SKETCHED,))
            self._rows.execute(
                _RECORD,
                (
                    result.frame,
                    result.captured.isoformat(),
                    result.size,
                    result.model,
                    json.dumps(found),
                    result.samples,
                    result.error,
                ),
            )

    def telemetry(self) -> Telemetry:
        """Counts since launch."""
        with self._lock:
            row = self._rows.execute(_COUNTS).fetchone()
            rows = self._rows.execute("select model, sketch from sketches order by number desc").fetchall()
        return Telemetry(
            satellite=self._satellite,
            frames_captured=row[0],
            frames_processed=row[1],
            captured_bytes=row[2],
            samples_spooled=row[3],
            sketch=_summed(rows),
        )


def _summed(rows: list[tuple[str, str]]) -> SketchText | None:
    """The sketches of the model that looked last, in one; measures to four digits, which is what they are good for."""
    latest = [_SKETCHES.validate_json(sketch) for model, sketch in rows if model == rows[0][0]]
    if not latest:
        return None
    whole = sum(latest, start=NOTHING)
    return SketchText(
        model=Digest(rows[0][0]),
        frames=whole.frames,
        tiles=whole.tiles,
        scores=whole.scores,
        classes=whole.classes,
        sums=tuple(round(value, 4) for value in whole.sums),
        squares=tuple(round(value, 4) for value in whole.squares),
    )


def _opened(path: Path) -> sqlite3.Connection:
    rows = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        with naming_full_disk(path):
            rows.execute("pragma journal_mode=wal")
            rows.execute("pragma synchronous=full")
            rows.executescript(_SCHEMA)
            if [row[1] for row in rows.execute("pragma table_info(frames)")] != list(_COLUMNS):
                raise Damaged("its table is not that of this version")
            if (said := rows.execute("pragma quick_check(1)").fetchone()[0]) != "ok":
                raise Damaged(str(said))
    except BaseException:
        rows.close()
        raise
    return rows
