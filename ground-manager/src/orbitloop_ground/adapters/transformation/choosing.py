"""From what was found on the ground to the selection logic of one computer, beside its peers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from orbitloop.domain.density import Downlink, Product, bent_pipe, density, oracle, rising
from orbitloop.domain.hardware import HardwareTarget
from orbitloop.domain.optimum import Point, Progress, best_of, sweep
from orbitloop.domain.selection import (
    REFERENCE,
    UNKNOWN,
    Action,
    Discard,
    Grade,
    Option,
    Raw,
    Run,
    SelectionLogic,
    Tiling,
)
from orbitloop_ground.adapters.transformation.evidence import Evidence
from orbitloop_ground.adapters.transformation.fitting import Fitted
from orbitloop_ground.adapters.transformation.tiles import sent_by_reference

THRESHOLDS = (0.1, 0.2, 0.3, 0.5, 0.65, 0.8, 0.9, 0.95)
"""Where grades of certainty begin."""
_FEW = 5
"""Tiles of a context below which the training frames' evidence is taken in place of that of val."""

_HEADROOM = (0.9, 0.8, 0.7, 0.6, 0.5)
"""Shares of the deadline to plan with, the first that is enough for each fourth of the frames: other ground has other
shares of contexts."""
_DEAR = 0.02
"""Density that the deadline on the slowest ground may cost; else it is met on average only."""
_HALF_SURE = 0.5
_DIGITS = 9
"""Densities that agree in so many decimals are equal: sums in another order."""
_LEAST = 1e-4
"""Least share of the frames that a link carries."""

_DOUBT = 30.0
"""Cells of the network's work on all contexts that each of its products in one is mixed with."""

