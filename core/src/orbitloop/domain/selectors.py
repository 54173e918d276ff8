"""Ways to choose which tiles of a frame are sent, behind one interface: ours, and those it is measured against.

Each is a pure function of the tiles, a byte budget, what was sent before and a source of chance, so that a satellite
can run any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import assert_never

import numpy as np

from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import BadInput
from orbitloop.domain.mining import MiningRule, Uniform, degree
from orbitloop.domain.samples import Reason
from orbitloop.domain.units import Bytes
from orbitloop.domain.value import Candidate, Choice, Seen, Worth, choose

Selector = Callable[[list[Candidate], Bytes, Seen, Uniform], list[Choice]]
"""From tiles, the most bytes they may take, what was sent before and chance to what is sent, first things first."""


class Selection(StrEnum):
    """Which tiles go first.

    ``Value``: expected learnable labels per byte, after a second look at each frame (:mod:`~orbitloop.domain.value`);
    ``FirstLook``: the same without the second look, which takes a quarter of the time of the first;
    ``Hard``: the tiles that the mining rule calls hard, the hardest first;
    ``Entropy``: the largest summed binary entropy of the detections first;
    ``CoreSet``: k-centre greedy over the tiles' signatures (Sener and Savarese, 2018);
    ``Random``: by chance; ``Everything``: in the order of the frame, until the budget is spent.
    """

    VALUE = "Value"
    FIRST_LOOK = "FirstLook"
    HARD = "Hard"
    ENTROPY = "Entropy"
    CORE_SET = "CoreSet"
    RANDOM = "Random"
    EVERYTHING = "Everything"


def selection_named(name: str) -> Selection:
    """The selection of that name. Raises ``BadInput`` for an unknown one."""
    try:
        return Selection(name)
    except ValueError as error:
        raise BadInput(f"selection {name!r} is unknown; use one of {', '.join(Selection)}") from error


def selector(selection: Selection, rule: MiningRule, worth: Worth) -> Selector:
    """What chooses by ``selection``.

    Args:
        rule: what ``Hard`` asks; the others, but ``Value`` and ``FirstLook``, do not.
        worth: what tiles are worth to ``Value`` and ``FirstLook``.
    """
    match selection:
        case Selection.VALUE | Selection.FIRST_LOOK:
            return lambda tiles, budget, seen, uniform: choose(tiles, budget, seen, uniform, worth)
        case Selection.HARD:
            return lambda tiles, budget, _, uniform: _filled(_hard_ones(tiles, rule, worth, uniform), budget)
        case Selection.ENTROPY:
            return lambda tiles, budget, _, uniform: _filled(_ranked(tiles, entropy_of, uniform), budget)
        case Selection.CORE_SET:
            return lambda tiles, budget, seen, uniform: _filled(_core_set(_shuffled(tiles, uniform), seen), budget)
        case Selection.RANDOM:
            return lambda tiles, budget, _, uniform: _filled(
                ((tile, 1.0) for tile in _shuffled(tiles, uniform)), budget
            )
        case Selection.EVERYTHING:
            return lambda tiles, budget, _seen, _uniform: _filled(((tile, 1.0) for tile in tiles), budget)
        case _:
            assert_never(selection)


def entropy_of(tile: Candidate) -> float:
    """Summed binary entropy of the tile's detections, in nats."""
    scores = np.clip(tile.found.scores.astype(np.float64), 1e-9, 1 - 1e-9)
    return float(-(scores * np.log(scores) + (1 - scores) * np.log(1 - scores)).sum())


def _filled(ranked: Iterable[tuple[Candidate, float]], left: int) -> list[Choice]:
    """The first of ``ranked`` that fit ``left`` bytes; one that does not fit is left out."""
    chosen = []
    for tile, value in ranked:
        if tile.size <= left:
            left -= tile.size
            reason = Reason.HARD if len(tile.found) else Reason.MISS
            chosen.append(Choice(candidate=tile, reason=reason, value=value))
    return chosen


def _shuffled(tiles: list[Candidate], uniform: Uniform) -> list[Candidate]:
    return [tile for _, _, tile in sorted((uniform(), index, tile) for index, tile in enumerate(tiles))]


def _ranked(
    tiles: list[Candidate], score: Callable[[Candidate], float], uniform: Uniform
) -> list[tuple[Candidate, float]]:
    """The tiles with the highest score first, equal ones by chance."""
    scored = [(tile, score(tile)) for tile in _shuffled(tiles, uniform)]
    return sorted(scored, key=lambda entry: -entry[1])


def _hard_ones(
    tiles: list[Candidate], rule: MiningRule, worth: Worth, uniform: Uniform
) -> list[tuple[Candidate, float]]:
    def counted(found: Detections) -> Detections:
        return found.take(found.scores >= worth.nothing)

    degrees = [(tile, degree(rule, counted(tile.found), uniform)) for tile in _shuffled(tiles, uniform)]
    hard = [(tile, value) for tile, value in degrees if value is not None]
    return sorted(((tile, 1 + value) for tile, value in hard), key=lambda entry: -entry[1])


def _core_set(tiles: list[Candidate], seen: Seen) -> Iterable[tuple[Candidate, float]]:
    """The tiles, each the farthest from all before it and from what was sent, with its distance; the first by chance.

    Distances are Euclidean between signatures, which are unit vectors: ``sqrt(2 - 2 cos)``.
    """
    if not tiles:
        return
    looks = np.stack([tile.signature for tile in tiles])
    nearest = np.array([seen.nearest(look) for look in looks])
    waiting = np.ones(len(tiles), bool)
    for _ in tiles:
        index = int(np.where(waiting, nearest, np.inf).argmin())
        yield tiles[index], float(np.sqrt(max(0.0, 2 - 2 * nearest[index])))
        waiting[index] = False
        nearest = np.maximum(nearest, looks @ looks[index])
