"""Charts of what the link carried: sizes of updates, shares of what was captured, seconds on the air."""

from __future__ import annotations

from collections.abc import Iterator

from orbitloop.domain.units import BitsPerSecond, Bytes, transfer_time
from orbitloop_mission.report.drawing import (
    FULL,
    HALF,
    NARROW,
    Bar,
    Drawing,
    Figure,
    Form,
    Key,
    Line,
    Mark,
    Shape,
    Text,
)
from orbitloop_mission.report.geometry import Linear, Logarithmic, Scale, decades, ticks
from orbitloop_mission.report.schema import LinkFacts, MissionReport, PassReport, RoundReport
from orbitloop_mission.report.wording import SPACE, bytes_text, percent_text, rate_text, seconds_text

GUIDES = (3_000_000, 30_000_000)
"""Sizes that an update is held against, in bytes."""

ROW = 30.0
HEAD = 34.0
FOOT = 24.0
INSET = 62.0
SHORT = 0.01
"""Seconds below which a transfer lies at the edge of the chart."""

SHARES = 190.0
"""Room for the shares beside each pass, where the drawing is wide."""


def updates_figure(report: MissionReport) -> Figure:
    """Size of each round's update, on a logarithmic scale, against 3 MB, 30 MB and the whole model."""
    sizes = "; ".join(
        f"round {entry.round}: {bytes_text(entry.delta_bytes) if entry.delta_bytes else 'none'}"
        for entry in report.rounds
    )
    full = report.model.full_bytes
    return Figure(
        name="updates",
        title="Size of each update",
        summary=f"{sizes}; the whole model: {bytes_text(full)}." if sizes else "No round was flown.",
        wide=updates_drawing(report.rounds, full, width=HALF),
        narrow=updates_drawing(report.rounds, full, width=NARROW),
        keys=(
            Key(form=Form.UP, kind="up", text="update, as it was sent"),
            Key(form=Form.DIAMOND, kind="whole", text="the whole model, instead"),
        ),
        note="Logarithmic scale: each line is ten times the one before.",
    )


def updates_drawing(rounds: tuple[RoundReport, ...], full: int, *, width: float) -> Drawing:
    """A row a round, and one for the whole model; vertical lines at :data:`GUIDES`."""
    sizes = [entry.delta_bytes for entry in rounds if entry.delta_bytes]
    powers = decades(min([*sizes, 100_000]), max([full, *sizes, GUIDES[-1]]))
    along = Logarithmic(low=powers[0], high=powers[-1], start=INSET, stop=width - 26)
    height = HEAD + ROW * (len(rounds) + 1) + FOOT
    shapes: list[Shape] = list(_decades(powers, along, height))
    for guide in GUIDES:
        x = along(guide)
        shapes.append(Line(x1=x, y1=HEAD - 12, x2=x, y2=height - FOOT, kind="guide"))
        shapes.append(Text(x=x, y=HEAD - 18, text=bytes_text(guide), kind="guide-label"))
    for index, entry in enumerate(rounds):
        shapes.extend(_update(entry, HEAD + ROW * (index + 0.5), along, width))
    y = HEAD + ROW * (len(rounds) + 0.5)
    words = bytes_text(full)
    shapes.append(Line(x1=INSET, y1=y, x2=along(full), y2=y, kind="whole stem"))
    shapes.append(Mark(x=along(full), y=y, form=Form.DIAMOND, kind="whole", size=5.5, tip=f"Whole model: {words}"))
    shapes.append(Text(x=along(full) - 10, y=y - 6, text=words, kind="value", anchor="end"))
    shapes.append(Text(x=INSET - 10, y=y + 4, text="whole", anchor="end"))
    return Drawing(width=width, height=height, shapes=tuple(shapes))


def _update(entry: RoundReport, y: float, along: Scale, width: float) -> Iterator[Shape]:
    yield Text(x=INSET - 10, y=y + 4, text=f"round {entry.round}", anchor="end")
    if not entry.delta_bytes:
        yield Text(x=INSET + 4, y=y + 4, text="no update was built", kind="note", anchor="start")
        return
    x, words = along(entry.delta_bytes), bytes_text(entry.delta_bytes)
    yield Line(x1=INSET, y1=y, x2=x, y2=y, kind="up stem")
    yield Mark(x=x, y=y, form=Form.UP, kind="up", size=5.5, tip=f"Round {entry.round}: {words}")
    if x + 70 < width:
        yield Text(x=x + 11, y=y + 4, text=words, kind="value", anchor="start")
    else:
        yield Text(x=x - 10, y=y - 6, text=words, kind="value", anchor="end")


def _decades(powers: tuple[float, ...], along: Scale, height: float) -> Iterator[Shape]:
    for power in powers:
        x = along(power)
        yield Line(x1=x, y1=HEAD, x2=x, y2=height - FOOT, kind="grid")
        yield Text(x=x, y=height - 8, text=bytes_text(power), kind="tick")


def share_figure(report: MissionReport) -> Figure:
    """Which share of the captured bytes came down in each round."""
    shares = tuple((entry, share_of(entry)) for entry in report.rounds)
    words = "; ".join(
        f"round {entry.round}: {bytes_text(entry.downlinked_bytes)} of {bytes_text(entry.captured_bytes)}, "
        f"{percent_text(share)}"
        for entry, share in shares
    )
    return Figure(
        name="share",
        title="Captured bytes that came down",
        summary=words or "No round was flown.",
        wide=share_drawing(report.rounds, width=HALF),
        narrow=share_drawing(report.rounds, width=NARROW),
    )


