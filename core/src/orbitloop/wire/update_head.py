"""What stands at the front of an update: which steps there are, what each makes, and on which tiles it is proved.

A block of numbers (LEB128) and names, then digests of 32 bytes each, which no coder makes smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import assert_never

import numpy as np

from orbitloop.domain.delta import Change, Gain, LowRank, Shift, Sparse
from orbitloop.domain.detection import Truth
from orbitloop.domain.digests import hexadecimal
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.wire.leb128 import Reader, encode_numbers
from orbitloop.wire.squeezing import squeeze, unsqueeze
from orbitloop.wire.update_streams import MAX_VALUES, Extent, StepReader

MAX_TEXT = 4 * 1024 * 1024
MAX_STEPS = 64
MAX_CHANGES = 10_000
MAX_CANARIES = 1_000
MAX_BOXES = 10_000
_MAX_NAME = 200
_DIGEST = 32
_LARGEST = 2**32 - 1
_SHIFT, _GAIN, _GAIN_OF_INPUTS, _SPARSE, _LOW_RANK = range(5)
_WHAT = "the update's header"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CanaryTruth:
    """What the ground knows of a tile that the satellite kept: its sample id and its objects, in pixels."""

    sample: Digest
    truth: Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeHead:
    """A change without its quanta.

    Args:
        sides: number of quanta; for low rank the rows of ``left``, the rank, and the columns of ``right``.
    """

    kind: int
    tensor: str
    exponent: int
    sides: tuple[int, ...]

    @property
    def extent(self) -> Extent:
        """What it takes of a step's streams."""
        if self.kind == _LOW_RANK:
            rows, rank, columns = self.sides
            return Extent(factors=rank * (rows + columns))
        return Extent(moves=self.sides[0]) if self.kind == _SPARSE else Extent(channels=self.sides[0])

    def read(self, streams: StepReader) -> Change:
        """The whole change. Raises ``BadInput`` if the streams do not have it."""
        tensor, exponent, count = self.tensor, self.exponent, self.sides[0]
        match self.kind:
            case 0:
                return Shift(tensor=tensor, exponent=exponent, quanta=streams.channels(count))
            case 1 | 2:
                quanta = streams.channels(count)
                return Gain(tensor=tensor, exponent=exponent, quanta=quanta, axis=0 if self.kind == _GAIN else 1)
            case 3:
                where, quanta = streams.places(count), streams.moves(count)
                return Sparse(tensor=tensor, exponent=exponent, where=where, quanta=quanta)
            case _:
                left = streams.factors(count, self.sides[1])
                right = streams.factors(self.sides[1], self.sides[2])
                return LowRank(tensor=tensor, exponent=exponent, left=left, right=right)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepHead:
    """A step without its streams: the digest of their ``size`` bytes, and of the weights that they make."""

    result: Digest
    streams: Digest
    size: int
    changes: tuple[ChangeHead, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """All that is known of an update before its first step is here."""

    base: Digest
    steps: tuple[StepHead, ...]
    canary: tuple[CanaryTruth, ...]


def head_of(change: Change) -> ChangeHead:
    """A change without its quanta."""
    kind, sides = _kind_and_sides(change)
    return ChangeHead(kind=kind, tensor=change.tensor, exponent=change.exponent, sides=sides)


def _kind_and_sides(change: Change) -> tuple[int, tuple[int, ...]]:
    match change:
        case Shift():
            return _SHIFT, change.quanta.shape
        case Gain():
            return (_GAIN_OF_INPUTS if change.axis else _GAIN), change.quanta.shape
        case Sparse():
            return _SPARSE, change.quanta.shape
        case LowRank():
            return _LOW_RANK, (*change.left.shape, change.right.shape[1])
        case _:
            assert_never(change)


def pack_head(head: Head) -> bytes:
    """The header's bytes. Raises ``BadInput`` if a box has no width or height."""
    names = sorted({change.tensor for step in head.steps for change in step.changes})
    text = [_numbers(len(names))]
    for name in names:
        encoded = name.encode()
        text.append(_numbers(len(encoded)) + encoded)
    text.append(_numbers(len(head.steps)))
    for step in head.steps:
        text.append(_numbers(step.size, len(step.changes)))
        text.extend(
            _numbers(change.kind, names.index(change.tensor), _folded(change.exponent), *change.sides)
            for change in step.changes
        )
    text.append(_packed_canaries(head.canary))
    digests = [head.base, *(digest for step in head.steps for digest in (step.result, step.streams))]
    digests += [entry.sample for entry in head.canary]
    return squeeze(b"".join(text)) + b"".join(bytes.fromhex(hexadecimal(digest)) for digest in digests)


def unpack_head(data: bytes | memoryview) -> Head:
    """Inverse of :func:`pack_head`.

    Raises:
        BadInput: it is damaged, or claims more than an update may have: tensors, steps, changes, quanta or canaries.
    """
    whole = Reader(data, _WHAT)
    reader = Reader(unsqueeze(whole, MAX_TEXT), _WHAT)
    names = [_name(reader) for _ in range(reader.number(MAX_CHANGES))]
    told = [_told(reader, names) for _ in range(reader.number(MAX_STEPS))]
    changes = [change for _, changes in told for change in changes]
    values = sum(change.extent.moves + change.extent.channels + change.extent.factors for change in changes)
    if len(changes) > MAX_CHANGES or values > MAX_VALUES:
        raise BadInput(
            f"the update holds {values} quanta in {len(changes)} changes; the limit is {MAX_VALUES} in {MAX_CHANGES}"
        )
    truths = _read_canaries(reader)
    reader.finish()
    base = _digest(whole)
    steps = tuple(
        StepHead(result=_digest(whole), streams=_digest(whole), size=size, changes=tuple(changes))
        for size, changes in told
    )
    canary = tuple(CanaryTruth(sample=_digest(whole), truth=truth) for truth in truths)
    whole.finish()
    return Head(base=base, steps=steps, canary=canary)


def _told(reader: Reader, names: Sequence[str]) -> tuple[int, list[ChangeHead]]:
    size, count = reader.number(_LARGEST), reader.number(MAX_CHANGES)
    return size, [_change(reader, names) for _ in range(count)]


def _change(reader: Reader, names: Sequence[str]) -> ChangeHead:
    kind, index, folded = reader.number(_LARGEST), reader.number(_LARGEST), reader.number(_LARGEST)
    if kind > _LOW_RANK or index >= len(names):
        raise BadInput(f"the update holds a change of kind {kind} of tensor {index}, of {len(names)}; update this side")
    sides = tuple(reader.number(MAX_VALUES) for _ in range(3 if kind == _LOW_RANK else 1))
    return ChangeHead(kind=kind, tensor=names[index], exponent=_unfolded(folded), sides=sides)


def _name(reader: Reader) -> str:
    try:
        return bytes(reader.take(reader.number(_MAX_NAME))).decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"the update names a tensor in other letters than UTF-8 ({error})") from error


