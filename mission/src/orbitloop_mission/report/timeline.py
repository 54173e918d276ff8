"""The passes over mission time: what went up above, what came down below, as it flew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from orbitloop_mission.report.drawing import FULL, NARROW, Bar, Drawing, Figure, Form, Key, Line, Mark, Shape, Text
from orbitloop_mission.report.geometry import Linear, spread, time_ticks
from orbitloop_mission.report.schema import MissionReport, PassReport
from orbitloop_mission.report.wording import SPACE, bytes_text, moment_text

SIDE = 32.0
GAP = 58.0
"""Between neighbouring passes where there is room for their figures, in units of the drawing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Heights in the drawing, from the top: updates, bytes up, numbers, bytes down, leaders, time."""

    updates: float = 16
    up_top: float = 44
    up_foot: float = 104
    down_top: float = 130
    down_foot: float = 226
    figures: float = 242
    leaders: float = 250
    axis: float = 278
    height: float = 312


LEVELS = Levels()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a pass is drawn: ``at`` on the time axis, ``x`` where there is room for its bars."""

    entry: PassReport
    at: float
    x: float
    begin: float
    end: float


def timeline_figure(report: MissionReport) -> Figure:
    """All passes, with their bytes, cuts and updates."""
    keys = (
        Key(form=Form.SQUARE, kind="up", text="bytes up to the satellite"),
        Key(form=Form.SQUARE, kind="down", text="bytes down to the ground"),
        Key(form=Form.UP, kind="update", text="update of round n went up"),
        Key(form=Form.CROSS, kind="cut", text="signal cut before its time"),
    )
    return Figure(
        name="timeline",
        title="Passes over mission time",
        summary="; ".join(pass_in_words(entry) for entry in report.passes) or "No contact window was used.",
        wide=timeline_drawing(report.passes, width=FULL),
        narrow=timeline_drawing(report.passes, width=NARROW),
        keys=keys,
        note="Bars up and down have scales of their own; the figures are beside them. Times in UTC.",
    )


def pass_in_words(entry: PassReport) -> str:
    """A pass as a clause of a sentence."""
    words = (
        f"pass {entry.number} at {moment_text(entry.aos)} over {entry.station}: {bytes_text(entry.bytes_down)} down, "
        f"{bytes_text(entry.bytes_up)} up"
    )
    if entry.update_rounds:
        words += f", update of round {', '.join(map(str, entry.update_rounds))}"
    return f"{words}, cut" if entry.cut else words


def placed(passes: tuple[PassReport, ...], *, width: float) -> tuple[Place, ...]:
    """Passes by mission time, moved apart so that their bars do not touch; in the order given."""
    if not passes:
        return ()
    begin, end = extent(passes)
    along = _along(begin, end, width)
    middles = [along(((entry.aos + (entry.los - entry.aos) / 2) - begin).total_seconds()) for entry in passes]
    moved = spread(middles, gap=GAP, low=SIDE, high=width - SIDE)
    return tuple(
        Place(
            entry=entry,
            at=at,
            x=x,
            begin=along((entry.aos - begin).total_seconds()),
            end=along((entry.los - begin).total_seconds()),
        )
        for entry, at, x in zip(passes, middles, moved, strict=True)
    )


def extent(passes: tuple[PassReport, ...]) -> tuple[datetime, datetime]:
    """From the first acquisition to the last loss of signal, with a margin."""
    begin, end = min(entry.aos for entry in passes), max(entry.los for entry in passes)
    margin = max((end - begin) * 0.02, timedelta(minutes=2))
    return begin - margin, end + margin


def _along(begin: datetime, end: datetime, width: float) -> Linear:
    return Linear(low=0, high=(end - begin).total_seconds(), start=8, stop=width - 8)


