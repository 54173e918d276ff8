"""What came of a transformation: every point of the sweep with its value and time, the chosen one, and the peers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from orbitloop.domain.density import Downlink
from orbitloop.domain.optimum import Point, best_within
from orbitloop.domain.selection import Action, Run
from orbitloop_ground.adapters.transformation.choosing import Chosen, Verdict, tilings_of
from orbitloop_ground.adapters.transformation.fitting import Fitted
from orbitloop_mission.report.drawing import FULL, Drawing, Form, Key, Line, Mark, Shape, Text

_HASTES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
"""Deadlines of the sweep, by that of the target: what less time would cost, and more would bring."""
_FORMS = (Form.CIRCLE, Form.SQUARE, Form.DIAMOND, Form.UP, Form.DOWN, Form.CROSS)
_LEFT, _RIGHT, _TOP, _BOTTOM = 70.0, 30.0, 24.0, 330.0
_HEIGHT = 380.0
_TICKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptPoint:
    """The best choice at one number of tiles within one time, and whether it flies."""

    point: Point
    deadline: float
    chosen: bool


def swept(fitted: Fitted, chosen: Chosen) -> list[SweptPoint]:
    """The best choices at every number of tiles within several deadlines around the target's, and the chosen one."""
    found: dict[tuple[int, float, float], SweptPoint] = {}
    tilings = tilings_of(fitted, chosen.target)
    for haste in _HASTES:
        link = Downlink(capacity=chosen.link.capacity, deadline=chosen.link.deadline * haste)
        for tiling in tilings:
            point = best_within(tiling, fitted.val.prevalence, link)
            if point is not None:
                key = (point.tiles, round(point.seconds, 9), round(point.density, 9))
                found.setdefault(key, SweptPoint(point=point, deadline=link.deadline, chosen=point == chosen.point))
    if not any(each.chosen for each in found.values()):
        found[0, 0.0, 0.0] = SweptPoint(point=chosen.point, deadline=chosen.link.deadline, chosen=True)
    return sorted(found.values(), key=lambda each: (each.point.tiles, each.point.seconds))


def document_of(
    fitted: Fitted, chosen: Chosen, points: Sequence[SweptPoint], verdict: Verdict | None
) -> dict[str, Any]:
    """The report as JSON."""
    peers = chosen.peers
    return {
        "application": fitted.application.name,
        "target": {
            "name": chosen.target.name,
            "provenance": chosen.target.provenance.value,
            "source": chosen.target.source,
            "watts": chosen.target.watts,
        },
        "link": {"capacity": chosen.link.capacity, "deadline_seconds": chosen.link.deadline},
        "prevalence": fitted.val.prevalence,
        "density": {
            "ours": chosen.point.density,
            "bent_pipe": peers.bent_pipe,
            "direct_deploy": peers.direct_deploy,
            "oracle": peers.oracle,
        },
        "frame_seconds": chosen.point.seconds,
        "direct_deploy_seconds": peers.direct_seconds,
        "meets_deadline": chosen.point.meets,
        "joules_a_frame": chosen.point.seconds * chosen.target.watts,
        "tiles": chosen.logic.tiles,
        "table": [_row(fitted, chosen, context) for context in chosen.logic.table],
        "models": _models(fitted, chosen),
        "contexts_tried": _tried(fitted),
        "points": [_point(each) for each in points],
        "test": None if verdict is None else _test(verdict),
        "notes": list(chosen.notes),
    }


def _row(fitted: Fitted, chosen: Chosen, context: str) -> dict[str, Any]:
    index = fitted.contexts.index(context) if context in fitted.contexts else -1
    return {
        "context": context,
        "share_of_tiles": fitted.val.share(chosen.logic.tiles, index),
        "action": action_text(chosen.logic.table[context]),
        "grades": [[grade.threshold, grade.worth] for grade in chosen.logic.grades[context]],
    }


def action_text(action: Action) -> str:
    """An action in a few words."""
    return f"run {action.model} at {action.threshold:g}" if isinstance(action, Run) else type(action).__name__.lower()


def _models(fitted: Fitted, chosen: Chosen) -> list[dict[str, Any]]:
    rows = []
    for index, context in enumerate(fitted.contexts):
        for model in fitted.specialised.get(index, ()):
            found = fitted.val.accuracy(chosen.logic.tiles, index, model)
            rows.append(
                {
                    "context": context,
                    "model": model,
                    "seconds_a_tile": chosen.target.time_of(model.partition("@")[0]),
                    "accuracy": found.accuracy,
                    "precision": found.precision,
                    "recall": found.recall,
                }
            )
    return rows


