"""Frames in, tiles out: decoding pictures from outside with care, encoding samples for the link."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from orbitloop.domain.errors import BadInput

MAX_PIXELS = 100_000_000
"""Largest frame that is decoded at all: 300 MB as RGB on a computer with a few gigabytes."""

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000")
"""What cameras write and what is kept on board; Pillow's other decoders are not for bytes from outside."""


def decode_picture(data: bytes, source: str) -> NDArray[np.uint8]:
    """``(h, w, 3)`` uint8 RGB of an encoded picture.

    Raises:
        BadInput: it is empty, damaged, no picture, or would unpack to more than ``MAX_PIXELS``; ``source`` is named.
    """
    if not data:
        raise BadInput(f"{source}: the frame is empty (0 bytes); check the camera or the copy")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is checked below
            with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise BadInput(
                        f"{source}: {picture.width}x{picture.height} pixels are more than the limit of {MAX_PIXELS}; "
                        "cut the frame before it is handed over"
                    )
                return _rgb(picture, source)
    except Image.DecompressionBombError as error:
        raise BadInput(f"{source}: unpacks to more than {MAX_PIXELS} pixels; refused") from error
    except (UnidentifiedImageError, OSError, EOFError, SyntaxError, ValueError, struct.error) as error:
        raise BadInput(f"{source}: cannot be read as a picture ({error}); capture or copy it again") from error


def _rgb(picture: Image.Image, source: str) -> NDArray[np.uint8]:
    if picture.mode.startswith("I;16"):  # Pillow would clip all above 255 to white
        grey = (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode in {"I", "F"}:
        raise BadInput(f"{source}: pixels of 32 bits have no agreed white; hand frames over with 8 or 16 bits")
    return np.asarray(picture.convert("RGB"))


def read_picture(path: Path) -> tuple[bytes, NDArray[np.uint8]]:
    """A frame's bytes as they are on disk, and its pixels; errors as :func:`decode_picture`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); is the frame still there?") from error
    return data, decode_picture(data, str(path))


def encode_picture(pixels: NDArray[np.uint8], codec: str, quality: int) -> bytes:
    """``(h, w, 3)`` uint8 RGB as ``webp``, ``jpeg``, ``avif`` or (lossless) ``png``."""
    out = io.BytesIO()
    picture = Image.fromarray(pixels)
    match codec:
        case "webp":
            picture.save(out, "WEBP", quality=quality, method=4)
        case "jpeg":
            picture.save(out, "JPEG", quality=quality, optimize=True)
        case "avif":
            picture.save(out, "AVIF", quality=quality, speed=8)
        case "png":
            picture.save(out, "PNG")
        case _:
            raise BadInput(f"codec {codec!r} is unknown on board; use webp, jpeg, avif or png")
    return out.getvalue()


def resampled(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A square frame ``(s, s, 3)`` at another resolution: rounded means of blocks, or repeats.

    Raises:
        BadInput: the frame is not square, or neither side divides the other.
    """
    height, width = pixels.shape[:2]
    if height != width or not height or (height % side and side % height):
        raise BadInput(
            f"a frame of {width}x{height} pixels cannot be shown as {side}x{side}: it must be square, and one side "
            "must divide the other; cut the frame, or transform the application for frames of this size"
        )
    if side >= height:
        return pixels.repeat(side // height, axis=0).repeat(side // height, axis=1)
    return np.asarray(Image.fromarray(pixels).reduce(height // side))
