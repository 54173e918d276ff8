"""Charts of what was learned and what was forgotten, round by round."""

from __future__ import annotations

from collections.abc import Iterator

from orbitloop_mission.report.drawing import HALF, NARROW, Drawing, Figure, Form, Key, Line, Mark, Shape, Text
from orbitloop_mission.report.geometry import Linear, spread, ticks
from orbitloop_mission.report.schema import MissionReport, RoundOutcome, RoundReport
from orbitloop_mission.report.wording import MINUS, OUTCOMES, points_text, precision_text

LEFT, RIGHT, TOP, BOTTOM = 34.0, 10.0, 14.0, 40.0
LABEL_GAP = 13.0
ROOMY = 90.0
"""Width of a round from which words and values fit beside their marks."""

NAMED = 58.0
"""Width of a round from which its name fits, and not only its number."""


def accuracy_figure(report: MissionReport) -> Figure:
    """mAP@0.5 per round on both domains, with the reference on all data where there is one."""
    referenced = any(entry.map50_all_data is not None for entry in report.rounds)
    keys = [
        Key(form=Form.CIRCLE, kind="new after", text="new domain"),
        Key(form=Form.SQUARE, kind="old after", text="old domain"),
    ]
    if referenced:
        keys.append(Key(form=Form.DIAMOND, kind="reference", text="new domain, trained on all data"))
    return Figure(
        name="accuracy",
        title="mAP@0.5 per round",
        summary="; ".join(_round_in_words(entry) for entry in report.rounds) or "No round was flown.",
        wide=accuracy_drawing(report.rounds, width=HALF),
        narrow=accuracy_drawing(report.rounds, width=NARROW),
        keys=tuple(keys),
        note="Hollow: before the round. Filled: after it. A round without a word or cross below it was applied."
        + ("" if referenced else " Flown without the reference that trains on all captured data."),
    )


def _round_in_words(entry: RoundReport) -> str:
    words = (
        f"round {entry.round}: new domain {precision_text(entry.map50_new_before)} to "
        f"{precision_text(entry.map50_new_after)}, old domain {precision_text(entry.map50_old_before)} to "
        f"{precision_text(entry.map50_old_after)}"
    )
    if entry.map50_all_data is None:
        return words
    return f"{words}, trained on all data {precision_text(entry.map50_all_data)}"


def accuracy_drawing(rounds: tuple[RoundReport, ...], *, width: float, height: float = 290.0) -> Drawing:
    """A column a round: from hollow (before) to filled (after), circles for the new and squares for the old domain."""
    low, high = _range(rounds)
    marks = ticks(low, high)
    upwards = Linear(low=marks[0], high=marks[-1], start=height - BOTTOM, stop=TOP)
    column = (width - LEFT - RIGHT) / max(1, len(rounds))
    shapes: list[Shape] = list(_grid(marks, upwards, width))
    for index, entry in enumerate(rounds):
        shapes.extend(_column(entry, LEFT + column * index, column, upwards))
        shapes.extend(_foot(entry, LEFT + column * (index + 0.5), column, height - BOTTOM))
    return Drawing(width=width, height=height, shapes=tuple(shapes))


def _range(rounds: tuple[RoundReport, ...]) -> tuple[float, float]:
    values = [
        value
        for entry in rounds
        for value in (
            entry.map50_new_before,
            entry.map50_new_after,
            entry.map50_old_before,
            entry.map50_old_after,
            entry.map50_all_data,
        )
        if value is not None
    ]
    if not values:
        return 0.0, 1.0
    return max(0.0, min(values) - 0.05), min(1.0, max(values) + 0.03)


def _grid(marks: tuple[float, ...], upwards: Linear, width: float) -> Iterator[Shape]:
    for value in marks:
        y = upwards(value)
        yield Line(x1=LEFT, y1=y, x2=width - RIGHT, y2=y, kind="grid")
        yield Text(x=LEFT - 6, y=y + 4, text=f"{value:.1f}" if value else "0", kind="tick", anchor="end")