Allowed = Callable[[Action], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """Data value density of whom the logic is compared with, on the same frames and link.

    Direct deploy has the threshold of :func:`sure_of`, and ``direct_at_half`` one of 0.5.
    """

    bent_pipe: float
    direct_deploy: float
    direct_at_half: float
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
    """All that may be done on a target, at each number of tiles.

    Twice where the reference is a detector: looking at some tiles of each context, or once at the whole frame for all.
    """
    reference = fitted.reference
    ways = (False, True) if reference is not None and reference.view is not None else (False,)
    return [
        _tiling(fitted, target, tiles, allowed, whole=whole)
        for tiles in fitted.application.geometry.tilings
        for whole in ways
    ]


def overhead(fitted: Fitted, target: HardwareTarget, tiles: int) -> float:
    """Seconds of a frame that cutting and the context engine take."""
    each = target.time_of("cut") + target.time_of("engine")
    return fitted.application.geometry.megapixels * target.time_of("shrink") + tiles * tiles * each


def seconds_of(fitted: Fitted, target: HardwareTarget, action: Action, *, tiles: int, count: float) -> float:
    """Seconds of ``count`` tiles of a frame, on average."""
    if not isinstance(action, Run):
        return 0.0
    reference = fitted.reference
    if action.model == REFERENCE and reference is not None and reference.view is not None:
        return reference.seconds(target) * reference.view.share(tiles, count)
    return count * target.time_of(action.model.partition("@")[0])


def _tiling(fitted: Fitted, target: HardwareTarget, tiles: int, allowed: Allowed, *, whole: bool) -> Tiling:
    options = {}
    for index, name in enumerate(fitted.contexts):
        models = [*fitted.specialised.get(index, ()), *([REFERENCE] if fitted.reference is not None else [])]
        runs: list[Action] = [Run(model=model, threshold=THRESHOLDS[0]) for model in models]
        actions: list[Action] = [action for action in [Discard(), Raw(), *runs] if allowed(action)]
        options[name] = [_option(fitted, target, tiles, (index, action)) for action in actions]
    options[UNKNOWN] = [_option(fitted, target, tiles, (-1, fallback(fitted)))]
    before = overhead(fitted, target, tiles)
    if whole and fitted.reference is not None:
        before += fitted.reference.seconds(target)
        options = {context: [_looked_at(option) for option in given] for context, given in options.items()}
    return Tiling(tiles=tiles, overhead=before, options=options)


def _looked_at(option: Option) -> Option:
    """The same where the reference has looked at the whole frame already."""
    seen = isinstance(option.action, Run) and option.action.model == REFERENCE
    return replace(option, seconds=0.0) if seen else option


def fallback(fitted: Fitted) -> Action:
    """What becomes of tiles that are unlike all contexts: the reference looks; raw where there is none."""
    return Raw() if fitted.reference is None else Run(model=REFERENCE, threshold=THRESHOLDS[0])


def _option(fitted: Fitted, target: HardwareTarget, tiles: int, what: tuple[int, Action]) -> Option:
    context, action = what
    evidence = fitted.val
    if context >= 0 and fitted.val.count(tiles, context) < _FEW < fitted.spare.count(tiles, context):
        evidence = fitted.spare
    count = tiles * tiles * evidence.share(tiles, context)
    seconds = seconds_of(fitted, target, action, tiles=tiles, count=count)
    products = evidence.products(tiles, context, action, THRESHOLDS)
    if isinstance(action, Run):
        cells = evidence.tiles[tiles].maps.size
        known = _anywhere(fitted, tiles, replace(action, model=action.model.partition("@")[0]))
        mixed = [_mixed(product, prior.density, cells) for product, prior in zip(products, known, strict=True)]
        products = rising(mixed)
    return Option(action=action, seconds=seconds, products=tuple(products))


def _mixed(product: Product, prior: float, cells: int) -> Product:
    """A product as it is expected on other frames: mixed with some cells as valuable as the network's are anywhere.

    That five cells of a context passed a threshold, all of them right, is no proof of a precision of 1; with many cells
    the difference vanishes.
    """
    seen = product.size * cells
    return Product(size=product.size, value=product.size * (product.value * cells + prior * _DOUBT) / (seen + _DOUBT))


def _mixture(products: Iterable[Product]) -> Product:
    """Of equal worth: nothing of it goes first."""
    given = list(products)
    return Product(size=sum(product.size for product in given), value=sum(product.value for product in given))


def _anywhere(fitted: Fitted, tiles: int, action: Run) -> list[Product]:
    """What a network that serves every context makes of all of them together."""
    parts = [fitted.val.products(tiles, index, action, THRESHOLDS) for index in range(len(fitted.contexts))]
    return rising([_mixture(part) for part in zip(*parts, strict=True)])


def search(
    fitted: Fitted,
    target: HardwareTarget,
    link: Downlink,
    *,
    allowed: Allowed = lambda action: True,
    tilings: Sequence[int] | None = None,
    progress: Progress = lambda done, total: None,
) -> Chosen:
    """The best logic of a target under a link, by the frames to choose by.

    Args:
        allowed: which actions may be chosen; to see what a technique alone is worth.
        tilings: numbers of tiles a side to choose from; all of the application's without it.
        progress: told of the search.
    """
    every = [entry for entry in tilings_of(fitted, target, allowed) if tilings is None or entry.tiles in tilings]
    points, point, notes = _swept(fitted, target, link, every, progress)
    logic = _logic(fitted, point)
    return Chosen(
        target=target,
        link=link,
        logic=logic,
        point=point,
        points=points,
        peers=peers_of(fitted, fitted.val, target, link),
        notes=[*fitted.notes, *notes],
    )


def _swept(
    fitted: Fitted, target: HardwareTarget, link: Downlink, tilings: Sequence[Tiling], progress: Progress
) -> tuple[list[Point], Point, list[str]]:
    """Every point, the best, and what is to be said of it.

    The best leaves so much of the deadline that it is met on each fourth of the frames, if that costs next to nothing.
    """

    def planned(headroom: float) -> list[Point]:
        return sweep(tilings, fitted.val.prevalence, replace(link, deadline=headroom * link.deadline), progress)

    def slowest(point: Point) -> float:
        parts = [fitted.val.of(part) for part in fitted.val.fourths()]
        return max((frame_seconds(fitted, target, point.tiles, point.actions, part) for part in parts), default=0.0)

    first = points = planned(_HEADROOM[0])
    best = point = best_of(points)
    if not best.meets:
        return points, best, [_shed(target, best, link, tilings)]
    for headroom in _HEADROOM[1:]:
        if slowest(point) <= link.deadline:
            return points, point, []
        points = [found for found in planned(headroom) if found.meets]
        if not points or (point := best_of(points)).density < best.density - _DEAR:
            break
    note = (
        f"{target.name}: the slowest fourth of the frames takes {slowest(best):.3g} s a frame, and the deadline is "
        f"{link.deadline:.3g} s; it is met on average, and on such ground some frames are sent raw"
    )
    return first, best, [note]


def frame_seconds(
    fitted: Fitted, target: HardwareTarget, tiles: int, actions: Mapping[str, Action], evidence: Evidence
) -> float:
    """Seconds of a frame on average, by the shares that contexts have of the tiles of ``evidence``."""
    counts: dict[Action, float] = {}
    for index, name in [*enumerate(fitted.contexts), (-1, UNKNOWN)]:
        action = actions.get(name, actions[UNKNOWN])
        alike = replace(action, threshold=THRESHOLDS[0]) if isinstance(action, Run) else action
        counts[alike] = counts.get(alike, 0.0) + tiles * tiles * evidence.share(tiles, index)
    return overhead(fitted, target, tiles) + sum(
        seconds_of(fitted, target, action, tiles=tiles, count=count) for action, count in counts.items()
    )


def _shed(target: HardwareTarget, point: Point, link: Downlink, tilings: Sequence[Tiling]) -> str:
    """That frames are shed, and why."""
    least = min(
        tiling.overhead + sum(min(option.seconds for option in options) for options in tiling.options.values())
        for tiling in tilings
    )
    why = "the link is filled with surer products by processing fewer frames longer"
    if least > link.deadline:
        why = "nothing meets the frame deadline"
    return (
        f"{target.name}: {why}. The logic takes {point.seconds:.3g} s a frame of {link.deadline:.3g} s: "
        f"{min(1.0, link.deadline / point.seconds):.0%} of the frames are processed, the others are sent raw. "
        "More time (a narrower swath, a lower rate) or a faster computer would process all"
    )


def _logic(fitted: Fitted, point: Point) -> SelectionLogic:
    """A point as it flies: of each model only what is worth more than a raw frame."""
    table: dict[str, Action] = {}
    grades: dict[str, tuple[Grade, ...]] = {}
    for context, option in point.choice:
        action, products = option.action, option.products
        if isinstance(action, Run):
            seen = _anywhere(fitted, point.tiles, action) if context == UNKNOWN else products
            worths = np.maximum.accumulate([min(1.0, product.density) for product in seen])
            found = [Grade(threshold=at, worth=float(worth)) for at, worth in zip(THRESHOLDS, worths, strict=True)]
            while len(found) > 1 and found[0].worth < fitted.val.prevalence:
                found = found[1:]
            table[context], grades[context] = replace(action, threshold=found[0].threshold), tuple(found)
        else:
            table[context] = action
            grades[context] = tuple(Grade(threshold=0.0, worth=min(1.0, product.density)) for product in products)
    return SelectionLogic(tiles=point.tiles, cells=fitted.application.geometry.cells, table=table, grades=grades)


def peers_of(fitted: Fitted, evidence: Evidence, target: HardwareTarget, link: Downlink) -> Peers:
    """The peers on the frames of ``evidence``."""
    prevalence = evidence.prevalence
    direct = at_half = bent_pipe(prevalence)
    seconds = 0.0
    if fitted.reference is not None:
        seconds = fitted.reference.seconds(target)
        direct, at_half = (
            density([_direct(evidence, threshold)], seconds, prevalence, link)
            for threshold in (sure_of(fitted, target, link), _HALF_SURE)
        )
    return Peers(
        bent_pipe=bent_pipe(prevalence),
        direct_deploy=direct,
        direct_at_half=at_half,
        direct_seconds=seconds,
        oracle=oracle(prevalence, link),
    )


def sure_of(fitted: Fitted, target: HardwareTarget, link: Downlink) -> float:
    """How sure the reference as it is has to be of what it sends: as brings most on the frames to choose by."""
    assert fitted.reference is not None
    seconds, prevalence = fitted.reference.seconds(target), fitted.val.prevalence

    def rank(threshold: float) -> tuple[float, float]:
        found = density([_direct(fitted.val, threshold)], seconds, prevalence, link)
        return round(found, _DIGITS), -abs(threshold - _HALF_SURE)

    return max(THRESHOLDS, key=rank)


def _direct(evidence: Evidence, threshold: float) -> Product:
    """What the reference as it is makes of a frame."""
    tiles = next(iter(evidence.tiles.values()))
    sent, truth = sent_by_reference(tiles, evidence.highest, threshold), tiles.maps >= 0.5
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
    made: list[tuple[float, Product]] = []
    for index, name in [*enumerate(fitted.contexts), (-1, UNKNOWN)]:
        action = chosen.logic.action(name)
        grades = chosen.logic.grades[name]
        products = evidence.products(tiles, index, action, [grade.threshold for grade in grades])
        made.extend((grade.worth, product) for grade, product in zip(grades, products, strict=True))
    seconds = frame_seconds(fitted, target, tiles, chosen.logic.table, evidence)
    ordered = [_mixture(product for at, product in made if at == worth) for worth in sorted(dict(made), reverse=True)]
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
