"""``orbitloop plan``: what goes in which pass, and when it arrives."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orbitloop.adapters.plans import read_plan
from orbitloop.domain.contacts import ContactWindow, windows_of
from orbitloop.domain.errors import BadInput
from orbitloop.domain.passes import plan_passes
from orbitloop.domain.planning import Carriage, Item, PassPlan, PlannedPass, nominal
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.samples import Reason
from orbitloop.domain.traffic import Direction, TrafficClass
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop_mission.cli.commands import app
from orbitloop_mission.planner.queue import read_queue

DEFAULT = LinkPolicy()
BAR = 10
"""Characters of a full pass."""


@app.command()
def plan(
    queue: Annotated[
        Path, typer.Option(help="What waits: JSON, or CSV with id,bytes,value,traffic,direction,created.")
    ],
    contacts: Annotated[Path, typer.Option(help="Contact plan, CSV, as `orbitloop passes --out` writes it.")],
    now: Annotated[
        datetime | None, typer.Option(help="Moment to plan from, UTC; the first AOS if none is given.")
    ] = None,
    satellite: Annotated[str, typer.Option(help="Whose windows, where the contact plan has several satellites.")] = "",
    downlink: Annotated[int, typer.Option(help="Bits per second down.")] = DEFAULT.downlink,
    uplink: Annotated[int, typer.Option(help="Bits per second up.")] = DEFAULT.uplink,
    efficiency: Annotated[
        list[str] | None, typer.Option(help="Per cent of the rates that a pass carries: 97, or STATION=90; repeatable.")
    ] = None,
    delay_ms: Annotated[float, typer.Option(help="Propagation delay, one way, milliseconds.")] = 7.0,
    pass_budget: Annotated[int | None, typer.Option(help="Most bytes that a pass may carry down.")] = None,
    update_budget: Annotated[int, typer.Option(help="Largest update, in bytes.")] = DEFAULT.update_budget,
    reserve: Annotated[
        int, typer.Option(help="Per cent of the rate kept for telemetry and acknowledgements.")
    ] = DEFAULT.reserve_percent,
    priority: Annotated[
        list[str] | None, typer.Option(help="Reason or traffic class = per cent, for instance miss=200; repeatable.")
    ] = None,
    doubling_h: Annotated[float, typer.Option(help="Hours of waiting that add an item's value once more.")] = 24.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Plan what goes in which pass: the most valuable that fits, and when each thing arrives."""
    policy = LinkPolicy(
        downlink=BitsPerSecond(downlink),
        uplink=BitsPerSecond(uplink),
        pass_budget=None if pass_budget is None else Bytes(pass_budget),
        update_budget=Bytes(update_budget),
        reserve_percent=reserve,
        priorities=_priorities(priority or []),
        doubling=_span("--doubling-h", doubling_h, timedelta(hours=1)),
    )
    windows = _windows(contacts, satellite)
    delay = _span("--delay-ms", delay_ms, timedelta(milliseconds=1))
    carriage = Carriage(windows=windows, policy=policy, rate=_rate(policy, efficiency or []), delay=lambda _, __: delay)
    moment = min(window.aos for window in windows) if now is None else now.replace(tzinfo=UTC)
    items = read_queue(queue)
    found = plan_passes(items, carriage, moment)
    if as_json:
        typer.echo(json.dumps(_told(found), indent=2))
    else:
        _print(found, items)


def _windows(path: Path, satellite: str) -> tuple[ContactWindow, ...]:
    plan = read_plan(path)
    if not plan:
        raise BadInput(f"{path}: no window in it; plan further ahead with `orbitloop passes --days`")
    named = sorted({window.satellite for window in plan} - {""})
    if len(named) > 1 and not satellite:
        raise BadInput(f"{path}: windows of {', '.join(named)}; choose one with --satellite")
    return windows_of(plan, satellite) if satellite else plan


def _span(option: str, given: float, unit: timedelta) -> timedelta:
    if not 0 <= given < 1e6:
        raise BadInput(f"{option} {given} must be a number of 0 or more")
    return given * unit


