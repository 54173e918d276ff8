"""What a chart is made of: a few shapes with a place and a kind; how a kind looks is the style sheet's matter."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal, TypeAlias, assert_never

FULL, HALF, NARROW = 1_080.0, 520.0, 340.0
"""Widths of drawings: across a desk's screen, half of it, and a phone's."""

Anchor: TypeAlias = Literal["start", "middle", "end"]


class Form(StrEnum):
    """Forms of a mark, so that no meaning hangs on colour alone."""

    CIRCLE = "circle"
    SQUARE = "square"
    DIAMOND = "diamond"
    UP = "up"
    DOWN = "down"
    CROSS = "cross"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A rectangle; ``tip`` is shown where a pointer rests on it."""

    element: ClassVar[str] = "bar"
    x: float
    y: float
    width: float
    height: float
    kind: str
    tip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A straight line."""

    element: ClassVar[str] = "line"
    x1: float
    y1: float
    x2: float
    y2: float
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A form around a point; ``size`` is half its width."""

    element: ClassVar[str] = "mark"
    x: float
    y: float
    form: Form
    kind: str
    size: float = 4.5
    tip: str = ""

    @property
    def path(self) -> str:
        """Its outline, as SVG's path data."""
        return outline(self.form, self.x, self.y, self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Words on their baseline."""

    element: ClassVar[str] = "text"
    x: float
    y: float
    text: str
    kind: str = "label"
    anchor: Anchor = "middle"


Shape: TypeAlias = Bar | Line | Mark | Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A chart: its size, and its shapes from back to front."""

    width: float
    height: float
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An entry of a legend."""

    form: Form
    kind: str
    text: str

    @property
    def path(self) -> str:
        """Its mark in a square of 14 by 14."""
        return outline(self.form, 7, 7, 4.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart as the page shows it.

    Args:
        name: unique in the page.
        title: what is drawn, and of what.
        summary: what is to be seen, in words, for whoever does not see it.
        wide: for a screen on a desk, and paper.
        narrow: for a phone.
        keys: the legend.
        note: what must be known to read it; may be empty.
    """

    name: str
    title: str
    summary: str
    wide: Drawing
    narrow: Drawing
    keys: tuple[Key, ...] = ()
    note: str = ""


def outline(form: Form, x: float, y: float, size: float) -> str:
    """SVG path data of a form around ``(x, y)`` that is ``2 * size`` wide."""
    match form:
        case Form.CIRCLE:
            arc = f"a{_short(size)},{_short(size)} 0 1,0"
            return f"M{_short(x - size)},{_short(y)}{arc} {_short(2 * size)},0{arc} {_short(-2 * size)},0Z"
        case Form.SQUARE:
            side = size * 0.88
            return _polygon((x - side, y - side), (x + side, y - side), (x + side, y + side), (x - side, y + side))
        case Form.DIAMOND:
            return _polygon((x, y - size), (x + size, y), (x, y + size), (x - size, y))
        case Form.UP:
            return _polygon((x, y - size), (x + size, y + size * 0.8), (x - size, y + size * 0.8))
        case Form.DOWN:
            return _polygon((x, y + size), (x - size, y - size * 0.8), (x + size, y - size * 0.8))
        case Form.CROSS:
            return (
                f"M{_short(x - size)},{_short(y - size)}L{_short(x + size)},{_short(y + size)}"
                f"M{_short(x - size)},{_short(y + size)}L{_short(x + size)},{_short(y - size)}"
            )
        case _:
            assert_never(form)


def _polygon(*points: tuple[float, float]) -> str:
    return "M" + "L".join(f"{_short(x)},{_short(y)}" for x, y in points) + "Z"


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
