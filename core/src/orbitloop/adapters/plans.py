"""Contact plans as files: CSV that a person can write and that satellite, emulator and planner read.

Needs no orbit model: a plan is computed once, on the ground (``orbitloop passes --out``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.tables import Row, read_table
from orbitloop.domain.contacts import ContactWindow, check_antennas, utc
from orbitloop.domain.errors import BadInput

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