def share_of(entry: RoundReport) -> float:
    """Bytes sent down by bytes captured; 0 where nothing was captured."""
    return entry.downlinked_bytes / entry.captured_bytes if entry.captured_bytes else 0.0


def share_drawing(rounds: tuple[RoundReport, ...], *, width: float) -> Drawing:
    """A bar a round; the scale reaches 10 % at least."""
    marks = ticks(0, max([10.0, *(share_of(entry) * 100 for entry in rounds)]), about=5)
    along = Linear(low=0, high=marks[-1], start=INSET, stop=width - 22)
    top, row = 8.0, 44.0
    height = top + row * max(1, len(rounds)) + FOOT
    shapes: list[Shape] = []
    for value in marks:
        x = along(value)
        shapes.append(Line(x1=x, y1=top, x2=x, y2=height - FOOT, kind="grid"))
        shapes.append(Text(x=x, y=height - 8, text=percent_text(value / 100), kind="tick"))
    for index, entry in enumerate(rounds):
        y, share = top + row * index, share_of(entry)
        words = f"{percent_text(share)} · {bytes_text(entry.downlinked_bytes)} of {bytes_text(entry.captured_bytes)}"
        shapes.append(Text(x=INSET - 10, y=y + 33, text=f"round {entry.round}", anchor="end"))
        shapes.append(Text(x=INSET, y=y + 18, text=words, kind="value", anchor="start"))
        length = along(share * 100) - INSET
        shapes.append(Bar(x=INSET, y=y + 24, width=length, height=12, kind="down", tip=f"Round {entry.round}: {words}"))
    return Drawing(width=width, height=height, shapes=tuple(shapes))


def airtime_figure(report: MissionReport) -> Figure:
    """How long the link was busy in each pass, beside how long it was open."""
    words = "; ".join(
        f"pass {entry.number}: open {seconds_text(open_seconds(entry))}, down "
        f"{seconds_text(busy_down(entry, report.link))}, up {seconds_text(busy_up(entry, report.link))}"
        for entry in report.passes
    )
    return Figure(
        name="airtime",
        title="Time on the air, pass by pass",
        summary=words or "No contact window was used.",
        wide=airtime_drawing(report.passes, report.link, width=FULL),
        narrow=airtime_drawing(report.passes, report.link, width=NARROW),
        keys=(
            Key(form=Form.DOWN, kind="down", text="busy down"),
            Key(form=Form.UP, kind="up", text="busy up"),
            Key(form=Form.CIRCLE, kind="window", text="window open"),
        ),
        note=f"Bytes over the nominal rates: {rate_text(report.link.downlink_bps)} down, "
        f"{rate_text(report.link.uplink_bps)} up. Logarithmic scale; shares are of the open window.",
    )


def open_seconds(entry: PassReport) -> float:
    """Length of the window as predicted."""
    return (entry.los - entry.aos).total_seconds()


def busy_down(entry: PassReport, link: LinkFacts) -> float:
    """Seconds that the bytes down need at the nominal rate."""
    return transfer_time(Bytes(entry.bytes_down), BitsPerSecond(link.downlink_bps)).total_seconds()


def busy_up(entry: PassReport, link: LinkFacts) -> float:
    """Seconds that the bytes up need at the nominal rate."""
    return transfer_time(Bytes(entry.bytes_up), BitsPerSecond(link.uplink_bps)).total_seconds()


def airtime_drawing(passes: tuple[PassReport, ...], link: LinkFacts, *, width: float) -> Drawing:
    """A row a pass: triangles where the traffic would end if it began at the left edge, a circle for the window."""
    row, top = 22.0, 10.0
    powers = decades(SHORT, max([100.0, *(open_seconds(entry) for entry in passes)]))
    margin = SHARES if width > HALF else 22.0
    along = Logarithmic(low=powers[0], high=powers[-1], start=INSET, stop=width - margin)
    height = top + row * max(1, len(passes)) + FOOT
    shapes: list[Shape] = []
    for power in powers:
        x = along(power)
        shapes.append(Line(x1=x, y1=top, x2=x, y2=height - FOOT, kind="grid"))
        shapes.append(Text(x=x, y=height - 8, text=f"{power:g}{SPACE}s", kind="tick"))
    for index, entry in enumerate(passes):
        y = top + row * (index + 0.5)
        shapes.extend(_airtime(entry, link, y, along))
        if width > HALF:
            shapes.append(Text(x=width, y=y + 4, text=_use(entry, link), kind="label", anchor="end"))
    return Drawing(width=width, height=height, shapes=tuple(shapes))


def _use(entry: PassReport, link: LinkFacts) -> str:
    window = open_seconds(entry)
    return f"{percent_text(busy_down(entry, link) / window)} down, {percent_text(busy_up(entry, link) / window)} up"


def _airtime(entry: PassReport, link: LinkFacts, y: float, along: Scale) -> Iterator[Shape]:
    window = open_seconds(entry)
    tip = f"Pass {entry.number}: open {seconds_text(window)}"
    yield Text(x=INSET - 10, y=y + 4, text=f"pass {entry.number}", anchor="end")
    yield Line(x1=INSET, y1=y, x2=along(max(window, SHORT)), y2=y, kind="window stem")
    yield Mark(x=along(max(window, SHORT)), y=y, form=Form.CIRCLE, kind="window", size=4, tip=tip)
    for kind, form, seconds in (
        ("down", Form.DOWN, busy_down(entry, link)),
        ("up", Form.UP, busy_up(entry, link)),
    ):
        if seconds:
            tip = f"Pass {entry.number}: busy {kind} {seconds_text(seconds)} of {seconds_text(window)}"
            yield Mark(x=along(max(seconds, SHORT)), y=y, form=form, kind=kind, size=5, tip=tip)
