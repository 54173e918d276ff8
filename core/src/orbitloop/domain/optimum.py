"""The best selection logic, exactly: an action for each context at each number of tiles, within the frame deadline.

Branch and bound over contexts. What a pass carries of a choice is a fractional knapsack, so by weak duality, for all
``lambda, mu >= 0`` and a choice with products ``(s, v)`` and times ``t``::

    value <= lambda c + mu (d - overhead - sum t) + sum (max(0, v - lambda s))

and the most that the contexts not yet decided can add is, each for itself, ``max [max(0, v - lambda s) - mu t]``.
Any pair of multipliers gives a bound; those that make it least at the root, and a grid around them, make it a good one.

Passes and ground vary, so what a mean pass has no room for counts a little too: the value is that of the link's
capacity, and a fiftieth of that of twice it: idle compute is claimed
for it. It has a multiplier of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.density import Downlink, Product, carried, density
from orbitloop.domain.errors import BadInput
from orbitloop.domain.selection import Action, Option, Tiling

Progress = Callable[[int, int], None]
"""Told how many numbers of tiles are done, of how many."""

_DIGITS = 12
"""Values that agree in so many decimals are equal: sums in another order."""
_SLACK = 1e-9
_EQUAL = 1e-15
_SPARE, _WEIGHT = 2.0, 0.02
"""How many times the capacity counts as well, and how much."""
_ROUNDS = 24
_STRETCHED = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""How many times the deadline, or the least time where that is longer, frames may take if others are shed."""
_SHEDDING = 0.02
"""Density that must be gained by shedding frames: ground that is not processed is not searched either."""
_AROUND = (0.0, 0.25, 0.5, 0.8, 0.95, 1.0, 1.05, 1.25, 2.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The best choice at one number of tiles.

    Args:
        tiles: a side of a frame.
        choice: an option for each context, in the order of the tiling.
        seconds: of a frame.
        density: data value density; counts frames that find no time.
        meets: whether every frame is processed within the deadline, on average; else some are shed, and sent raw.
    """

    tiles: int
    choice: tuple[tuple[str, Option], ...]
    seconds: float
    density: float
    meets: bool

    @property
    def actions(self) -> dict[str, Action]:
        """The action of each context."""
        return {context: option.action for context, option in self.choice}


def worth(products: Iterable[Product], capacity: float) -> float:
    """What a choice is sought by: its value on the link, and a little of what a longer pass would carry."""
    made = list(products)
    return carried(made, capacity) + _WEIGHT * carried(made, min(1.0, _SPARE * capacity))


def sweep(
    tilings: Sequence[Tiling], prevalence: float, link: Downlink, progress: Progress = lambda done, total: None
) -> list[Point]:
    """The best point of each tiling, in their order."""
    points = []
    for done, tiling in enumerate(tilings):
        progress(done, len(tilings))
        points.append(best_at(tiling, prevalence, link))
    progress(len(tilings), len(tilings))
    return points


def best_of(points: Sequence[Point]) -> Point:
    """The densest point; one that does not meet the deadline only where it is denser by more than it is worth.

    Among equals: the least time, then the fewest tiles.
    """
    if not points:
        raise BadInput("there is no number of tiles to choose from")
    return min(points, key=lambda point: (-_rank(point), point.seconds, point.tiles))


def best_at(tiling: Tiling, prevalence: float, link: Downlink) -> Point:
    """The best choice at one number of tiles: :func:`best_within` the deadline, or one that sheds frames.

    Shedding processes a share of the frames, each for longer, and sends the others raw, so that the deadline is met on
    average over all. That fills a small link with surer products, and is all there is where no choice meets the
    deadline. Of those that shed the densest is taken among the best within some multiples of the deadline, or of the
    least time that there is: not exact.
    """
    kept = [undominated(options) for options in tiling.options.values()]
    least = sum(min(option.seconds for option in options) for options in kept)
    within = best_within(tiling, prevalence, link)
    whole = max(link.deadline, tiling.overhead + least)
    rooms = [whole * times - tiling.overhead + _SLACK for times in _STRETCHED] + [float("inf")]
    shedding = [_point(tiling, _Search(kept, room, link.capacity).run(), prevalence, link) for room in rooms]
    return best_of([*([] if within is None else [within]), *shedding])


def best_within(tiling: Tiling, prevalence: float, link: Downlink) -> Point | None:
    """The best choice at one number of tiles among those that meet the deadline, exactly; ``None`` where none does."""
    kept = [undominated(options) for options in tiling.options.values()]
    least = sum(min(option.seconds for option in options) for options in kept)
    room = link.deadline - tiling.overhead + _SLACK * link.deadline
    if least > room:
        return None
    return _point(tiling, _Search(kept, room, link.capacity).run(), prevalence, link)


def _rank(point: Point) -> float:
    return round(point.density - (0.0 if point.meets else _SHEDDING), _DIGITS)


def _point(tiling: Tiling, picked: Sequence[Option], prevalence: float, link: Downlink) -> Point:
    seconds = tiling.overhead + sum(option.seconds for option in picked)
    return Point(
        tiles=tiling.tiles,
        choice=tuple(zip(tiling.options, picked, strict=True)),
        seconds=seconds,
        density=density(products_of(picked), seconds, prevalence, link),
        meets=seconds <= link.deadline * (1 + 2 * _SLACK),
    )


def products_of(options: Iterable[Option]) -> list[Product]:
    """Everything that a choice makes."""
    return [product for option in options for product in option.products]


def gain(option: Option, prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """What an option is worth where a byte costs so much: ``sum max(0, v - lambda s)``, for each of ``prices``."""
    total = np.zeros(len(prices))
    for product in option.products:
        total += np.maximum(0.0, product.value - prices * product.size)
    return total


def undominated(options: Sequence[Option]) -> list[Option]:
    """The options that could be part of a best choice, in order.

    One goes when another takes no more time and is worth no less at any price of a byte; of equal ones the first stays.
    Both worths are linear between the densities of their products, so that these prices are enough. Options that make
    nothing stay: where a link has no room for anything better, they are preferred.
    """
    kept: list[Option] = []
    for index, option in enumerate(options):
        rivals = (
            other for place, other in enumerate(options) if place != index and _beats(other, option, place < index)
        )
        if not option.products or not any(rivals):
            kept.append(option)
    return kept


def _beats(other: Option, option: Option, first: bool) -> bool:
    if other.seconds > option.seconds:
        return False
    prices = np.array([0.0, *(product.density for each in (other, option) for product in each.products)])
    more = gain(other, prices) - gain(option, prices)
    if float(more.min(initial=0.0)) < -_EQUAL:
        return False
    return first or other.seconds < option.seconds or bool((more > _EQUAL).any())


class _Search:
    """Depth first over contexts, the one with most at stake first."""

    def __init__(self, options: Sequence[Sequence[Option]], room: float, capacity: float) -> None:
        self._order = sorted(range(len(options)), key=lambda index: (-_stake(options[index]), index))
        self._options = [options[index] for index in self._order]
        self._room, self._capacity = room, capacity
        self._lambdas, self._spares, self._mus = self._multipliers()
        gains = [self._gain(choices) for choices in self._options]
        self._gains = gains
        rest = np.zeros(len(self._lambdas))
        self._rests = [rest]
        for gain in reversed(gains):
            rest = rest + gain.max(axis=0)
            self._rests.append(rest)
        self._rests.reverse()
        self._best: tuple[float, float, tuple[int, ...]] | None = None

    def run(self) -> list[Option]:
        room = 0.0 if self._room == float("inf") else self._room
        at_capacity = self._lambdas * self._capacity + _WEIGHT * self._spares * min(1.0, _SPARE * self._capacity)
        self._visit([], at_capacity + self._mus * room)
        assert self._best is not None  # the caller has seen that some choice fits
        chosen: list[Option | None] = [None] * len(self._order)
        for place, index in enumerate(self._order):
            chosen[index] = self._options[place][self._best[2][index]]
        return [option for option in chosen if option is not None]

    def _visit(self, picked: list[int], base: NDArray[np.float64]) -> None:
        depth = len(picked)
        if depth == len(self._options):
            self._consider(picked)
            return
        ranked = sorted(
            range(len(self._options[depth])),
            key=lambda index: (-float((base + self._gains[depth][index] + self._rests[depth + 1]).min()), index),
        )
        for index in ranked:
            bounds = base + self._gains[depth][index]
            if self._hopeless(float((bounds + self._rests[depth + 1]).min())) or not self._fits([*picked, index]):
                continue
            picked.append(index)
            self._visit(picked, bounds)
            picked.pop()

    def _fits(self, picked: list[int]) -> bool:
        chosen = sum(self._options[depth][index].seconds for depth, index in enumerate(picked))
        rest = sum(min(option.seconds for option in options) for options in self._options[len(picked) :])
        return chosen + rest <= self._room

    def _hopeless(self, bound: float) -> bool:
        return self._best is not None and bound < -self._best[0] - _SLACK

    def _consider(self, picked: list[int]) -> None:
        options = [self._options[depth][index] for depth, index in enumerate(picked)]
        value = worth(products_of(options), self._capacity)
        indices = [0] * len(picked)
        for depth, index in enumerate(picked):
            indices[self._order[depth]] = index
        seconds = round(sum(option.seconds for option in options), _DIGITS)
        rank = (-round(value, _DIGITS), seconds, tuple(indices))
        if self._best is None or rank < self._best:
            self._best = rank

    def _gain(self, choices: Sequence[Option]) -> NDArray[np.float64]:
        """Per option and multipliers, what the option adds to the bound."""
        return np.array([self._terms(option) for option in choices])

    def _terms(self, option: Option) -> NDArray[np.float64]:
        here = gain(option, self._lambdas) + _WEIGHT * gain(option, self._spares)
        return here - self._mus * option.seconds

    def _multipliers(self) -> tuple[NDArray[np.float64], ...]:
        """Triples: around those of the least bound at the root; that of time is 0 where time is no matter."""
        timeless = self._room == float("inf") or self._room <= 0
        longest = 0.0 if timeless else 1e6
        here = self._least_at(0.0, self._capacity)
        spare = self._least_at(0.0, min(1.0, _SPARE * self._capacity))
        slow = _least(lambda mu: self._root(here, mu, self._capacity), longest)
        here = self._least_at(slow, self._capacity)
        triples = {(here * wide, spare * wide, slow * long) for wide in _AROUND for long in _AROUND}
        triples |= {(at / 10, spare, 0.0) for at in range(11)} | {(here, at / 10, slow) for at in range(11)}
        return tuple(np.array(column) for column in zip(*sorted(triples), strict=True))

    def _least_at(self, mu: float, capacity: float) -> float:
        return _least(lambda at: self._root(at, mu, capacity), 1.0)

    def _root(self, at: float, mu: float, capacity: float) -> float:
        """The bound at the root for one capacity."""
        room = 0.0 if self._room == float("inf") else self._room
        total = at * capacity + mu * room
        for choices in self._options:
            total += max(
                sum(max(0.0, each.value - at * each.size) for each in option.products) - mu * option.seconds
                for option in choices
            )
        return total


def _stake(options: Sequence[Option]) -> float:
    values = [sum(product.value for product in option.products) for option in options]
    sizes = [sum(product.size for product in option.products) for option in options]
    return max(values) - min(values) + max(sizes)


def _least(convex: Callable[[float], float], upper: float) -> float:
    """Where a convex function on ``[0, upper]`` is least, near enough: a logarithmic grid, then thirds."""
    if upper <= 0:
        return 0.0
    grid = [0.0, *(upper * 10.0**-power for power in range(9, -1, -1))]
    best = min(range(len(grid)), key=lambda index: (convex(grid[index]), index))
    low, high = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
    for _ in range(_ROUNDS):
        third = (high - low) / 3
        if convex(low + third) <= convex(high - third):
            high -= third
        else:
            low += third
    return (low + high) / 2
