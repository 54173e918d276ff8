"""Whether a logic holds on frames that it was not chosen by: otherwise the reference flies as it is."""

from __future__ import annotations

from dataclasses import replace

from orbitloop.domain.density import Downlink
from orbitloop.domain.hardware import HardwareTarget
from orbitloop.domain.optimum import Point, Progress
from orbitloop.domain.selection import REFERENCE, UNKNOWN, Grade, Option, Run, SelectionLogic
from orbitloop_ground.adapters.transformation.choosing import (
    Chosen,
    Peers,
    judge,
    overhead,
    search,
    seconds_of,
    sure_of,
)
from orbitloop_ground.adapters.transformation.fitting import Fitted


def choose(
    fitted: Fitted, target: HardwareTarget, link: Downlink, *, progress: Progress = lambda done, total: None
) -> Chosen:
    """The best logic of a target under a link; the reference as it is, where that does better on held-out frames.

    What is best of many choices by few frames was partly lucky there. So the search is done again for each of four
    parts of the frames without it, and what it finds is judged on that part, beside the reference.

    Args:
        progress: told of the search.
    """
    best = search(fitted, target, link, progress=progress)
    found = _held_out(fitted, target, link)
    if found is None:
        return best
    ours, direct = found
    note = (
        f"searched without a fourth of the frames and judged on it, each in turn: {ours:.3f}; the reference as it is "
        f"has {direct:.3f} there"
    )
    if ours >= direct:
        return replace(best, notes=[*best.notes, note])
    point, logic = _as_it_is(fitted, target, link, best.peers)
    note = f"the reference flies as it is: {note}. More frames to choose by may show otherwise"
    return replace(best, logic=logic, point=point, points=[*best.points, point], notes=[*best.notes, note])


def _held_out(fitted: Fitted, target: HardwareTarget, link: Downlink) -> tuple[float, float] | None:
    """Density of what a search finds without some frames on those, and of direct deploy; ``None``: too few frames."""
    parts = fitted.val.fourths()
    if fitted.reference is None or not parts:
        return None
    ours = direct = 0.0
    for out in parts:
        others, evidence = replace(fitted, val=fitted.val.of(~out)), fitted.val.of(out)
        verdict = judge(fitted, search(others, target, link), evidence)
        ours += verdict.density * float(out.mean())
        direct += verdict.peers.direct_deploy * float(out.mean())
    return ours, direct


def _as_it_is(fitted: Fitted, target: HardwareTarget, link: Downlink, peers: Peers) -> tuple[Point, SelectionLogic]:
    """Direct deploy as a logic: the reference, at its own tiles, sends what it is sure enough of."""
    reference, geometry = fitted.reference, fitted.application.geometry
    assert reference is not None
    tiles = geometry.tilings[0] if reference.graph is None else fitted.application.reference_tiles
    sure = sure_of(fitted, target, link)
    action = Run(model=REFERENCE, threshold=sure)
    choice = []
    for index, name in [*enumerate(fitted.contexts), (-1, UNKNOWN)]:
        count = tiles * tiles * fitted.val.share(tiles, index)
        seconds = seconds_of(fitted, target, action, tiles=tiles, count=count)
        products = tuple(fitted.val.products(tiles, index, action, [sure]))
        choice.append((name, Option(action=action, seconds=seconds, products=products)))
    seconds = overhead(fitted, target, tiles) + sum(option.seconds for _, option in choice)
    point = Point(
        tiles=tiles,
        choice=tuple(choice),
        seconds=seconds,
        density=peers.direct_deploy,
        meets=seconds <= link.deadline,
    )
    made = [product for _, option in choice for product in option.products]
    size, value = sum(product.size for product in made), sum(product.value for product in made)
    grade = Grade(threshold=sure, worth=min(1.0, value / size) if size else 0.0)
    table = {name: option.action for name, option in choice}
    logic = SelectionLogic(tiles=tiles, cells=geometry.cells, table=table, grades=dict.fromkeys(table, (grade,)))
    return point, logic
