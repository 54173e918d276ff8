"""Fits tiles into so many bytes each with one codec and decodes them again; a process of its own, since JPEG XL's
plug-in of Pillow is on its path alone.

    codec_driver.py TILES.npy OUT.npz CODEC BYTES

Of each tile it keeps the best quality that fits, the largest scale for what is lossless. Where even the worst quality
does not fit, the tile is made smaller, as lossless ones are.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Encode = Callable[[Image.Image, int], bytes]
"""From a picture and a step from 0 to 100, worst first, to bytes."""

MIDDLING = 30
"""Quality of a tile that is made smaller: the link policy's."""


def _saved(picture: Image.Image, kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **how)
    return out.getvalue()


def _jpeg2000(picture: Image.Image, step: int) -> bytes:
    """Its quality is a ratio of compression: 2 at step 100, a twentieth more with each step down."""
    ratio = 2.0 * 1.05 ** (100 - step)
    return _saved(
        picture, "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[ratio], no_jp2=True, mct=1
    )


LOSSY: dict[str, Encode] = {
    "JPEG": lambda picture, step: _saved(picture, "JPEG", quality=max(1, step), optimize=True),
    "WebP": lambda picture, step: _saved(picture, "WEBP", quality=step, method=4),
    "AVIF": lambda picture, step: _saved(picture, "AVIF", quality=step, speed=8),
    "JPEG 2000": _jpeg2000,
    "JPEG XL": lambda picture, step: _saved(picture, "JXL", quality=step, effort=7),
}
"""JPEG, WebP and AVIF as they are encoded on board."""
LOSSLESS: dict[str, Callable[[Image.Image], bytes]] = {
    "lossless WebP": lambda picture: _saved(picture, "WEBP", lossless=True, method=4),
    "PNG": lambda picture: _saved(picture, "PNG"),
    "lossless JPEG XL": lambda picture: _saved(picture, "JXL", lossless=True, effort=7),
}
PLUGGED = ("JPEG XL", "lossless JPEG XL")
"""What Pillow needs its plug-in for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """A tile as it came down.

    Args:
        size: bytes of it.
        pixels: decoded, at the tile's own size.
        seconds: that its last encoding took, the search before it left out.
        scale: factor on its sides.
    """

    size: int
    pixels: Pixels
    seconds: float
    scale: float


def fitted(tile: Pixels, codec: str, budget: int) -> Fitted:
    """``(h, w, 3)`` uint8 RGB in at most ``budget`` bytes, or the fewest that there are."""
    whole = Image.fromarray(tile)
    if codec in LOSSY:
        encode = LOSSY[codec]
        if len(encode(whole, 0)) <= budget:
            step = _largest(lambda step: len(encode(whole, step)) <= budget)
            return _decoded(tile, lambda: encode(whole, step), 1.0)
        scaled: Callable[[float], bytes] = lambda scale: encode(_resized(whole, scale), MIDDLING)  # noqa: E731
    else:
        scaled = lambda scale: LOSSLESS[codec](_resized(whole, scale))  # noqa: E731
    if len(scaled(1.0)) <= budget:
        return _decoded(tile, lambda: scaled(1.0), 1.0)
    scale = max(1, _largest(lambda step: len(scaled(max(1, step) / 100)) <= budget)) / 100
    return _decoded(tile, lambda: scaled(scale), scale)


def _largest(fits: Callable[[int], bool]) -> int:
    """The last step that fits, by halving: size rises with the step."""
    low, high = 0, 100
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _resized(picture: Image.Image, scale: float) -> Image.Image:
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture if size == picture.size else picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def _decoded(tile: Pixels, encode: Callable[[], bytes], scale: float) -> Fitted:
    began = time.perf_counter()
    data = encode()
    seconds = time.perf_counter() - began
    with Image.open(io.BytesIO(data)) as read:
        picture = read.convert("RGB")
    if picture.size != (tile.shape[1], tile.shape[0]):
        picture = picture.resize((tile.shape[1], tile.shape[0]), Image.Resampling.BICUBIC)
    return Fitted(size=len(data), pixels=np.asarray(picture), seconds=seconds, scale=scale)


def main(tiles: str, out: str, codec: str, budget: str) -> None:
    """Read tiles, fit each, write what came back."""
    if codec in PLUGGED:
        import_module("pillow_jxl")
    found = [fitted(tile, codec, int(budget)) for tile in np.load(tiles, allow_pickle=False)]
    np.savez(
        out,
        allow_pickle=False,
        pixels=np.stack([one.pixels for one in found]),
        sizes=np.array([one.size for one in found]),
        seconds=np.array([one.seconds for one in found]),
        scales=np.array([one.scale for one in found]),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
