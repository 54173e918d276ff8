"""Contexts: sets of tiles that are alike, by rules of experts or by what label vectors say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Floats
from orbitloop.domain.errors import BadInput

OTHER = "other"
"""The expert context of tiles that no rule fits."""
_WATER, _PLANTS, _BRIGHT, _DARK = 0.0, 0.3, 0.6, 0.15
"""Above which NDWI is water (McFeeters 1996) and NDVI plants, and what counts as bright and dark ground, in [0, 1]."""
_SINGLE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileView:
    """What a rule may look at.

    Args:
        bands: reflectance by name (``red``, ``green``, ``blue``, and ``nir`` where there is one), each ``(h, w)``
            float32 in [0, 1].
        longitude, latitude: of the tile's centre in degrees; ``None`` where that is not known.
    """

    bands: Mapping[str, Floats]
    longitude: float | None = None
    latitude: float | None = None


class Index(StrEnum):
    """What is averaged over a tile: a normalised difference in [-1, 1], or the brightness of the visible bands."""

    NDWI = "ndwi"
    NDVI = "ndvi"
    BRIGHTNESS = "brightness"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRule:
    """Tiles whose mean ``index`` lies in ``low <= index < high``."""

    context: str
    index: Index
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise BadInput(f"context {self.context!r}: no {self.index} lies from {self.low} to below {self.high}")

    def fits(self, tile: TileView) -> bool:
        """Whether the tile belongs. Raises ``BadInput`` where it lacks a band that the index needs."""
        return self.low <= float(index_of(self.index, tile.bands).mean()) < self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRule:
    """Tiles whose centre lies in a box on the map, in degrees; one across the date line has ``west > east``."""

    context: str
    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        if not (-90 <= self.south < self.north <= 90 and -180 <= self.west <= 180 and -180 <= self.east <= 180):
            raise BadInput(
                f"context {self.context!r}: {self.west}..{self.east} east, {self.south}..{self.north} north is no box"
            )

    def fits(self, tile: TileView) -> bool:
        """Whether the tile belongs; never where its place is not known."""
        if tile.longitude is None or tile.latitude is None:
            return False
        if self.west <= self.east:
            inside = self.west <= tile.longitude < self.east
        else:
            inside = tile.longitude >= self.west or tile.longitude < self.east
        return inside and self.south <= tile.latitude < self.north


ExpertRule: TypeAlias = IndexRule | MapRule


def expert_context(tile: TileView, rules: Sequence[ExpertRule]) -> str:
    """The context of the first rule that fits, else :data:`OTHER`."""
    return next((rule.context for rule in rules if rule.fits(tile)), OTHER)


def index_of(index: Index, bands: Mapping[str, Floats]) -> Floats:
    """An index for each pixel, ``(h, w)``; 0 where a normalised difference has nothing to divide by.

    NDWI is ``(green - nir) / (green + nir)`` (McFeeters 1996), NDVI ``(nir - red) / (nir + red)`` (Rouse et al. 1974).

    Raises:
        BadInput: a band is missing.
    """
    match index:
        case Index.NDWI:
            return _difference(_band(bands, "green"), _band(bands, "nir"))
        case Index.NDVI:
            return _difference(_band(bands, "nir"), _band(bands, "red"))
        case Index.BRIGHTNESS:
            visible = [_band(bands, name) for name in ("red", "green", "blue")]
            return np.asarray(np.mean(visible, axis=0), np.float32)
        case _:
            assert_never(index)


def _band(bands: Mapping[str, Floats], name: str) -> Floats:
    try:
        return bands[name]
    except KeyError as error:
        raise BadInput(f"the tile has no band {name!r}, only {', '.join(sorted(bands))}; use another rule") from error


def _difference(first: Floats, second: Floats) -> Floats:
    total = first + second
    return np.asarray(np.where(total > _SINGLE, (first - second) / np.maximum(total, _SINGLE), 0.0), np.float32)


def label_vector(tile: TileView, valuable: float, tags: Sequence[float] = ()) -> Floats:
    """What is known of a tile, as shares in [0, 1]: the vectors that automatic contexts are clusters of.

    High-value cells, water and plants (where there is a near-infrared band; else their shares are 0), bright and dark
    ground, redness (red against blue), structure; then whatever tags the data set brings.

    Args:
        valuable: share of the tile's cells that are of high value.
        tags: of the data set, each in [0, 1], equally many for every tile.
    """
    brightness = index_of(Index.BRIGHTNESS, tile.bands)
    water = plants = 0.0
    if "nir" in tile.bands:
        water = float((index_of(Index.NDWI, tile.bands) > _WATER).mean())
        plants = float((index_of(Index.NDVI, tile.bands) > _PLANTS).mean())
    warm = float(np.clip(0.5 + (_band(tile.bands, "red") - _band(tile.bands, "blue")).mean() * 2, 0, 1))
    steps = np.abs(np.diff(brightness, axis=0)).mean() + np.abs(np.diff(brightness, axis=1)).mean()
    shares = [
        valuable,
        water,
        plants,
        float((brightness > _BRIGHT).mean()),
        float((brightness < _DARK).mean()),
        warm,
        float(1 - np.exp(-16 * steps)),
    ]
    return np.array([*shares, *tags], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAnswer:
    """What the context engine says of some tiles.

    Args:
        contexts: index of the likeliest context of each tile, ``(b,)``; -1: unlike all of them.
        distances: squared Mahalanobis distance to the nearest context, ``(b,)`` float32.
    """

    contexts: NDArray[np.int64]
    distances: Floats


UNLIKE = -1


def engine_answer(logits: Floats, distances: Floats, reach: float) -> EngineAnswer:
    """What an engine's outputs mean.

    Args:
        logits: ``(b, contexts)`` float32.
        distances: ``(b,)`` float32.
        reach: distance beyond which a tile is unlike all contexts.

    Raises:
        BadInput: the shapes disagree.
    """
    if logits.ndim != 2 or distances.shape != (len(logits),):
        raise BadInput(f"the engine answers with shapes {logits.shape} and {distances.shape}; transform again")
    likeliest = logits.argmax(axis=1).astype(np.int64)
    known = np.isfinite(distances) & (distances <= reach) & np.isfinite(logits).all(axis=1)
    return EngineAnswer(contexts=np.where(known, likeliest, UNLIKE), distances=distances)
