"""The selection logic: into how many tiles a frame is cut, and what becomes of the tiles of each context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from orbitloop.domain.density import Product
from orbitloop.domain.errors import BadInput

UNKNOWN = "unknown"
"""The context of tiles that are unlike all others."""
REFERENCE = "reference"
"""The network that is the application as it came; unknown tiles go to it."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Run:
    """Run a model; what it thinks at least as likely as ``threshold`` is sent, the surest first."""

    model: str
    threshold: float

    def __post_init__(self) -> None:
        if not self.model or not 0 < self.threshold < 1:
            raise BadInput(f"model {self.model!r} cannot run with the threshold {self.threshold}; it lies in (0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Send the tiles as they are, without a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """Forget the tiles, without a look."""


Action: TypeAlias = Run | Raw | Discard


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An action for one context, and what it takes and makes of a frame on average.

    Args:
        action: what is done.
        seconds: for all of a frame's tiles of the context.
        products: what they become, by how sure the model is of it; measured on tiles that no model has learned from.
    """

    action: Action
    seconds: float
    products: tuple[Product, ...]

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise BadInput(f"{self.action} cannot take {self.seconds} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """One number of tiles a side, with all that may be done at it.

    Args:
        tiles: a side of a frame.
        overhead: seconds of a frame that every choice takes: cutting, and the context engine.
        options: by context; none is empty.
    """

    tiles: int
    overhead: float
    options: Mapping[str, Sequence[Option]]

    def __post_init__(self) -> None:
        if self.tiles < 1 or not self.overhead >= 0:
            raise BadInput(f"a frame cannot be cut into {self.tiles} tiles a side in {self.overhead} s")
        for context, options in self.options.items():
            if not options:
                raise BadInput(f"context {context!r} at {self.tiles} tiles a side has no action to choose from")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Grade:
    """What is sent of which the model is at least as sure as ``threshold``, up to the next grade, and its ``worth``.

    The worth is the share of it that is expected to be of high value: it decides what leaves first.
    """

    threshold: float
    worth: float

    def __post_init__(self) -> None:
        if not (0 <= self.threshold <= 1 and 0 <= self.worth <= 1):
            raise BadInput(f"threshold {self.threshold} and worth {self.worth} of a grade are shares, in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionLogic:
    """What flies: how a frame is cut, and what is done by context.

    Args:
        tiles: a side of a frame.
        cells: a side of a frame's value map; a multiple of ``tiles``.
        table: an action for every context of the engine, and one for :data:`UNKNOWN`.
        grades: of what each context sends, the least sure first; one from 0 for raw tiles, none for discarded ones.
    """

    tiles: int
    cells: int
    table: Mapping[str, Action]
    grades: Mapping[str, tuple[Grade, ...]]

    def __post_init__(self) -> None:
        if self.tiles < 1 or self.cells < 1 or self.cells % self.tiles:
            raise BadInput(f"{self.cells} cells a side cannot be dealt out to {self.tiles} tiles a side")
        if UNKNOWN not in self.table:
            raise BadInput("the selection logic says nothing of tiles that are unlike all contexts")
        if self.grades.keys() != self.table.keys():
            raise BadInput("the selection logic must say for each context what it does, and what that is worth")
        for context, action in self.table.items():
            least = [grade.threshold for grade in self.grades[context]]
            if least != sorted(set(least)) or least[:1] != _least_of(action):
                raise BadInput(f"the grades of context {context!r} do not begin where its action does, or do not rise")

    def action(self, context: str) -> Action:
        """What becomes of a tile of ``context``; one that the table does not know is unknown."""
        return self.table.get(context, self.table[UNKNOWN])

    @property
    def models(self) -> tuple[str, ...]:
        """The networks that the table runs, in order."""
        return models_of(self.table.values())


def _least_of(action: Action) -> list[float]:
    match action:
        case Run(threshold=threshold):
            return [threshold]
        case Raw():
            return [0.0]
        case Discard():
            return []
        case _:
            assert_never(action)


def models_of(actions: Iterable[Action]) -> tuple[str, ...]:
    """The networks that ``actions`` run, each once, in order of their names."""
    return tuple(sorted({action.model for action in actions if isinstance(action, Run)}))
