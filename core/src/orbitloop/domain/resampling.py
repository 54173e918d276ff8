"""A frame as the tiles that networks take: of one size, whatever the number of tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Floats
from orbitloop.domain.errors import BadInput

INPUT = 128
"""Side of the networks' input, pixels."""
GLIMPSE = 32
"""Side of the context engine's input, pixels."""
_EVERY = INPUT // GLIMPSE

Pixels: TypeAlias = NDArray[np.uint8]
Resample: TypeAlias = Callable[[Pixels, int], Pixels]
"""From a square frame ``(s, s, 3)`` and a side to the same at that side: rounded means of blocks, or repeats."""


def cut_tiles(whole: Pixels, tiles: int) -> Pixels:
    """A frame as ``tiles`` by ``tiles`` parts, row by row.

    Args:
        whole: ``(tiles * side, tiles * side, 3)`` uint8.

    Returns:
        ``(tiles**2, 3, side, side)`` uint8, as networks want them.

    Raises:
        BadInput: the frame is not square, or cannot be divided so.
    """
    height, width, bands = whole.shape
    if height != width or not height or height % tiles:
        raise BadInput(f"a frame of {width}x{height} pixels cannot be cut into {tiles}x{tiles} equal tiles")
    side = height // tiles
    parts = whole.reshape(tiles, side, tiles, side, bands).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(parts.reshape(tiles * tiles, bands, side, side))


def glimpses(tiles: Pixels) -> Pixels:
    """What the context engine sees of tiles ``(n, 3, 128, 128)``: every fourth pixel, ``(n, 3, 32, 32)``.

    Not their means: what ground it is shows in a sixteenth of the pixels, and reading the others takes longer than the
    engine.
    """
    return np.ascontiguousarray(tiles[:, :, _EVERY // 2 :: _EVERY, _EVERY // 2 :: _EVERY])


def as_input(tiles: Pixels) -> Floats:
    """Tiles as networks take them: float32 in [0, 1]."""
    return np.asarray(tiles.astype(np.float32) * np.float32(1 / 255), np.float32)
