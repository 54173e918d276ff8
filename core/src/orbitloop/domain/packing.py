"""Which things to put into one pass: the 0/1 knapsack problem, nearly solved.

Greedy by density that skips what does not fit is monotone: were a longer pass to take the first thing that a shorter
one must skip, then that thing alone outweighs whatever the shorter one fills the gap with, all of which is less dense.
The same holds with any things put in beforehand. The best of several such fillings, where which are tried does not
depend on the pass, is therefore monotone as well: a longer pass never carries less worth. Things put in beforehand
mend the greedy's mistakes at the end of the pass (Sahni, "Approximate algorithms for the 0/1 knapsack problem",
J. ACM 22(1), 1975: with up to k of them, at least k / (k + 1) of the optimum; two are tried in small queues).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.ranking import Doubles

SMALL = 32
"""Up to so many things every pair is tried beforehand; of more, each of the so many that are worth most."""

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def pack(worth: Doubles, sizes: Integers, room: int) -> Integers:
    """The things that together are worth most (nearly) and fit into ``room`` bytes.

    A thing larger than the whole room ends the packing: what is less dense does not overtake it, so that the rest of
    the room is left for its first part.

    Args:
        worth: ``(n,)``, positive, in order of falling worth per byte.
        sizes: ``(n,)`` bytes, positive.

    Returns:
        Positions, in the order given.
    """
    too_large = np.flatnonzero(sizes > room)
    stop = int(too_large[0]) if len(too_large) else len(sizes)
    best = _filled(sizes[:stop], room, ())
    best_worth = float(worth[:stop][best].sum())
    if int(sizes[:stop].sum()) <= room:
        return best
    for first in _beforehand(worth, stop):
        if int(sizes[list(first)].sum()) > room:
            continue
        chosen = _filled(sizes[:stop], room, first)
        if float(worth[chosen].sum()) > best_worth:
            best, best_worth = chosen, float(worth[chosen].sum())
    return best


def _beforehand(worth: Doubles, stop: int) -> Iterator[tuple[int, ...]]:
    """What to put in first, in turn; drawn from all things, so that a longer pass tries no fewer."""
    tried = [int(at) for at in np.argsort(-worth, kind="stable")[:SMALL] if at < stop]
    yield from ((at,) for at in tried)
    if len(worth) <= SMALL:
        yield from combinations(tried, 2)


def _filled(sizes: Integers, room: int, first: tuple[int, ...]) -> Integers:
    """``first`` and then, in order, each that still fits."""
    taken = np.zeros(len(sizes), np.bool_)
    taken[list(first)] = True
    left = room - int(sizes[list(first)].sum())
    waiting = np.flatnonzero(~taken)
    while len(waiting):
        waiting = waiting[sizes[waiting] <= left]
        fits = int(np.searchsorted(np.cumsum(sizes[waiting]), left, side="right"))
        taken[waiting[:fits]] = True
        left -= int(sizes[waiting[:fits]].sum())
        waiting = waiting[fits + 1 :]  # the one after the run did not fit, and never will
    return np.flatnonzero(taken)
