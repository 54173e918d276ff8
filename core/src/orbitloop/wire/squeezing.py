"""Bytes made small: by the range coder of LZMA, by zstd, or not at all, whichever gives the fewest.

A block is a coder (1 byte), the unpacked and the packed length (LEB128), and the packed bytes. LZMA is the raw first
version (``lc=0, lp=0, pb=0``, a dictionary of 1 MiB): an adaptive binary range coder in whole numbers, in the
standard library of every platform. zstd frames have neither magic nor content size.
"""

from __future__ import annotations

import lzma
from enum import IntEnum

import numpy as np
import zstandard

from orbitloop.domain.errors import BadInput
from orbitloop.wire.leb128 import Reader, encode_numbers

_FILTERS = [{"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 2**20, "lc": 0, "lp": 0, "pb": 0}]
_LARGEST_WINDOW = 2**27


class Coder(IntEnum):
    """How a block was packed."""

    STORED = 0
    ZSTD = 1
    LZMA = 2


def squeeze(data: bytes) -> bytes:
    """A block of ``data``; the same bytes give the same block, as long as the libraries stay the same."""
    ways = {
        Coder.STORED: data,
        Coder.ZSTD: _zstd(data),
        Coder.LZMA: lzma.compress(data, lzma.FORMAT_RAW, -1, None, _FILTERS),
    }
    coder = min(ways, key=lambda way: len(ways[way]))
    return bytes([coder]) + encode_numbers(np.array([len(data), len(ways[coder])])) + ways[coder]


def unsqueeze(reader: Reader, most: int) -> bytes:
    """The data of the next block.

    Raises:
        BadInput: it is damaged, or claims to unpack to more than ``most`` bytes, and is not unpacked then.
    """
    kind = reader.take(1)[0]
    unpacked = reader.number(most)
    packed = reader.take(reader.number(most + 64))
    try:
        match kind:
            case Coder.STORED:
                data = bytes(packed)
            case Coder.ZSTD:
                data = _decompressor().decompress(packed, max_output_size=unpacked) if unpacked else b""
            case Coder.LZMA:
                data = _unlzma(packed, unpacked)
            case _:
                raise BadInput(f"the update was packed by coder {kind}, which this version does not know; update it")
    except (zstandard.ZstdError, lzma.LZMAError) as error:
        raise BadInput(f"the update holds a block that does not unpack ({error})") from error
    if len(data) != unpacked:
        raise BadInput(f"a block of the update unpacks to {len(data)} bytes and claims {unpacked}")
    return data


def _zstd(data: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        19, source_size=len(data), format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=False
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def _decompressor() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW, format=zstandard.FORMAT_ZSTD1_MAGICLESS)


def _unlzma(packed: memoryview, unpacked: int) -> bytes:
    """Never more than one byte above what was claimed: such a block is refused after that."""
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS).decompress(packed, unpacked + 1)
