"""What an update of so many bytes is worth: measured points of bytes against accuracy, and the choice among them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Bytes

INDIFFERENT = 0.01
"""Shares of a gain that differ by no more than this are taken as equal: seeds move them by as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One way to encode an update, as it was measured.

    Args:
        encoder: its name.
        bytes: what it took.
        gain_fraction: what it gained in mAP@0.5, as a share of what training every weight gains; 1 is all of it.
    """

    encoder: str
    bytes: Bytes
    gain_fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The point to use under a budget, beside the best that is known whatever it takes."""

    point: Point
    best: Point

    @property
    def cost(self) -> float:
        """The share of a full update's gain that the budget costs, at least 0."""
        return max(0.0, self.best.gain_fraction - self.point.gain_fraction)

    def __str__(self) -> str:
        words = f"{self.point.encoder} for about {_kilobytes(self.point.bytes)}, {_share(self.point)} of a full gain"
        if self.cost <= INDIFFERENT:
            return f"{words}; no known way gains more"
        return (
            f"{words}; the budget costs {self.cost:.0%}: {_kilobytes(self.best.bytes)} would give {_share(self.best)}"
        )


def choose(points: Iterable[Point], budget: Bytes) -> Choice:
    """The best point that fits ``budget``; among such as gain the same, the smallest.

    Raises:
        BadInput: there is no point that fits.
    """
    known = list(points)
    fitting = [point for point in known if point.bytes <= budget]
    if not fitting:
        least = min((point.bytes for point in known), default=None)
        smallest = "none is known" if least is None else f"the smallest known takes {least}"
        raise BadInput(f"no encoder makes an update of at most {budget} bytes: {smallest}; allow more bytes")
    return Choice(point=_leanest(fitting), best=_leanest(known))


def _leanest(points: list[Point]) -> Point:
    most = max(point.gain_fraction for point in points)
    equal = [point for point in points if point.gain_fraction >= most - INDIFFERENT]
    return min(equal, key=lambda point: (point.bytes, -point.gain_fraction, point.encoder))


def _kilobytes(size: Bytes) -> str:
    return f"{size / 1000:,.0f} kB"


def _share(point: Point) -> str:
    return f"{point.gain_fraction:.0%}"
