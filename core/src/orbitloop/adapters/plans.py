"""Contact plans as files: CSV that a person can write and that satellite, emulator and planner read.

Needs no orbit model: a plan is computed once, on the ground (``orbitloop passes --out``).
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.tables import Row, read_table
from orbitloop.domain.contacts import ContactWindow, check_antennas, utc
from orbitloop.domain.errors import BadInput

_log = logging.getLogger(__name__)

T = TypeVar("T")

REQUIRED = ("station", "aos", "los")
OPTIONAL = ("peak_deg", "satellite", "antenna")


def read_plan(path: Path) -> tuple[ContactWindow, ...]:
    """The windows of a contact plan, in order of acquisition, whatever their order in the file.

    Columns, in any order: ``station``, ``aos`` and ``los`` (ISO 8601 with a time zone; UTC is written ``Z``);
    optionally ``peak_deg`` (highest elevation, degrees), ``satellite`` and ``antenna``, each of which may be empty.

    Raises:
        BadInput: the file is missing or malformed, or two windows overlap that share an antenna. The message names
            the line, or both windows.
    """
    windows = tuple(sorted(_window(row) for row in read_table(path, required=REQUIRED, optional=OPTIONAL)))
    try:
        check_antennas(windows)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return windows


class WatchedPlan(Generic[T]):
    """A contact plan on disk, read again when it changes; one that became unreadable leaves the last good one.

    Args:
        path: the plan.
        of: what is made of its windows; may raise ``BadInput``.

    Raises:
        BadInput: as :func:`read_plan` and ``of``.
    """

    def __init__(self, path: Path, of: Callable[[tuple[ContactWindow, ...]], T]) -> None:
        self._path = path
        self._of = of
        self._stamp: tuple[int, int] | None = None
        self._made = self._read()

    def current(self) -> T:
        """What the file says now."""
        if _stamp(self._path) != self._stamp:
            try:
                self._made = self._read()
                _log.info("plan_read", extra={"path": str(self._path)})
            except BadInput as error:
                _log.error("plan_unreadable", extra={"why": str(error)})
        return self._made

    def _read(self) -> T:
        self._stamp = _stamp(self._path)  # noted first: a file that changes while it is read is read again
        return self._of(read_plan(self._path))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size


def write_plan(path: Path, windows: Iterable[ContactWindow]) -> None:
    """Write a plan that :func:`read_plan` reads back, times to the microsecond; replaces ``path`` as a whole.

    The columns ``satellite`` and ``antenna`` are left out if no window has any.

    Raises:
        NoSpace: the disk is full; ``path`` is as it was.
        BadInput: two windows overlap that share an antenna.
    """
    plan = sorted(windows)
    check_antennas(plan)
    further = [column for column in ("satellite", "antenna") if any(getattr(window, column) for window in plan)]
    text = io.StringIO()
    table = csv.DictWriter(text, [*REQUIRED, "peak_deg", *further], lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    table.writerows(_fields(window) for window in plan)
    write_durably(path, text.getvalue().encode())


def _fields(window: ContactWindow) -> dict[str, str]:
    return {
        "station": window.station,
        "aos": _text(window.aos),
        "los": _text(window.los),
        "peak_deg": f"{window.peak:.3f}",
        "satellite": window.satellite,
        "antenna": window.antenna,
    }


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _window(row: Row) -> ContactWindow:
    aos, los = (_moment(row, column) for column in ("aos", "los"))
    station, satellite, antenna = row.text("station"), row.optional("satellite"), row.optional("antenna")
    peak = row.number("peak_deg", 0.0)
    try:
        return ContactWindow(aos=aos, los=los, station=station, peak=peak, satellite=satellite, antenna=antenna)
    except BadInput as error:
        raise BadInput(f"{row.place}: {error}") from error


def _moment(row: Row, column: str) -> datetime:
    given = row.text(column)
    try:
        return utc(datetime.fromisoformat(given))
    except ValueError as error:
        raise BadInput(f"{row.place}: {column} {given!r} is no time; write it as 2024-03-29T02:11:05Z") from error
    except BadInput as error:
        raise BadInput(f"{row.place}: {column} {error}") from error
