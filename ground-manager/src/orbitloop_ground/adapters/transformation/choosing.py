"""From what was found on the ground to the selection logic of one computer, beside its peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orbitloop.domain.density import Downlink, Product, bent_pipe, density, oracle
from orbitloop.domain.hardware import HardwareTarget
from orbitloop.domain.optimum import Point, Progress, best_of, sweep
from orbitloop.domain.selection import REFERENCE, UNKNOWN, Action, Discard, Option, Raw, Run, SelectionLogic, Tiling
from orbitloop_ground.adapters.transformation.evidence import Evidence
from orbitloop_ground.adapters.transformation.fitting import Fitted
from orbitloop_ground.adapters.transformation.tiles import sent_by_reference

THRESHOLDS = (0.3, 0.5, 0.65, 0.8, 0.9, 0.95)
_FEW = 5
"""Tiles of a context below which the training frames' evidence is taken in place of that of val."""

_LEAST = 1e-4
"""Least share of the frames that a link carries."""

_DOUBT = 20.0
"""Cells of its context's own density that every product is mixed with."""

Allowed = Callable[[Action], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """Data value density of whom the logic is compared with, on the same frames and link."""

    bent_pipe: float
    direct_deploy: float
    direct_seconds: float
    oracle: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """The best logic of a target, every point of the sweep, and the peers, by evidence of val."""

    target: HardwareTarget
    link: Downlink
    logic: SelectionLogic
    point: Point
    points: Sequence[Point]
    peers: Peers
    notes: Sequence[str]


def tilings_of(fitted: Fitted, target: HardwareTarget, allowed: Allowed = lambda action: True) -> list[Tiling]:
    """All that may be done on a target, at each number of tiles."""
    return [_tiling(fitted, target, tiles, allowed) for tiles in fitted.application.geometry.tilings]


def overhead(fitted: Fitted, target: HardwareTarget, tiles: int) -> float:
    """Seconds of a frame that cutting and the context engine take."""
    each = target.time_of("cut") + target.time_of("engine")
    return fitted.application.geometry.megapixels * target.time_of("shrink") + tiles * tiles * each


def seconds_of(fitted: Fitted, target: HardwareTarget, action: Action, tiles: int) -> float:
    """Seconds of one tile."""
    if not isinstance(action, Run):
        return 0.0
    if action.model == REFERENCE and fitted.reference is not None and fitted.reference.graph is None:
        return fitted.reference.seconds(target) / (tiles * tiles)
    return target.time_of(action.model.partition("@")[0])


def _tiling(fitted: Fitted, target: HardwareTarget, tiles: int, allowed: Allowed) -> Tiling:
    options = {}
    for index, name in enumerate(fitted.contexts):
        models = [*fitted.specialised.get(index, ()), *([REFERENCE] if fitted.reference is not None else [])]
        runs: list[Action] = [Run(model=model, threshold=at) for model in models for at in THRESHOLDS]
        actions: list[Action] = [action for action in [*runs, Raw(), Discard()] if allowed(action)]
        options[name] = [_option(fitted, target, tiles, (index, action)) for action in actions]
    options[UNKNOWN] = [_option(fitted, target, tiles, (-1, fallback(fitted)))]
    return Tiling(tiles=tiles, overhead=overhead(fitted, target, tiles), options=options)


def fallback(fitted: Fitted) -> Action:
    """What becomes of tiles that are unlike all contexts: the reference looks; raw where there is none."""
    return Raw() if fitted.reference is None else Run(model=REFERENCE, threshold=0.5)


def _option(fitted: Fitted, target: HardwareTarget, tiles: int, what: tuple[int, Action]) -> Option:
    context, action = what
    evidence = fitted.val
    if context >= 0 and fitted.val.count(tiles, context) < _FEW < fitted.spare.count(tiles, context):
        evidence = fitted.spare
    count = tiles * tiles * evidence.share(tiles, context)
    seconds = count * seconds_of(fitted, target, action, tiles)
    return Option(action=action, seconds=seconds, product=_doubted(evidence, tiles, context, action))


def _doubted(evidence: Evidence, tiles: int, context: int, action: Action) -> Product:
    """A product as it is expected on other frames: mixed with some cells of its context.

    A threshold that passes five cells of which five are right is no proof of a precision of 1; with many cells the
    difference vanishes.
    """
    product = evidence.product(tiles, context, action)
    if not isinstance(action, Run) or not product.size:
        return product
    plain = evidence.product(tiles, context, Raw()).density
    cells = product.size * evidence.tiles[tiles].maps.size
    return Product(
        size=product.size, value=product.size * (product.density * cells + plain * _DOUBT) / (cells + _DOUBT)
    )


def choose(
    fitted: Fitted,
    target: HardwareTarget,
    link: Downlink,
    *,
    allowed: Allowed = lambda action: True,
    tilings: Sequence[int] | None = None,
    progress: Progress = lambda done, total: None,
) -> Chosen:
    """The best logic of a target under a link.

    Args:
        allowed: which actions may be chosen; to see what a technique alone is worth.
        tilings: numbers of tiles a side to choose from; all of the application's without it.
        progress: told of the search.
    """
    every = [entry for entry in tilings_of(fitted, target, allowed) if tilings is None or entry.tiles in tilings]
    points = sweep(every, fitted.val.prevalence, link, progress)
    point = best_of(points)
    notes = list(fitted.notes)
    if not point.meets:
        notes.append(
            f"{target.name} cannot meet the deadline of {link.deadline:.3g} s: the logic takes "
            f"{point.seconds:.3g} s a frame; {link.deadline / point.seconds:.0%} of the frames are processed, the "
            "others are sent raw. Give it more time (a narrower swath, a lower rate), or a faster computer"
        )
    worth = {context: option.product.density for context, option in point.choice}
    logic = SelectionLogic(tiles=point.tiles, cells=fitted.application.geometry.cells, table=point.actions, worth=worth)
    return Chosen(
        target=target,
        link=link,
        logic=logic,
        point=point,
        points=points,
        peers=peers_of(fitted, fitted.val, target, link),
        notes=notes,
    )


def peers_of(fitted: Fitted, evidence: Evidence, target: HardwareTarget, link: Downlink) -> Peers:
    """The peers on the frames of ``evidence``."""
    prevalence = evidence.prevalence
    direct, seconds = bent_pipe(prevalence), 0.0
    if fitted.reference is not None:
        seconds = fitted.reference.seconds(target)
        direct = density([_direct(evidence)], seconds, prevalence, link)
    return Peers(
        bent_pipe=bent_pipe(prevalence),
        direct_deploy=direct,
        direct_seconds=seconds,
        oracle=oracle(prevalence, link),
    )


def _direct(evidence: Evidence) -> Product:
    """What the reference as it is makes of a frame."""
    tiles = next(iter(evidence.tiles.values()))
    sent, truth = sent_by_reference(tiles, evidence.highest), tiles.maps >= 0.5
    return Product(size=float(sent.mean()), value=float((sent & truth).mean()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a logic does on frames that it was not chosen by."""

    density: float
    seconds: float
    engine_seconds: float
    peers: Peers


def judge(fitted: Fitted, chosen: Chosen, evidence: Evidence) -> Verdict:
    """A logic on other frames: by the engine's word on their tiles, sent in the order that was expected."""
    tiles, target = chosen.logic.tiles, chosen.target
    made, seconds = [], overhead(fitted, target, tiles)
    for index, name in [*enumerate(fitted.contexts), (-1, UNKNOWN)]:
        action = chosen.logic.action(name)
        count = tiles * tiles * evidence.share(tiles, index)
        seconds += count * seconds_of(fitted, target, action, tiles)
        made.append((chosen.logic.worth[name], evidence.product(tiles, index, action)))
    ordered = [product for _, product in sorted(made, key=lambda entry: -entry[0])]
    return Verdict(
        density=density(ordered, seconds, evidence.prevalence, chosen.link, ordered=True),
        seconds=seconds,
        engine_seconds=tiles * tiles * target.time_of("engine"),
        peers=peers_of(fitted, evidence, target, chosen.link),
    )


def half_of_the_value(fitted: Fitted) -> Downlink:
    """A link that carries half of what is of high value in the frames to choose by: saturated, whoever sends."""
    capacity = max(fitted.val.prevalence / 2, _LEAST)
    return Downlink(capacity=capacity, deadline=fitted.application.geometry.deadline)
