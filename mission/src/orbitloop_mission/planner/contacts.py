"""From files that people have, elements and stations, to a contact plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orbitloop.adapters.orbits import Elements, contact_windows
from orbitloop.adapters.tables import Row, read_table
from orbitloop.domain.contacts import ContactWindow, Station, check_antennas, resolve
from orbitloop.domain.elements import TwoLine, choose_satellites, read_elements
from orbitloop.domain.errors import BadInput

DEFAULT_MASK = 5.0
"""Degrees, where the table of stations gives none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contacts:
    """A contact plan, and the windows that were given up because their antenna was taken."""

    plan: tuple[ContactWindow, ...]
    given_up: tuple[ContactWindow, ...] = ()


def read_satellites(path: Path, names: Sequence[str] = ()) -> tuple[TwoLine, ...]:
    """The satellites of a file of two-line elements; those of these names, if any is given.

    Raises:
        BadInput: the file is missing or damaged, a name is unknown or a satellite has two sets.
    """
    try:
        return choose_satellites(read_elements(path.read_text(encoding="utf-8-sig")), names)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise BadInput(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not text; two-line elements are plain ASCII") from error
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def read_stations(path: Path) -> tuple[Station, ...]:
    """The stations of a CSV file with columns ``name``, ``latitude``, ``longitude`` and optionally ``height_m``,
    ``mask_deg`` and ``antenna``.

    Raises:
        BadInput: the file is missing, malformed or without stations, or two stations share a name.
    """
    rows = read_table(path, required=("name", "latitude", "longitude"), optional=("height_m", "mask_deg", "antenna"))
    stations = tuple(_station(row) for row in rows)
    names = [station.name for station in stations]
    for row, name in zip(rows, names, strict=True):
        if names.count(name) > 1:
            raise BadInput(f"{row.place}: station {name} stands there twice; give each its own name")
    if not stations:
        raise BadInput(f"{path}: no station in it")
    return stations


def contacts(
    satellites: Iterable[Elements], stations: Sequence[Station], start: datetime, days: float, *, settle: bool
) -> Contacts:
    """Every pass of every satellite over every station.

    Args:
        settle: where passes overlap that share an antenna, keep the longer (see
            :func:`~orbitloop.domain.contacts.resolve`) instead of refusing.

    Raises:
        BadInput: two passes share an antenna and ``settle`` is not set, or the span is of no use.
    """
    found = sorted(
        window
        for satellite in satellites
        for station in stations
        for window in contact_windows(satellite, station, start, days)
    )
    if settle:
        kept, given_up = resolve(found)
        return Contacts(plan=kept, given_up=given_up)
    try:
        check_antennas(found)
    except BadInput as error:
        raise BadInput(f"{error}; --resolve keeps the longer one") from error
    return Contacts(plan=tuple(found))


def _station(row: Row) -> Station:
    for column in ("latitude", "longitude"):
        row.text(column)
    try:
        return Station(
            name=row.text("name"),
            latitude=row.number("latitude", 0.0),
            longitude=row.number("longitude", 0.0),
            height=row.number("height_m", 0.0),
            mask=row.number("mask_deg", DEFAULT_MASK),
            antenna=row.optional("antenna"),
        )
    except BadInput as error:
        named = str(error)
        raise BadInput(named if named.startswith(row.place) else f"{row.place}: {named}") from error
