"""The bytes of one step: where values move, and by how much.

Up to four blocks, in this order; one that no change needs is left out. What changes are there, and how large they are,
stands in the update's header.

    positions   of the sparse changes, one after the other
    moves       quanta of the sparse changes
    channels    quanta of shifts and gains
    factors     quanta of the factors of low rank, ``left`` then ``right``, row-major

Quanta of a kind lie together, since a coder that adapts has more to learn from then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.delta import Change, Gain, LowRank, Quanta, Shift, Sparse
from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import Weights
from orbitloop.wire.leb128 import Reader, decode_numbers, encode_numbers
from orbitloop.wire.squeezing import squeeze, unsqueeze

MAX_VALUES = 64 * 1024 * 1024
"""Most quanta of one update, and most bytes of one block: twice the model that an update changes."""
MAX_CHANNEL_PAIRS = 2**22
"""Largest product of output and input channels for which positions are ordered by how many there are in a channel."""
_WIDTHS = (1, 2, 4)
_WHAT = "the update"

Positions = NDArray[np.uint32]
Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of the tensors of the model that is changed; those that are not named are packed without."""


def shapes_of(weights: Weights) -> dict[str, tuple[int, ...]]:
    """The shapes of a model's tensors."""
    return {name: tensor.shape for name, tensor in weights.items()}


class Places(IntEnum):
    """How positions are written."""

    GAPS = 0
    BITMAP = 1
    BY_CHANNEL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of the streams a change takes.

    Args:
        moves, channels, factors: quanta of each kind; at most one is above 0.
    """

    moves: int = 0
    channels: int = 0
    factors: int = 0


def pack_step(changes: Sequence[Change], shapes: Shapes) -> bytes:
    """The bytes of one step."""
    sparse = [change for change in changes if isinstance(change, Sparse) and len(change.where)]
    channels = [change.quanta for change in changes if isinstance(change, Shift | Gain)]
    factors = [part for change in changes if isinstance(change, LowRank) for part in (change.left, change.right)]
    kinds = [
        np.concatenate([np.zeros(0, np.int8), *(part.reshape(-1) for part in parts)])
        for parts in ([change.quanta for change in sparse], channels, factors)
    ]
    places = b"".join(_placed(change, shapes.get(change.tensor, ())) for change in sparse)
    return (squeeze(places) if sparse else b"") + b"".join(_packed(quanta) for quanta in kinds if len(quanta))


class StepReader:
    """Reads the bytes of one step. Nothing is unpacked beyond what ``extents``, of its changes, say that there is.

    Raises:
        BadInput: the bytes are damaged.
    """

    def __init__(self, data: bytes | memoryview, extents: Sequence[Extent]) -> None:
        reader = Reader(data, _WHAT)
        sparse = any(extent.moves for extent in extents)
        self._places = Reader(unsqueeze(reader, MAX_VALUES) if sparse else b"", _WHAT)
        self._moves = _Quanta(reader, sum(extent.moves for extent in extents))
        self._channels = _Quanta(reader, sum(extent.channels for extent in extents))
        self._factors = _Quanta(reader, sum(extent.factors for extent in extents))
        reader.finish()

    def places(self, count: int) -> Positions:
        """The next ``count`` positions, increasing."""
        return _read_places(self._places, count) if count else np.zeros(0, np.uint32)

    def moves(self, count: int) -> Quanta:
        """The next quanta of sparse changes."""
        return self._moves.take(count)

    def channels(self, count: int) -> Quanta:
        """The next quanta of shifts and gains."""
        return self._channels.take(count)

    def factors(self, rows: int, columns: int) -> Quanta:
        """The next factor."""
        return self._factors.take(rows * columns).reshape(rows, columns)

    def finish(self) -> None:
        """Raises ``BadInput`` if something is left."""
        self._places.finish()


class _Quanta:
    def __init__(self, reader: Reader, count: int) -> None:
        self._values = _unpacked(reader, count) if count else np.zeros(0, np.int8)
        self._at = 0

    def take(self, count: int) -> Quanta:
        part = self._values[self._at : self._at + count]
        self._at += count
        return part


def _packed(quanta: Quanta) -> bytes:
    """A block: a width in bits and, below 8, the values that occur and each quantum's place among them."""
    ways = [bytes([8]) + quanta.tobytes()]
    values, places = np.unique(quanta, return_inverse=True)
    for width in _WIDTHS:
        if len(values) <= 2**width:
            head = bytes([width, len(values)]) + values.tobytes()
            ways.append(head + _narrowed(places.astype(np.uint8).reshape(-1), width))
    return min((squeeze(way) for way in ways), key=len)