def _percent(option: str, given: str) -> int:
    try:
        return int(given)
    except ValueError as error:
        raise BadInput(f"{option} {given!r} is no whole number of per cent") from error


def _priorities(given: list[str]) -> dict[Reason | TrafficClass, int]:
    found: dict[Reason | TrafficClass, int] = {}
    known: dict[str, Reason | TrafficClass] = {str(one): one for kind in (Reason, TrafficClass) for one in kind}
    for entry in given:
        name, equals, percent = entry.partition("=")
        if not equals or name not in known:
            raise BadInput(f"--priority {entry!r} is no NAME=PERCENT with a name of {', '.join(known)}")
        found[known[name]] = _percent("--priority", percent)
    return found


def _rate(policy: LinkPolicy, given: list[str]) -> Callable[[ContactWindow, Direction], BitsPerSecond]:
    """What a station's pass carries: the policy's rates times the efficiency."""
    percents: dict[str, int] = {}
    for entry in given:
        station, equals, percent = entry.rpartition("=")
        percents[station] = _percent("--efficiency", percent)
        if (equals and not station) or not 0 <= percents[station] <= 100:
            raise BadInput(f"--efficiency {entry!r} must be 0 to 100, or STATION=0 to 100")
    rate = nominal(policy)

    def carried(window: ContactWindow, direction: Direction) -> BitsPerSecond:
        return BitsPerSecond(rate(window, direction) * percents.get(window.station, percents.get("", 100)) // 100)

    return carried


def _told(found: PassPlan) -> dict[str, object]:
    return {
        "passes": [
            {
                "station": one.window.station,
                "aos": one.window.aos.isoformat(),
                "los": one.window.los.isoformat(),
                "direction": one.direction,
                "capacity_bytes": one.capacity,
                "bulk_bytes": one.bulk,
                "used_bytes": one.used,
                "value": one.value,
                "parts": [
                    {
                        "id": part.item.id,
                        "from_byte": part.begins,
                        "bytes": part.size,
                        "arrival": part.arrival.isoformat(),
                        "complete": part.last,
                    }
                    for part in one.parts
                ],
            }
            for one in found.passes
        ],
        "arrivals": {
            name: None if moment is None else moment.isoformat() for name, moment in sorted(found.arrivals().items())
        },
        "left": [{"id": item.id, "why": why.value} for item, why in found.left],
    }


def _print(found: PassPlan, items: list[Item]) -> None:
    console = Console()
    table = Table("pass", "AOS (UTC)", "", "filled", "bytes", "of", "value", "items")
    for one in found.passes:
        if one.parts:
            table.add_row(*_pass_row(one))
    console.print(table)
    idle = sum(not one.parts for one in found.passes)
    if idle:
        console.print(f"{idle} more with nothing to carry, each pass counted once each way")
    arrivals = found.arrivals()
    why = {item.id: reason.value for item, reason in found.left}
    coming = Table("item", "", "traffic", "bytes", "arrives (UTC)")
    for item in sorted(items, key=lambda one: (arrivals[one.id] or datetime.max.replace(tzinfo=UTC), one.id)):
        moment = arrivals[item.id]
        told = f"{moment:%Y-%m-%d %H:%M:%S}" if moment is not None else why[item.id]
        coming.add_row(Text(item.id), _ARROWS[item.direction], item.traffic, f"{item.size:,}", told)
    console.print(coming)


_ARROWS = {Direction.DOWN: "↓", Direction.UP: "↑"}


def _pass_row(one: PlannedPass) -> tuple[Text | str, ...]:
    share = one.used / one.capacity if one.capacity else 0.0
    bar = ("█" * round(share * BAR)).ljust(BAR, "·")
    whole = sum(part.last for part in one.parts)
    begun = len(one.parts) - whole
    return (
        Text(one.window.station),
        f"{one.window.aos:%d %b %H:%M:%S}",
        _ARROWS[one.direction],
        f"{bar} {share:4.0%}",
        _amount(one.used),
        _amount(one.capacity),
        f"{one.value:.2f}",
        f"{whole} + a part" if begun else f"{whole}",
    )


def _amount(size: Bytes) -> str:
    """A size in the largest unit that leaves a number of at least one."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"
