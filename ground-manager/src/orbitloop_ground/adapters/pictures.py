"""Tiles as pictures that browsers and labelling tools read."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from orbitloop.domain.errors import BadInput
from orbitloop.domain.tiling import Window

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000")
"""What is kept on board; Pillow's other decoders are not for bytes from outside."""
_MOST_PIXELS = 16_384 * 16_384
"""Of one tile: no frame is larger."""


def pixels_of(data: bytes, source: str) -> NDArray[np.uint8]:
    """An encoded tile as ``(h, w, 3)`` uint8 RGB.

    Raises:
        BadInput: it is no picture, or a larger one than any sample; ``source`` is named.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise BadInput(f"{source}: {picture.width}x{picture.height} pixels are more than {_MOST_PIXELS}")
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{source}: cannot be read as a picture ({error})") from error


def png_of(data: bytes, source: str, window: Window) -> bytes:
    """An encoded tile as PNG.

    Raises:
        BadInput: it is no picture, or does not fill ``window``; ``source`` is named.
    """
    stream = io.BytesIO()
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            if picture.size != (window.width, window.height):
                raise BadInput(f"{source}: {picture.width}x{picture.height} pixels do not fill its window; reject it")
            picture.convert("RGB").save(stream, "png", compress_level=1)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{source}: cannot be read as a picture ({error}); reject it") from error
    return stream.getvalue()
