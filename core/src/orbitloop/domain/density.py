"""Data value density: of the bytes that a saturated downlink carries, those of high value.

Amounts are shares of the bytes of a frame, on average. After Denby et al., *Kodan: Addressing the Computational
Bottleneck in Space* (ASPLOS 2023), but for the order of the queue: here the most valuable bytes leave first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orbitloop.domain.errors import BadInput

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Product:
    """What becomes of a part of the frames: ``size`` that could be sent, of which ``value`` is of high value."""

    size: float
    value: float

    def __post_init__(self) -> None:
        if not 0 <= self.value <= self.size * (1 + _ROUNDING) + _ROUNDING:
            raise BadInput(f"of a product of size {self.size} the part {self.value} cannot be of high value")

    @property
    def density(self) -> float:
        """Value by size; 0 for an empty one."""
        return self.value / self.size if self.size > 0 else 0.0

    def scaled(self, share: float) -> Product:
        """The same of a share of the frames."""
        return Product(size=self.size * share, value=self.value * share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Downlink:
    """A link, and the time for a frame.

    Args:
        capacity: what it carries for each captured frame, as a share of the frame's bytes; in (0, 1] if saturated.
        deadline: seconds until the next frame is there.
    """

    capacity: float
    deadline: float

    def __post_init__(self) -> None:
        if not 0 < self.capacity <= 1:
            raise BadInput(f"a saturated downlink carries a share of the frames in (0, 1], not {self.capacity}")
        if not self.deadline > 0:
            raise BadInput(f"the frame deadline {self.deadline} s must be above 0")


def carried(products: Iterable[Product], capacity: float) -> float:
    """The value in the most valuable ``capacity`` bytes: a fractional knapsack (Dantzig 1957)."""
    return carried_in_order(sorted(products, key=lambda entry: (-entry.density, entry.size)), capacity)


def carried_in_order(products: Iterable[Product], capacity: float) -> float:
    """The value in the first ``capacity`` bytes."""
    left, value = capacity, 0.0
    for product in products:
        if product.size >= left:
            return value + left * product.density
        value += product.value
        left -= product.size
    return value


def processed(seconds: float, deadline: float) -> float:
    """The share of the frames that can be processed, at ``seconds`` each; in (0, 1]."""
    return 1.0 if seconds <= deadline else deadline / seconds


def density(
    products: Iterable[Product], seconds: float, prevalence: float, link: Downlink, *, ordered: bool = False
) -> float:
    """Data value density when every frame takes ``seconds`` to become ``products``; in [0, 1].

    Args:
        products: of one frame, on average.
        seconds: average time of a frame; frames that find no time are sent raw, after all products.
        prevalence: share of a frame that is of high value.
        link: its capacity and the frame deadline.
        ordered: products leave in the order given, whatever they turn out to hold.
    """
    share = processed(seconds, link.deadline)
    rest = Product(size=1 - share, value=(1 - share) * prevalence)
    made = [product.scaled(share) for product in products]
    carry = carried_in_order if ordered else carried
    return carry([*made, rest], link.capacity) / link.capacity


def rising(products: Sequence[Product]) -> list[Product]:
    """The same sizes with densities that never fall: isotonic regression by pool-adjacent-violators.

    For products by rising certainty (Zadrozny and Elkan 2002): what a model is surer of is expected to be no worse.
    """
    pools: list[tuple[Product, list[float]]] = []
    for product in products:
        pools.append((product, [product.size]))
        while len(pools) > 1 and pools[-2][0].density >= pools[-1][0].density:
            last, sizes = pools.pop()
            pool, before = pools[-1]
            joined = Product(size=pool.size + last.size, value=pool.value + last.value)
            pools[-1] = joined, [*before, *sizes]
    return [Product(size=size, value=size * pool.density) for pool, sizes in pools for size in sizes]


def bent_pipe(prevalence: float) -> float:
    """Density of sending everything until the pass is full."""
    return prevalence


def oracle(prevalence: float, link: Downlink) -> float:
    """Density of whoever knows the labels."""
    return min(1.0, prevalence / link.capacity)
