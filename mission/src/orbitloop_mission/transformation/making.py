"""A transformation from beginning to end: the artefact, and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.contexts import ExpertRule, Index, IndexRule, MapRule
from orbitloop.domain.density import Downlink
from orbitloop.domain.errors import BadInput
from orbitloop.domain.hardware import HardwareTarget
from orbitloop.domain.optimum import Progress
from orbitloop.domain.selection import REFERENCE, UNKNOWN
from orbitloop.wire.selection_file import ENGINE, SelectionPackage, pack_selection
from orbitloop.wire.update import Sign
from orbitloop_edge.adapters.imagery import resampled
from orbitloop_edge.adapters.onnx_networks import OnnxNetwork
from orbitloop_ground.adapters.transformation.applications import Application
from orbitloop_ground.adapters.transformation.choosing import Chosen, half_of_the_value, judge
from orbitloop_ground.adapters.transformation.fitting import Effort, Fitted, Fitting
from orbitloop_ground.adapters.transformation.holding_out import choose
from orbitloop_mission.transformation.report import as_text, document_of, page_of, swept

ARTEFACT, REPORT, PAGE = "selection.ols", "report.json", "report.html"
_MAP, _RANGE = 5, 3
"""Parts of a rule of a box on the map, and of a range of an index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for.

    Args:
        target: the computer.
        capacity: share of the frames that the link carries; ``None``: half of what is of high value.
        deadline: seconds a frame; ``None``: by orbit and swath of the application.
        version: of the artefact.
        effort: how much is trained.
        rules: contexts of experts; without any they are found.
    """

    target: HardwareTarget
    capacity: float | None = None
    deadline: float | None = None
    version: int = 1
    effort: Effort = Effort()
    rules: tuple[ExpertRule, ...] = ()

    def __post_init__(self) -> None:
        if self.version < 1:
            raise BadInput(f"version {self.version} must be at least 1; count it up with every artefact that flies")
        Downlink(  # refuses a capacity or a deadline that is none, before minutes of training
            capacity=1.0 if self.capacity is None else self.capacity,
            deadline=1.0 if self.deadline is None else self.deadline,
        )


def transform(
    application: Application,
    wish: Wish,
    out: Path,
    sign: Sign,
    *,
    told: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda done, total: None,
) -> Chosen:
    """Fit an application to a computer; write the signed artefact, ``report.json`` and ``report.html`` into ``out``.

    The same application, wish and key make the same artefact, byte for byte, on the same computer.

    Args:
        told: of what is done, a line at a time.
        progress: of each network's training, in steps, and of the search, in numbers of tiles.

    Raises:
        BadInput: there is too little to learn from, or the target was never timed for what it should run.
    """
    fitting = Fitting(application, wish.effort, OnnxNetwork, resampled, rules=wish.rules, told=told, progress=progress)
    fitted = fitting.run()
    half = half_of_the_value(fitted)
    link = Downlink(capacity=wish.capacity or half.capacity, deadline=wish.deadline or half.deadline)
    told("searching")
    chosen = choose(fitted, wish.target, link, progress=progress)
    verdict = None
    if application.frames.test:
        verdict = judge(fitted, chosen, fitting.evidence(fitted, application.frames.test))
    document = document_of(fitted, chosen, swept(fitted, chosen), verdict)
    packed = pack_selection(package_of(fitted, chosen, wish.version), sign)
    out.mkdir(parents=True, exist_ok=True)
    write_durably(out / ARTEFACT, packed)
    write_durably(out / REPORT, as_text(document).encode())
    write_durably(out / PAGE, page_of(document).encode())
    return chosen


def package_of(fitted: Fitted, chosen: Chosen, version: int) -> SelectionPackage:
    """What flies: the logic, the engine, and the networks that the logic runs."""
    wanted = {*chosen.logic.models, REFERENCE} & fitted.graphs.keys()
    return SelectionPackage(
        version=version,
        application=fitted.application.name,
        target=chosen.target.name,
        side=fitted.application.geometry.side,
        highest=fitted.application.geometry.highest,
        link=chosen.link,
        contexts=tuple(context for context in chosen.logic.table if context != UNKNOWN),
        reach=fitted.reach,
        prevalence=fitted.val.prevalence,
        reference=None if fitted.reference is None else fitted.reference.view,
        logic=chosen.logic,
        parts={ENGINE: fitted.engine} | {name: fitted.graphs[name] for name in sorted(wanted)},
    )


def expert_rules(given: Sequence[str]) -> tuple[ExpertRule, ...]:
    """Rules as people write them: ``water=ndwi:0.1:1`` or ``fiji=map:176:-20:-178:-12`` (west, south, east, north).

    Raises:
        BadInput: one is neither.
    """
    return tuple(_rule(text) for text in given)


def _rule(text: str) -> ExpertRule:
    context, equals, rest = text.partition("=")
    kind, *numbers = rest.split(":")
    try:
        values = [float(number) for number in numbers]
        if equals and context and kind == "map" and len(numbers) == _MAP - 1:
            return MapRule(context=context, west=values[0], south=values[1], east=values[2], north=values[3])
        if equals and context and len(numbers) == _RANGE - 1:
            return IndexRule(context=context, index=Index(kind), low=values[0], high=values[1])
    except ValueError as error:
        raise BadInput(f"--context {text!r}: {error}; write water=ndwi:0.1:1 or here=map:W:S:E:N") from error
    raise BadInput(
        f"--context {text!r} is no rule; write water=ndwi:0.1:1, bright=brightness:0.6:1 or here=map:W:S:E:N"
    )
