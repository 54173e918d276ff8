"""Trained changes in an order in which a beginning of them is worth flying; where it may end is measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np

from orbitloop.domain.delta import Change, Sparse, apply
from orbitloop.domain.partial import sizes_of_moves
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.wire.update import Step

MOST_PARTS = 4
"""Every end but the last is one more measurement on the ground, and may be one more proof on board."""
_GROWTH = 8
"""How many times as many moves a part has as the one before; with fewer, places and moves pack into more bytes."""
_FEWEST_MOVES = 64
"""Fewer are not worth the 70 bytes of another step."""
_SHARE, _LEAST_BYTES = 0.03, 300
"""What steps may cost: so much of an update that goes at once; of a very small one so many bytes."""

Part = tuple[Change, ...]


def in_parts(changes: Sequence[Change], most: int) -> tuple[Part, ...]:
    """The same changes in up to ``most`` parts: first what changes whole channels, which is small and gains much, then
    single values, those that move furthest first.

    Every value is moved in one part alone and by one sum, so that all parts together make the same bits as ``changes``
    do, wherever no tensor has something other than single values changed behind these.
    """
    whole = tuple(change for change in changes if not isinstance(change, Sparse))
    sparse = [change for change in changes if isinstance(change, Sparse)]
    moves = sizes_of_moves(sparse)
    parts = [whole] if whole else []
    if most <= len(parts) or not len(moves):
        return (tuple(changes),)
    count = most - len(parts) if len(moves) >= _FEWEST_MOVES else 1
    shares = [_GROWTH**place for place in range(count)]
    ends = [len(moves) * end // sum(shares) for end in accumulate(shares)]
    rank = np.empty(len(moves), np.int64)
    rank[np.argsort(-moves, kind="stable")] = np.arange(len(moves))
    of_part = np.searchsorted(ends, rank, side="right")
    cuts = np.cumsum([len(change.where) for change in sparse])[:-1]
    chosen = [of_part == place for place in range(count)]
    return (*parts, *(_picked(sparse, np.split(mine, cuts)) for mine in chosen))


def _picked(sparse: Sequence[Sparse], masks: Sequence[np.ndarray[tuple[int], np.dtype[np.bool_]]]) -> Part:
    return tuple(
        Sparse(tensor=one.tensor, exponent=one.exponent, where=one.where[mask], quanta=one.quanta[mask])
        for one, mask in zip(sparse, masks, strict=True)
        if mask.any()
    )


def ends_of(scores: Sequence[float]) -> tuple[int, ...]:
    """After which parts a step ends: where the model is better than at any end before, and than what flies, and no
    better than after all parts. So wherever an update is cut, no beginning of it would have been worth more.

    Args:
        scores: of what flies, then after each part.

    Returns:
        Numbers of parts, increasing; the last is that of all parts.
    """
    best, *after, last = scores
    ends = []
    for number, score in enumerate(after, start=1):
        if best < score <= last:
            ends.append(number)
            best = score
    return (*ends, len(scores) - 1)


def merged(changes: Sequence[Change]) -> Part:
    """The same with one change in place of several that move single values of a tensor by the same step, which pack
    into fewer bytes together. Changes that move a value twice stay apart.
    """
    alike: dict[tuple[str, int], list[Sparse]] = defaultdict(list)
    for change in changes:
        if isinstance(change, Sparse):
            alike[change.tensor, change.exponent].append(change)
    single = {key: _as_one(some) for key, some in alike.items() if len(some) > 1}
    made: list[Change] = []
    for change in changes:
        one = single.get((change.tensor, change.exponent)) if isinstance(change, Sparse) else None
        if one is None:
            made.append(change)
        elif change is alike[one.tensor, one.exponent][0]:
            made.append(one)
    return tuple(made)


def _as_one(changes: Sequence[Sparse]) -> Sparse | None:
    where = np.concatenate([change.where for change in changes])
    order = np.argsort(where, kind="stable")
    if (np.diff(where[order].astype(np.int64)) == 0).any():
        return None
    quanta = np.concatenate([change.quanta for change in changes])
    return Sparse(tensor=changes[0].tensor, exponent=changes[0].exponent, where=where[order], quanta=quanta[order])


def joined(base: Weights, parts: Sequence[Part], ends: Sequence[int]) -> tuple[Step, ...]:
    """The parts as steps that end after the parts ``ends``, each with the digest of what it makes of ``base``."""
    steps: list[Step] = []
    weights, begin = base, 0
    for end in ends:
        changes = merged([change for part in parts[begin:end] for change in part])
        weights, begin = apply(weights, changes), end
        steps.append(Step(changes=changes, result=weights_digest(weights)))
    return tuple(steps)


def at_once(base: Weights, parts: Sequence[Part]) -> tuple[Step, ...]:
    """All parts as one step."""
    return joined(base, parts, [len(parts)])


def progressive(
    base: Weights,
    parts: Sequence[Part],
    *,
    size: Callable[[Sequence[Step]], int],
    budget: int,
    score: Callable[[Weights], float],
) -> tuple[Step, ...]:
    """What training made as steps, after each of which the model is better than before, and than ``base``; the last
    makes what all of it makes.

    Args:
        base: what flies.
        parts: what training made; if that is one part, it is divided.
        size: bytes of an update of some steps.
        budget: most bytes of one.
        score: of a model; larger is better.

    Returns:
        One step if more take too many bytes, do not make the same bits, or are worth no more.
    """
    whole = at_once(base, parts)
    least = size(whole)
    most = min(budget, least + max(_LEAST_BYTES, int(_SHARE * least)))
    ways = [parts] if len(parts) > 1 else [in_parts(parts[0], count) for count in range(MOST_PARTS, 1, -1)]
    for way in ways:
        steps = joined(base, way, range(1, len(way) + 1))
        if len(way) > 1 and steps[-1].result == whole[-1].result and size(steps) <= most:
            made = accumulate(way, apply, initial=base)
            ends = ends_of([score(weights) for weights in made])
            steps = joined(base, way, ends)
            good = len(ends) > 1 and steps[-1].result == whole[-1].result and size(steps) <= most
            return steps if good else whole
    return whole
