"""Recorded passes: how many frames the ground received in each second, and how many of them were bad.

A trace is a CSV file with the columns ``second`` (from the first received frame, counting up from 0 without gaps),
``frames`` (received in that second) and ``bad_frames`` (of those, how many failed their check).
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import BitsPerSecond, Bytes

FRAME_PAYLOAD = Bytes(1_008)
"""Payload of one frame of BUPT-1's downlink, in bytes."""

_COLUMNS = ["second", "frames", "bad_frames"]
_LARGEST_FILE = 4_000_000
_MOST_FRAMES = 20_000_000
_A_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A recorded pass.

    Args:
        frames: frames received in each second.
        bad: of those, how many were bad; as long as ``frames``.

    Raises:
        BadInput: the two do not go together, there is not one frame, or there are more than 20 million.
    """

    frames: tuple[int, ...]
    bad: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.frames) != len(self.bad):
            raise BadInput(f"a trace of {len(self.frames)} seconds cannot have {len(self.bad)} counts of bad frames")
        for second, (frames, bad) in enumerate(zip(self.frames, self.bad, strict=True)):
            if not 0 <= bad <= frames:
                raise BadInput(f"second {second}: {bad} bad frames of {frames}; give 0 <= bad_frames <= frames")
        if not 0 < sum(self.frames) <= _MOST_FRAMES:
            raise BadInput(f"a trace has 1 to {_MOST_FRAMES:,} frames; this one has {sum(self.frames):,}")

    @property
    def good_payload(self) -> Bytes:
        """What all good frames together carry."""
        return Bytes((sum(self.frames) - sum(self.bad)) * FRAME_PAYLOAD)

    @property
    def peak(self) -> BitsPerSecond:
        """The payload rate of the fullest second."""
        return BitsPerSecond(max(self.frames) * FRAME_PAYLOAD * 8)


class FrameClock:
    """When each frame of a trace is over, and whether it is good. Pure: nanoseconds from the trace's beginning.

    The frames of a second follow one another evenly; the bad ones lie at random places in it.
    """

    def __init__(self, trace: Trace, rng: np.random.Generator) -> None:
        self._frames = trace.frames
        self._before = [0, *accumulate(trace.frames)]
        bad = np.zeros(self._before[-1], dtype=np.bool_)
        for first, frames, losses in zip(self._before, trace.frames, trace.bad, strict=False):
            bad[first + rng.choice(frames, losses, replace=False)] = True
        self._bad = bad.tobytes()
        self.total = len(self._bad)

    def first_after(self, moment: int) -> int:
        """The number of the first frame that is over later than ``moment``; :attr:`total` if none is."""
        second, within = divmod(moment, _A_SECOND)
        if second < 0:
            return 0
        if second >= len(self._frames):
            return self.total
        return self._before[second] + within * self._frames[second] // _A_SECOND

    def end(self, frame: int) -> int:
        """When ``frame`` is over."""
        second = bisect_right(self._before, frame) - 1
        place = frame - self._before[second]
        return second * _A_SECOND - (-(place + 1) * _A_SECOND // self._frames[second])

    def bad_between(self, first: int, end: int) -> int:
        """How many of the frames from ``first`` to before ``end`` are bad."""
        return self._bad.count(1, first, end)


def read_trace(path: Path) -> Trace:
    """Read a trace.

    Raises:
        BadInput: the file is no such trace; the message names the line and what is wrong with it.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise BadInput(f"{path}: larger than {_LARGEST_FILE:,} bytes; that is no trace of one pass")
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines(), strict=True))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; give the file of a recorded pass") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: no CSV text ({error}); give a trace with the columns {','.join(_COLUMNS)}") from error
    if not lines or lines[0] != _COLUMNS:
        raise BadInput(f"{path}, line 1: the columns must be {','.join(_COLUMNS)}")
    rows = [_row(f"{path}, line {number + 2}", number, cells) for number, cells in enumerate(lines[1:])]
    if not rows:
        raise BadInput(f"{path}: no seconds after the columns' names; give at least one")
    try:
        return Trace(frames=tuple(frames for frames, _ in rows), bad=tuple(bad for _, bad in rows))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _row(where: str, number: int, cells: list[str]) -> tuple[int, int]:
    if len(cells) != len(_COLUMNS):
        raise BadInput(f"{where}: {len(cells)} cells; give {len(_COLUMNS)}: {','.join(_COLUMNS)}")
    second, frames, bad = (_count(where, name, cell) for name, cell in zip(_COLUMNS, cells, strict=True))
    if second != number:
        raise BadInput(f"{where}: second {second} where {number} is due; seconds count up from 0 without gaps")
    if bad > frames:
        raise BadInput(f"{where}: {bad} bad frames of {frames}; there cannot be more bad ones than frames")
    return frames, bad


def _count(where: str, name: str, cell: str) -> int:
    if not (cell.isascii() and cell.isdigit() and len(cell) < 10):
        raise BadInput(f"{where}: {name} {cell!r} is no whole number from 0 to 999999999")
    return int(cell)
