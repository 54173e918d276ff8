"""The tiles of many frames, at every number of tiles a side, with all that is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.contexts import TileView, label_vector
from orbitloop.domain.detection import Floats
from orbitloop.domain.resampling import INPUT, Pixels, Resample, cut_tiles
from orbitloop.domain.value_map import Truths, regrid, tiles_of_map
from orbitloop_ground.adapters.transformation.applications import Frame, Geometry, bands_of
from orbitloop_ground.adapters.transformation.networks import GRID


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tiles:
    """Tiles of one number a side.

    Args:
        tiles: a side of a frame.
        pixels: ``(n, 3, 128, 128)`` uint8.
        maps: ``(n, cells / tiles, cells / tiles)`` float32: truth or, where nobody has said, the reference's opinion.
        thought: the reference's opinion, ``(n, grain / tiles, grain / tiles)``; what networks learn.
        vectors: ``(n, labels)`` float32, see :func:`~orbitloop.domain.contexts.label_vector`.
        views: what rules of experts look at.
    """

    tiles: int
    pixels: Pixels
    maps: Floats
    thought: Floats
    vectors: Floats
    views: Sequence[TileView]

    def __len__(self) -> int:
        return len(self.maps)

    def of(self, frames: NDArray[np.bool_]) -> Tiles:
        """Of some frames only, ``(frames,)``, without what networks and rules look at."""
        kept = frames.repeat(self.tiles**2)
        return Tiles(
            tiles=self.tiles,
            pixels=self.pixels[:0],
            maps=self.maps[kept],
            thought=self.thought[kept],
            vectors=self.vectors[:0],
            views=(),
        )

    def wanted(self) -> Floats:
        """What a network should answer, ``(n, 16, 16)``: the reference's opinion at its resolution."""
        return at_grid(self.thought)


def sent_by_reference(tiles: Tiles, highest: bool, threshold: float = 0.5) -> Truths:
    """The cells of which the reference is at least as sure as ``threshold``, as ``maps``."""
    return np.asarray(regrid(tiles.thought, tiles.maps.shape[-1], highest=highest) >= threshold)


def at_grid(maps: Floats, side: int = GRID) -> Floats:
    """Maps ``(n, m, m)`` at a network's resolution: repeated where coarser, the highest of each part where finer."""
    cells = maps.shape[-1]
    if cells <= side:
        return np.asarray(maps.repeat(side // cells, axis=1).repeat(side // cells, axis=2), np.float32)
    part = cells // side
    return np.asarray(maps.reshape(len(maps), side, part, side, part).max(axis=(2, 4)), np.float32)


def tiles_of_frames(
    frames: Sequence[Frame], thought: Sequence[Floats], tiles: int, geometry: Geometry, *, resample: Resample
) -> Tiles:
    """All tiles of frames at ``tiles`` a side; ``thought`` are the reference's value maps of them."""
    pixels, maps, opinions, views, vectors = [], [], [], [], []
    for frame, opinion in zip(frames, thought, strict=True):
        parts = cut_tiles(resample(frame.pixels, tiles * INPUT), tiles)
        truth = opinion if frame.truth is None else frame.truth.astype(np.float32)
        mine = np.asarray(tiles_of_map(regrid(truth, geometry.cells, highest=geometry.highest), tiles), np.float32)
        pixels.append(parts)
        maps.append(mine)
        opinions.append(np.asarray(tiles_of_map(opinion, tiles), np.float32))
        for view, part, tags in zip(_views(frame, parts, tiles), mine, _tags(frame, tiles), strict=True):
            views.append(view)
            vectors.append(label_vector(view, float((part >= 0.5).mean()), tags))
    return Tiles(
        tiles=tiles,
        pixels=np.concatenate(pixels),
        maps=np.concatenate(maps),
        thought=np.concatenate(opinions),
        vectors=np.stack(vectors),
        views=views,
    )


def _views(frame: Frame, parts: Pixels, tiles: int) -> Iterator[TileView]:
    """Every fourth pixel of each tile is enough to say what ground it shows."""
    infrared: NDArray[np.uint8] | None = None
    if frame.infrared is not None:
        step = max(1, frame.infrared.shape[0] * 4 // (tiles * INPUT))
        infrared = np.asarray(tiles_of_map(frame.infrared[::step, ::step], tiles), np.uint8)
    for index, part in enumerate(parts):
        small = part[:, ::4, ::4]
        near = None if infrared is None else _fitting(infrared[index], small.shape[1])
        yield TileView(bands=bands_of(small, near))


def _fitting(band: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return band.repeat(max(1, side // band.shape[0]), axis=0).repeat(max(1, side // band.shape[1]), axis=1)[
        :side, :side
    ]


def _tags(frame: Frame, tiles: int) -> list[Sequence[float]]:
    if frame.tags is None:
        return [()] * (tiles * tiles)
    layers = [np.asarray(tiles_of_map(frame.tags[:, :, tag], tiles)) for tag in range(frame.tags.shape[2])]
    return [tuple(float(layer[index].mean()) for layer in layers) for index in range(tiles * tiles)]