def _unpacked(reader: Reader, count: int) -> Quanta:
    content = Reader(unsqueeze(reader, count + 2 + 2 ** max(_WIDTHS)), _WHAT)
    width = content.take(1)[0]
    if width == 8:
        quanta = np.frombuffer(content.take(count), np.int8)
    elif width in _WIDTHS:
        values = np.frombuffer(content.take(content.take(1)[0]), np.int8)
        places = _widened(np.frombuffer(content.take(-(-count * width // 8)), np.uint8), width)[:count]
        if len(places) and places.max() >= len(values):
            raise BadInput(f"the update holds quantum number {places.max()} of {len(values)}")
        quanta = values[places]
    else:
        raise BadInput(f"the update holds quanta of {width} bits; it is 1, 2, 4 or 8")
    content.finish()
    return quanta


def _narrowed(places: NDArray[np.uint8], width: int) -> bytes:
    """Several to a byte, the first in the lowest bits."""
    several = 8 // width
    rows = np.concatenate([places, np.zeros(-len(places) % several, np.uint8)]).reshape(-1, several)
    shifted = rows << (np.arange(several, dtype=np.uint8) * np.uint8(width))
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(shifted, axis=1).astype(np.uint8)
    return packed.tobytes()


def _widened(data: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    shifts = np.arange(8 // width, dtype=np.uint8) * np.uint8(width)
    return (data[:, None] >> shifts & np.uint8(2**width - 1)).reshape(-1)


def _placed(change: Sparse, shape: tuple[int, ...]) -> bytes:
    """Positions in the way that packs best by itself."""
    ways = [bytes([Places.GAPS]) + encode_gaps(change.where)]
    size = int(np.prod(shape))
    if not len(change.where) or not shape or change.where[-1] >= size:
        return ways[0]
    if 8 * len(change.where) > size:
        bits = np.zeros(size, np.uint8)
        bits[change.where] = 1
        ways.append(bytes([Places.BITMAP]) + _number(size) + np.packbits(bits, bitorder="little").tobytes())
    if len(shape) > 1 and shape[0] * shape[1] <= MAX_CHANNEL_PAIRS:
        ways.append(bytes([Places.BY_CHANNEL]) + _by_channel(change.where, shape))
    return min(ways, key=lambda way: len(squeeze(way)))


def _by_channel(where: Positions, shape: tuple[int, ...]) -> bytes:
    rows, columns, kernel = shape[0], shape[1], int(np.prod(shape[2:]))
    pair, inside = np.divmod(where.astype(np.int64), kernel)
    of_rows, of_columns = np.bincount(pair // columns, minlength=rows), np.bincount(pair % columns, minlength=columns)
    order = _crowded_first(of_rows, of_columns)
    rank = np.empty(rows * columns, np.int64)
    rank[order] = np.arange(len(order))
    sides = encode_numbers(np.concatenate([[rows, columns, kernel], of_rows, of_columns]))
    return sides + encode_gaps(np.sort(rank[pair] * kernel + inside).astype(np.uint32))


def _crowded_first(of_rows: NDArray[np.int64], of_columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs of an output and an input channel, by the product of how many positions each of the two has.

    What training may move is chosen by the size of a gradient, which is a product over the two channels; so the pairs
    fill from the front, and gaps are short there.
    """
    rows, columns = np.flatnonzero(of_rows), np.flatnonzero(of_columns)
    crowd = np.multiply.outer(of_rows[rows], of_columns[columns]).reshape(-1)
    pairs = np.add.outer(rows * len(of_columns), columns).reshape(-1)
    return np.asarray(pairs[np.argsort(-crowd, kind="stable")])


def _read_places(reader: Reader, count: int) -> Positions:
    match reader.take(1)[0]:
        case Places.GAPS:
            return _ends_of(reader.numbers(count))
        case Places.BITMAP:
            size = reader.number(MAX_VALUES)
            bits = np.unpackbits(np.frombuffer(reader.take(-(-size // 8)), np.uint8), count=size, bitorder="little")
            where = np.flatnonzero(bits).astype(np.uint32)
            if len(where) != count:
                raise BadInput(f"the update marks {len(where)} positions where its header says {count}")
            return where
        case Places.BY_CHANNEL:
            return _read_by_channel(reader, count)
        case other:
            raise BadInput(f"the update writes positions in way {other}, which this version does not know; update it")


def _read_by_channel(reader: Reader, count: int) -> Positions:
    rows, columns, kernel = (int(side) for side in reader.numbers(3))
    if rows * columns > MAX_CHANNEL_PAIRS or rows * columns * kernel >= 2**32:
        raise BadInput(f"the update orders {rows} x {columns} channels; {MAX_CHANNEL_PAIRS} pairs are the limit")
    of_rows, of_columns = reader.numbers(rows), reader.numbers(columns)
    if (of_rows.sum(), of_columns.sum()) != (count, count):
        raise BadInput(f"the update counts {of_rows.sum()} positions by rows where its header says {count}")
    order = _crowded_first(of_rows, of_columns)
    rank, inside = np.divmod(_ends_of(reader.numbers(count)).astype(np.int64), max(1, kernel))
    if len(rank) and rank[-1] >= len(order):
        raise BadInput(f"the update holds a position in channel pair {rank[-1]} of {len(order)}")
    return np.sort(order[rank] * kernel + inside).astype(np.uint32)


def _number(number: int) -> bytes:
    return encode_numbers(np.array([number], np.int64))


def encode_gaps(where: Positions) -> bytes:
    """Increasing positions as LEB128 of their gaps (the first position, then each difference minus one)."""
    wide = where.astype(np.int64)
    return encode_numbers(np.concatenate([wide[:1], np.diff(wide) - 1]))


def decode_gaps(data: bytes | memoryview) -> Positions:
    """Inverse of :func:`encode_gaps`; raises ``BadInput`` on a number that is cut off or does not fit 32 bits."""
    return _ends_of(decode_numbers(data, "the list of positions"))


def _ends_of(gaps: NDArray[np.int64]) -> Positions:
    where = np.cumsum(gaps + 1) - 1
    if len(where) and where[-1] >= 2**32:
        raise BadInput("the update holds a position of more than 32 bits")
    return where.astype(np.uint32)
