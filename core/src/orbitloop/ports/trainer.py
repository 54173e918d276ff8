"""Learning on the ground: from labelled tiles to changes of what flies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.delta import Change
from orbitloop.domain.detection import Truth
from orbitloop.domain.units import Bytes
from orbitloop.domain.versions import Weights
from orbitloop.ports.reviews import Proposal
from orbitloop.wire.model_folder import Model

OnStep = Callable[[int, int, float], None]
"""Told after each optimiser step: step, steps, loss."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """A picture with its objects: ``(h, w, 3)`` uint8 RGB; boxes in its own pixels."""

    pixels: NDArray[np.uint8]
    truth: Truth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lessons:
    """What to learn from: new pictures from the satellite, and old ones that must not be forgotten."""

    new: list[Lesson]
    old: list[Lesson]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """The changes that training made, and the model they make of what flies.

    Args:
        steps: the changes in groups, each carried out on what those before it make; what gains most comes first, so
            that an update of which only the beginning arrives is worth most.
        weights: what all of them make.
    """

    steps: tuple[tuple[Change, ...], ...]
    weights: Weights

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes, in their order."""
        return tuple(change for step in self.steps for change in step)


class Trainer(Protocol):
    """Fine-tunes within a byte budget."""

    def train(self, flying: Model, lessons: Lessons, budget: Bytes, on_step: OnStep) -> Trained:
        """Changes of ``flying`` that should fit ``budget`` once packed; the same input gives the same changes."""
        ...

    def precision(self, model: Model, lessons: list[Lesson]) -> float:
        """Mean average precision at IoU 0.5 of a model over pictures, in [0, 1]."""
        ...


class Labeler(Protocol):
    """Who says what is to be seen in a picture: an archive of ground truth, or a larger model."""

    def label(self, frame: str, pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> Proposal | None:
        """Objects of a frame of which only the ``known`` part, ``(h, w)`` bool, came down, in its pixels.

        Objects of which less than half is known are left out. ``None`` if nothing can be said about the frame.
        """
        ...