def timeline_drawing(passes: tuple[PassReport, ...], *, width: float, levels: Levels = LEVELS) -> Drawing:
    """The timeline; figures are written beside the bars where all passes leave room for them."""
    places = placed(passes, width=width)
    shapes: list[Shape] = [
        Line(x1=0, y1=levels.up_foot, x2=width, y2=levels.up_foot, kind="zero"),
        Line(x1=0, y1=levels.down_top, x2=width, y2=levels.down_top, kind="zero"),
    ]
    room = min((after - before for before, after in pairwise(sorted(place.x for place in places))), default=width)
    most_up = max((place.entry.bytes_up for place in places), default=0)
    most_down = max((place.entry.bytes_down for place in places), default=0)
    upwards = Linear(low=0, high=max(1, most_up), start=levels.up_foot, stop=levels.up_top)
    downwards = Linear(low=0, high=max(1, most_down), start=levels.down_top, stop=levels.down_foot)
    shapes.extend(_axis(passes, width, levels))
    for place in places:
        shapes.extend(_bars(place, (upwards, downwards), min(26.0, room * 0.5), levels))
        shapes.extend(_figures(place, upwards, downwards, room >= GAP * 0.9))
        shapes.extend(_position(place, room, levels))
    return Drawing(width=width, height=levels.height, shapes=tuple(shapes))


def _bars(place: Place, scales: tuple[Linear, Linear], thick: float, levels: Levels) -> Iterator[Shape]:
    entry, left = place.entry, place.x - thick / 2
    upwards, downwards = scales
    words = pass_in_words(entry).capitalize()
    if entry.bytes_up:
        top = min(upwards(entry.bytes_up), levels.up_foot - 1)
        yield Bar(x=left, y=top, width=thick, height=levels.up_foot - top, kind="up", tip=words)
    if entry.bytes_down:
        foot = max(downwards(entry.bytes_down), levels.down_top + 1)
        yield Bar(x=left, y=levels.down_top, width=thick, height=foot - levels.down_top, kind="down", tip=words)
    if entry.cut:
        foot = downwards(entry.bytes_down) + 9
        yield Mark(x=place.x, y=foot, form=Form.CROSS, kind="cut", size=4.5, tip=f"Pass {entry.number} was cut")


def _figures(place: Place, upwards: Linear, downwards: Linear, roomy: bool) -> Iterator[Shape]:
    entry = place.entry
    top = upwards(entry.bytes_up)
    if roomy:
        yield Text(x=place.x, y=top - 5, text=bytes_text(entry.bytes_up), kind="value up")
        foot = downwards(entry.bytes_down) + (26 if entry.cut else 14)
        yield Text(x=place.x, y=foot, text=bytes_text(entry.bytes_down), kind="value down")
    if entry.update_rounds:
        rounds = ",".join(map(str, entry.update_rounds))
        y = top - (24 if roomy else 9)
        yield Mark(x=place.x - 7, y=y, form=Form.UP, kind="update", size=4.5, tip=f"Update of round {rounds}")
        yield Text(x=place.x + 1, y=y + 4, text=rounds, kind="value update", anchor="start")


def _position(place: Place, room: float, levels: Levels) -> Iterator[Shape]:
    """The pass's number between the bars, its window on the axis, and a leader between them."""
    entry = place.entry
    every = 1 if room >= 15 else 5
    if entry.number % every == 0 or entry.number == 1:
        middle = (levels.up_foot + levels.down_top) / 2 + 4.5
        yield Text(x=place.x, y=middle, text=str(entry.number), kind="number cut" if entry.cut else "number")
    elbow = levels.leaders + 6
    yield Line(x1=place.x, y1=levels.leaders, x2=place.x, y2=elbow, kind="leader")
    yield Line(x1=place.x, y1=elbow, x2=place.at, y2=levels.axis - 6, kind="leader")
    yield Bar(
        x=min(place.begin, place.at - 1.25),
        y=levels.axis - 6,
        width=max(2.5, place.end - place.begin),
        height=12,
        kind="cut window" if entry.cut else "window",
        tip=f"Pass {entry.number}: {moment_text(entry.aos)} to {moment_text(entry.los)}, {entry.station}, "
        f"peak {entry.peak_deg:.0f}°",
    )


def _axis(passes: tuple[PassReport, ...], width: float, levels: Levels) -> Iterator[Shape]:
    yield Line(x1=0, y1=levels.axis, x2=width, y2=levels.axis, kind="axis")
    if not passes:
        return
    begin, end = extent(passes)
    along = _along(begin, end, width)
    for moment in time_ticks(begin, end, at_most=int(width / 85)):
        x = along((moment - begin).total_seconds())
        yield Line(x1=x, y1=levels.axis, x2=x, y2=levels.axis + 10, kind="axis")
        text = f"{moment.day}{SPACE}{moment:%b}{SPACE}{moment:%H:%M}"
        yield Text(x=min(max(x, 34), width - 34), y=levels.axis + 25, text=text, kind="tick")
