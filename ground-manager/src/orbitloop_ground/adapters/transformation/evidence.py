"""What contexts, networks and thresholds make of frames that no network has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.density import Product
from orbitloop.domain.detection import Floats
from orbitloop.domain.selection import REFERENCE, Action, Discard, Raw, Run
from orbitloop.domain.value_map import Truths, regrid
from orbitloop_ground.adapters.transformation.applications import Runner, values_of
from orbitloop_ground.adapters.transformation.tiles import Tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How good a network is on the cells of a context, at a threshold of 0.5; each in [0, 1]."""

    accuracy: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """Frames at every number of tiles, sorted into contexts by the engine.

    Args:
        tiles: by number a side.
        contexts: of each tile, by number a side; -1 is unknown.
        runners: loaded networks by name; without one for the reference its opinion of whole frames is taken.
        highest: see :class:`~orbitloop_ground.adapters.transformation.applications.Geometry`.
    """

    tiles: Mapping[int, Tiles]
    contexts: Mapping[int, NDArray[np.int64]]
    runners: Mapping[str, Runner]
    highest: bool
    _seen: dict[tuple[int, str, int], Floats] = field(default_factory=dict)
    _whole: tuple[Evidence, NDArray[np.bool_]] | None = None

    @property
    def frames(self) -> int:
        """How many there are."""
        tiles, part = next(iter(self.tiles.items()))
        return len(part) // tiles**2

    def of(self, frames: NDArray[np.bool_]) -> Evidence:
        """Evidence of some of the frames, ``(frames,)``; networks are not asked again."""
        return Evidence(
            tiles={key: part.of(frames) for key, part in self.tiles.items()},
            contexts={key: found[frames.repeat(key**2)] for key, found in self.contexts.items()},
            runners=self.runners,
            highest=self.highest,
            _whole=(self, frames),
        )

    @property
    def prevalence(self) -> float:
        """Share of the cells that are of high value."""
        return float((next(iter(self.tiles.values())).maps >= 0.5).mean())

    def fourths(self) -> list[NDArray[np.bool_]]:
        """Which frames are in each of four parts, ``(frames,)``; frames of the same ground, which come one after
        another, stay together. None where there are fewer than four frames.
        """
        every = np.arange(self.frames)
        return [] if len(every) < 4 else [np.isin(every, part) for part in np.array_split(every, 4)]

    def count(self, tiles: int, context: int) -> int:
        """How many tiles of a context there are."""
        return int((self.contexts[tiles] == context).sum())

    def share(self, tiles: int, context: int) -> float:
        """Their share of all tiles."""
        return self.count(tiles, context) / len(self.contexts[tiles])

    def products(self, tiles: int, context: int, action: Action, thresholds: Sequence[float]) -> list[Product]:
        """What an action makes of a context, a frame: one product from each of ``thresholds`` to the next.

        ``thresholds`` rise; raw tiles are one product, discarded ones none.
        """
        truth, cells = self._truth(tiles, context), self.tiles[tiles].maps.size
        match action:
            case Discard():
                return []
            case Raw():
                return [Product(size=truth.size / cells, value=float(truth.sum() / cells))]
            case Run(model=model):
                values = self.values(tiles, context, model)
                sent = [(values >= low) & (values < high) for low, high in pairwise([*thresholds, np.inf])]
                return [
                    Product(size=float(part.sum() / cells), value=float((part & truth).sum() / cells)) for part in sent
                ]
            case _:
                assert_never(action)

    def accuracy(self, tiles: int, context: int, model: str) -> Accuracy:
        """How good a network is on a context; all 1 where there are no tiles."""
        truth = self._truth(tiles, context)
        if not truth.size:
            return Accuracy(accuracy=1.0, precision=1.0, recall=1.0)
        sent = self.values(tiles, context, model) >= 0.5
        hits = float((sent & truth).sum())
        return Accuracy(
            accuracy=float((sent == truth).mean()),
            precision=hits / float(sent.sum()) if sent.any() else 1.0,
            recall=hits / float(truth.sum()) if truth.any() else 1.0,
        )

    def _truth(self, tiles: int, context: int) -> Truths:
        return np.asarray(self.tiles[tiles].maps[self.contexts[tiles] == context] >= 0.5)

    def values(self, tiles: int, context: int, model: str) -> Floats:
        """How sure a model is of the cells of a context's tiles, ``(n, cells / tiles, cells / tiles)``."""
        key = (tiles, model, context)
        if self._whole is not None:
            whole, frames = self._whole
            mine = frames.repeat(tiles**2)[whole.contexts[tiles] == context]
            return np.asarray(whole.values(tiles, context, model)[mine])
        if key not in self._seen:
            mine = self.contexts[tiles] == context
            here = self.tiles[tiles]
            if model == REFERENCE and REFERENCE not in self.runners:
                self._seen[key] = regrid(here.thought[mine], here.maps.shape[-1], highest=self.highest)
            elif not mine.any():
                self._seen[key] = here.maps[mine]
            else:
                said = values_of(self.runners[model], here.pixels[mine])
                self._seen[key] = regrid(said, here.maps.shape[-1], highest=self.highest)
        return self._seen[key]
