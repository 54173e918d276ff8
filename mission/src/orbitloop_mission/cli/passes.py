"""``orbitloop passes``: when a satellite can be heard, computed ahead."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from orbitloop.adapters.plans import write_plan
from orbitloop.domain.contacts import ContactWindow, Station, handovers
from orbitloop.domain.errors import BadInput
from orbitloop_mission.cli.commands import app
from orbitloop_mission.embedded.plan import BUPT_1, EPOCH, TONGCHUAN
from orbitloop_mission.planner.contacts import Contacts, contacts, read_satellites, read_stations


@app.command()
def passes(
    days: Annotated[float, typer.Option(help="How many days to look ahead.")] = 1.0,
    start: Annotated[datetime | None, typer.Option(help="From when on, UTC; the demo's epoch without --tle.")] = None,
    tle: Annotated[
        Path | None, typer.Option(help="Two-line elements, with or without names; else the demo's orbit.")
    ] = None,
    satellite: Annotated[
        list[str] | None, typer.Option(help="Name of a satellite in --tle; may be repeated. All if none is given.")
    ] = None,
    stations: Annotated[
        Path | None,
        typer.Option(help="Stations, CSV: name,latitude,longitude and optionally height_m,mask_deg,antenna."),
    ] = None,
    latitude: Annotated[float | None, typer.Option(help="A single station's latitude, degrees.")] = None,
    longitude: Annotated[float | None, typer.Option(help="Its longitude, degrees.")] = None,
    mask: Annotated[float | None, typer.Option(help="Its lowest usable elevation, degrees.")] = None,
    resolve: Annotated[
        bool, typer.Option("--resolve", help="Where passes overlap on one antenna, keep the longer; else refuse.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the contact plan here, as CSV.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compute when satellites can be heard at stations: the contact plan."""
    if satellite and tle is None:
        raise BadInput("--satellite chooses from a file of elements; give it with --tle")
    if tle is not None and start is None:
        raise BadInput("--tle needs --start, the moment from which on to plan, for instance 2024-03-29T00:00:00")
    found = contacts(
        read_satellites(tle, satellite or ()) if tle is not None else (BUPT_1,),
        _stations(stations, latitude, longitude, mask),
        (start or EPOCH).replace(tzinfo=UTC),
        days,
        settle=resolve,
    )
    if out is not None:
        write_plan(out, found.plan)
    if as_json:
        typer.echo(json.dumps([_row(window) for window in found.plan], indent=2))
    else:
        _print(found, out)


def _stations(
    table: Path | None, latitude: float | None, longitude: float | None, mask: float | None
) -> tuple[Station, ...]:
    """The stations of the table, or the one of the options; the demo's where nothing is given."""
    if table is not None:
        if (latitude, longitude, mask) != (None, None, None):
            raise BadInput("--stations and --latitude, --longitude or --mask exclude each other; use one way")
        return read_stations(table)
    if (latitude, longitude) == (None, None):
        return (replace(TONGCHUAN, mask=TONGCHUAN.mask if mask is None else mask),)
    return (
        Station(
            name="station",
            latitude=TONGCHUAN.latitude if latitude is None else latitude,
            longitude=TONGCHUAN.longitude if longitude is None else longitude,
            mask=TONGCHUAN.mask if mask is None else mask,
        ),
    )


def _row(window: ContactWindow) -> dict[str, str | float]:
    named = {"satellite": window.satellite, "antenna": window.antenna}
    return {
        "station": window.station,
        "aos": window.aos.isoformat(),
        "los": window.los.isoformat(),
        "peak_deg": round(window.peak, 1),
        **{key: value for key, value in named.items() if value},
    }


def _print(found: Contacts, out: Path | None) -> None:
    console = Console()
    table = Table("satellite", "station", "AOS (UTC)", "LOS (UTC)", "seconds", "peak")
    for window in found.plan:
        table.add_row(
            window.satellite,
            window.station,
            f"{window.aos:%Y-%m-%d %H:%M:%S}",
            f"{window.los:%H:%M:%S}",
            f"{window.duration.total_seconds():.0f}",
            f"{window.peak:.0f}°",
        )
    console.print(table)
    for window in found.given_up:
        console.print(f"given up, antenna {window.dish} is taken: {window}", markup=False)
    for name in sorted({window.satellite for window in found.plan}):
        for change in handovers(window for window in found.plan if window.satellite == name):
            text = f"hand-over {change.at:%FT%TZ}: {name} from {change.leaves} to {change.takes}"
            console.print(text.replace("  ", " "), markup=False)
    if out is not None:
        console.print(f"{len(found.plan)} windows in {out}", markup=False)
