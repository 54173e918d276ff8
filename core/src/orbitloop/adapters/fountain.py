"""RaptorQ (RFC 6330), from the optional package ``raptorq``: repair symbols, and a block from enough symbols."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

Encode = Callable[[bytes, int, int], bytes]
"""Data of a block, bytes of a symbol, which repair symbol: the symbol."""

AVAILABLE = find_spec("raptorq") is not None
"""Whether this installation has the codec."""

_ID = 4
_AT_ONCE = 8


class Blocks:
    """Repair symbols of one object's blocks; makes a few ahead, since the work is in the first.

    Args:
        symbol: bytes of a symbol, a multiple of 8.
    """

    def __init__(self, symbol: int) -> None:
        self._codec: Any = import_module("raptorq")
        self._symbol = symbol
        self._block = -1
        self._symbols: list[bytes] = []

    def repair(self, block: int, data: bytes, number: int) -> bytes:
        """The ``number``-th repair symbol of a block, from 0."""
        if block != self._block or number >= len(self._symbols):
            encoder = self._codec.Encoder.with_defaults(data, self._symbol)
            count = -(-len(data) // self._symbol)
            packets = encoder.get_encoded_packets(number + _AT_ONCE)
            self._block, self._symbols = block, [packet[_ID:] for packet in packets[count:]]
        return self._symbols[number]

    def solve(self, length: int, symbols: dict[int, bytes], repairs: dict[int, bytes]) -> bytes | None:
        """A block of ``length`` bytes from source symbols by place and repair symbols by number, if they suffice."""
        count = -(-length // self._symbol)
        decoder = self._codec.Decoder.with_defaults(length, self._symbol)
        for place, data in (*symbols.items(), *((count + number, data) for number, data in repairs.items())):
            packet = place.to_bytes(_ID, "big") + bytes(data).ljust(self._symbol, b"\0")
            if (solved := decoder.decode(packet)) is not None:
                return bytes(solved)
        return None