def _tried(fitted: Fitted) -> list[dict[str, Any]]:
    if fitted.clusters is None:
        return []
    return [
        {
            "count": way.count,
            "metric": way.metric.value,
            "transform": way.transform.value,
            "silhouette": way.silhouette,
            "chosen": way == fitted.clusters.chosen,
        }
        for way in fitted.clusters.tried
    ]


def _point(each: SweptPoint) -> dict[str, Any]:
    return {
        "tiles": each.point.tiles,
        "within_seconds": each.deadline,
        "seconds": each.point.seconds,
        "density": each.point.density,
        "chosen": each.chosen,
        "table": {context: action_text(action) for context, action in each.point.actions.items()},
    }


def _test(verdict: Verdict) -> dict[str, Any]:
    return {
        "ours": verdict.density,
        "bent_pipe": verdict.peers.bent_pipe,
        "direct_deploy": verdict.peers.direct_deploy,
        "oracle": verdict.peers.oracle,
        "frame_seconds": verdict.seconds,
        "engine_seconds": verdict.engine_seconds,
    }


def drawing_of(document: Mapping[str, Any]) -> Drawing:
    """Value against time: every point of the sweep, the deadline, the peers."""
    deadline = float(document["link"]["deadline_seconds"])
    longest: float = max([deadline * 1.15, *(point["seconds"] * 1.05 for point in document["points"])])
    width = FULL - _LEFT - _RIGHT

    def x(seconds: float) -> float:
        return _LEFT + width * seconds / longest

    def y(density: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * min(1.0, density)

    shapes: list[Shape] = []
    for tick in range(_TICKS + 1):
        value, at = tick / _TICKS, longest * tick / _TICKS
        shapes.append(Line(x1=_LEFT, y1=y(value), x2=FULL - _RIGHT, y2=y(value), kind="grid"))
        shapes.append(Text(x=_LEFT - 8, y=y(value) + 4, text=f"{value:.1f}", anchor="end"))
        shapes.append(Text(x=x(at), y=_BOTTOM + 18, text=f"{at:.3g}"))
    shapes.append(Text(x=FULL / 2, y=_HEIGHT - 12, text="seconds a frame"))
    shapes.append(Line(x1=x(deadline), y1=_TOP, x2=x(deadline), y2=_BOTTOM, kind="deadline"))
    shapes.append(Text(x=x(deadline), y=_TOP - 8, text="frame deadline"))
    for peer, name in (("bent_pipe", "bent pipe"), ("direct_deploy", "direct deploy")):
        level = y(document["density"][peer])
        shapes.append(Line(x1=_LEFT, y1=level, x2=FULL - _RIGHT, y2=level, kind=f"peer {peer}"))
        shapes.append(Text(x=FULL - _RIGHT, y=level - 4, text=f"{name} {document['density'][peer]:.2f}", anchor="end"))
    tilings = sorted({point["tiles"] for point in document["points"]})
    shapes.extend(
        Mark(
            x=x(point["seconds"]),
            y=y(point["density"]),
            form=_FORMS[tilings.index(point["tiles"]) % len(_FORMS)],
            kind="chosen" if point["chosen"] else "point",
            size=8 if point["chosen"] else 4.5,
            tip=f"{point['tiles']} tiles a side, {point['seconds']:.4g} s, density {point['density']:.3f}",
        )
        for point in sorted(document["points"], key=lambda each: bool(each["chosen"]))
    )
    return Drawing(width=FULL, height=_HEIGHT, shapes=tuple(shapes))


def page_of(document: Mapping[str, Any]) -> str:
    """The report as one HTML file that asks for nothing else."""
    templates = Environment(
        loader=PackageLoader("orbitloop_mission.transformation"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    tilings = sorted({point["tiles"] for point in document["points"]})
    keys = [
        Key(form=_FORMS[index % len(_FORMS)], kind="point", text=f"{tiles} tiles a side")
        for index, tiles in enumerate(tilings)
    ]
    return templates.get_template("page.html.j2").render(report=document, drawing=drawing_of(document), keys=keys)


def as_text(document: Mapping[str, Any]) -> str:
    """The JSON of a report; the same report makes the same text."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