def _column(entry: RoundReport, left: float, width: float, upwards: Linear) -> Iterator[Shape]:
    before, after = left + width * 0.24, left + width * 0.62
    pairs = (
        ("old", Form.SQUARE, "old domain", entry.map50_old_before, entry.map50_old_after),
        ("new", Form.CIRCLE, "new domain", entry.map50_new_before, entry.map50_new_after),
    )
    for kind, form, name, first, last in pairs:
        tip = f"Round {entry.round}, {name}: {precision_text(first)} before, {precision_text(last)} after"
        yield Line(x1=before, y1=upwards(first), x2=after, y2=upwards(last), kind=f"{kind} step")
        yield Mark(x=before, y=upwards(first), form=form, kind=f"{kind} before", tip=tip)
        yield Mark(x=after, y=upwards(last), form=form, kind=f"{kind} after", tip=tip)
    values = [("old", entry.map50_old_after), ("new", entry.map50_new_after)]
    if entry.map50_all_data is not None:
        tip = f"Round {entry.round}, trained on all data: {precision_text(entry.map50_all_data)}"
        y = upwards(entry.map50_all_data)
        yield Mark(x=after, y=y, form=Form.DIAMOND, kind="reference", size=5.5, tip=tip)
        values.append(("reference", entry.map50_all_data))
    if width >= ROOMY:
        places = spread([upwards(value) for _, value in values], gap=LABEL_GAP, low=upwards.stop, high=upwards.start)
        for (kind, value), y in zip(values, places, strict=True):
            yield Text(x=after + 9, y=y + 4, text=f"{value:.2f}", kind=f"value {kind}", anchor="start")


def _foot(entry: RoundReport, x: float, width: float, y: float) -> Iterator[Shape]:
    yield Text(x=x, y=y + 18, text=_name(entry.round, width), kind="label")
    if entry.outcome is RoundOutcome.APPLIED:
        return
    words = OUTCOMES[entry.outcome]
    if width >= ROOMY:
        yield Text(x=x, y=y + 33, text=words, kind="warning")
    else:
        yield Mark(x=x, y=y + 30, form=Form.CROSS, kind="cut", size=3.5, tip=f"Round {entry.round}: {words}")


def _name(number: int, width: float) -> str:
    return f"round {number}" if width >= NAMED else str(number)


def forgetting_figure(report: MissionReport) -> Figure:
    """How far the old domain has moved from where the launched model stood."""
    base = report.totals.map50_old_base
    changes = tuple((entry.round, entry.map50_old_after - base) for entry in report.rounds)
    words = "; ".join(f"after round {number}: {points_text(change)} points" for number, change in changes)
    return Figure(
        name="forgetting",
        title="Forgetting: change on the old domain since launch",
        summary=words or "No round was flown.",
        wide=forgetting_drawing(changes, width=HALF),
        narrow=forgetting_drawing(changes, width=NARROW),
        note=f"Points of mAP@0.5; the launched model reached {precision_text(base)}.",
    )


def forgetting_drawing(
    changes: tuple[tuple[int, float], ...], *, width: float, height: float = 290.0, least: float = 0.05
) -> Drawing:
    """A stem a round from the zero line; the scale shows at least ``least`` either way, so that noise looks small.

    Args:
        changes: number of the round and change of the precision since launch, 0.01 to a point.
        width: of the drawing.
        height: of the drawing; that of its neighbour.
        least: of the scale, as a change of the precision.
    """
    most = max([least, *(abs(change) for _, change in changes)])
    marks = ticks(-most * 100, most * 100, about=4)
    upwards = Linear(low=marks[0], high=marks[-1], start=height - 30, stop=TOP)
    column = (width - LEFT - RIGHT) / max(1, len(changes))
    shapes: list[Shape] = []
    for value in marks:
        y = upwards(value)
        shapes.append(Line(x1=LEFT, y1=y, x2=width - RIGHT, y2=y, kind="grid" if value else "zero"))
        text = f"{value:+g}".replace("-", MINUS) if value else "0"
        shapes.append(Text(x=LEFT - 6, y=y + 4, text=text, kind="tick", anchor="end"))
    for index, (number, change) in enumerate(changes):
        x, y = LEFT + column * (index + 0.5), upwards(change * 100)
        words = points_text(change)
        shapes.append(Line(x1=x, y1=upwards(0), x2=x, y2=y, kind="old stem"))
        tip = f"After round {number}: {words} points"
        shapes.append(Mark(x=x, y=y, form=Form.SQUARE, kind="old after", size=5.5, tip=tip))
        if column >= NAMED + 10:
            shapes.append(Text(x=x + 11, y=y + 4, text=words, kind="value old", anchor="start"))
        shapes.append(Text(x=x, y=height - 8, text=_name(number, column), kind="label"))
    return Drawing(width=width, height=height, shapes=tuple(shapes))