def _digest(reader: Reader) -> Digest:
    return Digest(f"sha256:{reader.take(_DIGEST).hex()}")


def _packed_canaries(canary: Sequence[CanaryTruth]) -> bytes:
    """How many boxes each tile has; then of all boxes the labels, left edges, upper edges, widths and heights."""
    counts = np.array([len(entry.truth.labels) for entry in canary], np.int64)
    labels = np.concatenate([np.zeros(0, np.int64), *(entry.truth.labels for entry in canary)])
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(entry.truth.boxes for entry in canary)])
    corners = np.maximum(np.rint(boxes), 0).astype(np.int64)
    sides = corners[:, 2:] - corners[:, :2]
    if (sides < 0).any():
        raise BadInput("a canary tile has a box whose right or lower edge lies before its left or upper one")
    columns = np.concatenate([corners[:, :2], sides], axis=1).T.reshape(-1)
    return _numbers(len(canary)) + encode_numbers(np.concatenate([counts, labels, columns]))


def _read_canaries(reader: Reader) -> list[Truth]:
    counts = reader.numbers(reader.number(MAX_CANARIES))
    total = int(counts.sum())
    if total > MAX_BOXES:
        raise BadInput(f"the update's canaries hold {total} boxes; the limit is {MAX_BOXES}")
    labels, columns = reader.numbers(total), reader.numbers(4 * total).reshape(4, total).T
    boxes = np.concatenate([columns[:, :2], columns[:, :2] + columns[:, 2:]], axis=1).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum(counts)])
    return [Truth(boxes=boxes[begin:end], labels=labels[begin:end]) for begin, end in pairwise(ends)]


def _numbers(*numbers: int) -> bytes:
    return encode_numbers(np.array(numbers, np.int64))


def _folded(number: int) -> int:
    """Small numbers of either sign as small numbers: 0, -1, 1, -2 become 0, 1, 2, 3."""
    return 2 * number if number >= 0 else -2 * number - 1


def _unfolded(number: int) -> int:
    return -(number + 1) // 2 if number % 2 else number // 2
