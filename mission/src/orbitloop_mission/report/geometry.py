"""Where things lie in a chart: scales, ticks, and keeping neighbours apart. All lengths in units of the drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from orbitloop.domain.errors import BadInput

_HOURS = (1, 2, 3, 6, 12, 24, 48, 96, 168, 336)


class Scale(Protocol):
    """From a figure to a place."""

    def __call__(self, value: float, /) -> float:
        """Where ``value`` lies."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """``low`` lies at ``start``, ``high`` at ``stop``; what is beyond lies beyond."""

    low: float
    high: float
    start: float
    stop: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise BadInput(f"a scale from {self.low} to {self.high} has no length")

    def __call__(self, value: float, /) -> float:
        """Where ``value`` lies."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logarithmic:
    """As :class:`Linear`, by powers of ten; what is not above zero lies at ``start``."""

    low: float
    high: float
    start: float
    stop: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high:
            raise BadInput(f"a logarithmic scale from {self.low} to {self.high} has no length")

    def __call__(self, value: float, /) -> float:
        """Where ``value`` lies."""
        if value <= 0:
            return self.start
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.stop - self.start)


def ticks(low: float, high: float, about: int = 5) -> tuple[float, ...]:
    """Round figures (1, 2 or 5 times a power of ten apart) from at most ``low`` to at least ``high``."""
    if not low < high:
        raise BadInput(f"no ticks between {low} and {high}")
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(index * step, 10) for index in range(first, last + 1))


def decades(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten from at most ``low`` to at least ``high``, at least two."""
    if not 0 < low <= high:
        raise BadInput(f"no powers of ten between {low} and {high}")
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return tuple(10.0**power for power in range(first, max(last, first + 1) + 1))


def time_ticks(begin: datetime, end: datetime, at_most: int) -> tuple[datetime, ...]:
    """Full hours of UTC from ``begin`` to ``end``, evenly apart and at most so many (but at least one a fortnight)."""
    span = end - begin
    step = next((hours for hours in _HOURS if span <= timedelta(hours=hours) * at_most), _HOURS[-1])
    midnight = begin.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = math.ceil((begin - midnight) / timedelta(hours=step))
    last = math.floor((end - midnight) / timedelta(hours=step))
    return tuple(midnight + timedelta(hours=step) * index for index in range(first, last + 1))


def spread(places: Sequence[float], *, gap: float, low: float, high: float) -> tuple[float, ...]:
    """Each place moved as little as needed for neighbours to be ``gap`` apart between ``low`` and ``high``.

    The order stays (equal places keep theirs). Where not all fit, they are spaced evenly over the whole length.
    Neighbours that are too close form a block around their mean; a block that meets another joins it.
    """
    if not places:
        return ()
    if gap * (len(places) - 1) >= high - low:
        return _even(places, low, high)
    order = sorted(range(len(places)), key=lambda index: places[index])
    blocks: list[tuple[float, int]] = []  # the first place of a block, and how many are in it
    for index in order:
        start, size = min(max(places[index], low), high), 1
        while blocks and blocks[-1][0] + blocks[-1][1] * gap > start:
            before, count = blocks.pop()
            start = (before * count + (start - count * gap) * size) / (count + size)
            size += count
            start = min(max(start, low), high - (size - 1) * gap)
        blocks.append((start, size))
    moved = [start + step * gap for start, size in blocks for step in range(size)]
    return tuple(place for _, place in sorted(zip(order, moved, strict=True)))


def _even(places: Sequence[float], low: float, high: float) -> tuple[float, ...]:
    if len(places) == 1:
        return (min(max(places[0], low), high),)
    order = sorted(range(len(places)), key=lambda index: places[index])
    step = (high - low) / (len(places) - 1)
    moved = sorted((index, low + rank * step) for rank, index in enumerate(order))
    return tuple(place for _, place in moved)
