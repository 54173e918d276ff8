"""A signed partial update on its way up, byte by byte.

    magic     4 bytes   ``OLU1``
    length    4 bytes   of the body, unsigned, little-endian
    body      zstd frame: header length (4 bytes, unsigned, little-endian), header (JSON), streams
    signature 64 bytes  Ed25519 (RFC 8032) over everything before it

The header lists the changes; the streams hold, for each change in turn, its positions (sparse only, as gaps in
LEB128) and then its quanta (int8). The signature is checked before anything is decompressed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import zstandard
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orbitloop.domain.delta import Change, Gain, LowRank, Quanta, Shift, Sparse
from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.wire.messages import DigestText

MAGIC = b"OLU1"
SIGNATURE = 64
MAX_BODY = 64 * 1024 * 1024
"""Largest decompressed body: twice the model that an update changes."""

Sign = Callable[[bytes], bytes]
"""From a message to its 64-byte signature."""
Verify = Callable[[bytes, bytes], None]
"""From signature and message to nothing; raises ``Untrusted``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CanaryTruth:
    """What the ground knows of a tile that the satellite kept: its sample id and its objects, in pixels."""

    sample: Digest
    truth: Truth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """Changes that together make a model of the one before: the weights whose digest is ``result``."""

    changes: tuple[Change, ...]
    result: Digest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Update:
    """A partial update: from which model, by which steps, to be proved on which tiles.

    Every step is carried out on the result of the one before, so that any number of first steps is an update too.
    """

    base: Digest
    steps: tuple[Step, ...]
    canary: tuple[CanaryTruth, ...] = ()

    @property
    def result(self) -> Digest:
        """The weights that all of it makes; those that fly already if it has no steps."""
        return self.steps[-1].result if self.steps else self.base

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes of all steps, in their order."""
        return tuple(change for step in self.steps for change in step.changes)


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _ChangeText(_Wire):
    kind: Literal["shift", "gain", "sparse"]
    tensor: str = Field(max_length=200)
    exponent: int
    count: int = Field(ge=0, le=MAX_BODY)
    gaps: int = Field(default=0, ge=0, le=MAX_BODY)


class _CanaryText(_Wire):
    sample: DigestText
    boxes: list[tuple[float, float, float, float]] = Field(max_length=10_000)
    labels: list[Annotated[int, Field(ge=0)]] = Field(max_length=10_000)


class _Header(_Wire):
    version: Literal[1] = 1
    base: DigestText
    result: DigestText
    changes: list[_ChangeText] = Field(max_length=10_000)
    canary: list[_CanaryText] = Field(default=[], max_length=1_000)


def pack_update(update: Update, sign: Sign) -> bytes:
    """The update as signed bytes; the same update gives the same bytes."""
    texts, streams = [], []
    for change in update.changes:
        text, parts = _written(change)
        texts.append(text)
        streams.extend(parts)
    canary = [
        _CanaryText(sample=entry.sample, boxes=entry.truth.boxes.round(1).tolist(), labels=entry.truth.labels.tolist())
        for entry in update.canary
    ]
    header = _Header(base=update.base, result=update.result, changes=texts, canary=canary)
    encoded = header.model_dump_json(exclude_defaults=True).encode()
    body = struct.pack("<I", len(encoded)) + encoded + b"".join(streams)
    squeezed = zstandard.ZstdCompressor(level=19).compress(body)
    message = MAGIC + struct.pack("<I", len(squeezed)) + squeezed
    return message + sign(message)


def unpack_update(data: bytes, verify: Verify) -> Update:
    """Check and read an update.

    Raises:
        Untrusted: the signature is not the ground's.
        BadInput: it is no update, or is damaged, or would unpack to more than ``MAX_BODY`` bytes.
    """
    if len(data) < len(MAGIC) + 4 + SIGNATURE or data[:4] != MAGIC:
        raise BadInput(f"{len(data)} bytes that do not begin with {MAGIC.decode()}: not an orbitloop update")
    message, signature = data[:-SIGNATURE], data[-SIGNATURE:]
    if struct.unpack_from("<I", data, 4)[0] != len(message) - 8:
        raise BadInput(f"the update is {len(data)} bytes long, but says otherwise: truncated, or joined with another")
    verify(signature, message)
    return _read(_decompressed(message[8:]))


def _decompressed(squeezed: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(squeezed)
        if not 4 <= size <= MAX_BODY:
            raise BadInput(f"the update would unpack to {size} bytes; the limit is {MAX_BODY}")
        return zstandard.ZstdDecompressor().decompress(squeezed, max_output_size=MAX_BODY)
    except zstandard.ZstdError as error:
        raise BadInput(f"the update's body is not zstd ({error})") from error


def _read(body: bytes) -> Update:
    length = struct.unpack_from("<I", body)[0]
    if length > len(body) - 4:
        raise BadInput(f"the update's header claims {length} bytes of {len(body)}")
    try:
        header = _Header.model_validate_json(body[4 : 4 + length])
    except ValidationError as error:
        raise BadInput(f"the update's header is malformed: {error}") from error
    streams = _Streams(body[4 + length :])
    changes = tuple(_parsed(text, streams) for text in header.changes)
    streams.finish()
    return Update(
        base=header.base,
        steps=(Step(changes=changes, result=header.result),),
        canary=tuple(_canary(entry) for entry in header.canary),
    )


def _canary(entry: _CanaryText) -> CanaryTruth:
    if len(entry.boxes) != len(entry.labels):
        raise BadInput(f"canary {entry.sample}: {len(entry.boxes)} boxes, {len(entry.labels)} labels")
    boxes = np.array(entry.boxes, np.float32).reshape(-1, 4)
    return CanaryTruth(sample=entry.sample, truth=Truth(boxes=boxes, labels=np.array(entry.labels, np.int64)))


class _Streams:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> Quanta:
        part = self._data[self._at : self._at + count]
        if len(part) != count:
            raise BadInput(f"the update ends {count - len(part)} bytes before its last change")
        self._at += count
        return np.frombuffer(part, np.int8)

    def finish(self) -> None:
        if self._at != len(self._data):
            raise BadInput(f"the update has {len(self._data) - self._at} bytes after its last change")


def _written(change: Change) -> tuple[_ChangeText, list[bytes]]:
    match change:
        case Shift() | Gain():
            kind: Literal["shift", "gain"] = "shift" if isinstance(change, Shift) else "gain"
            text = _ChangeText(kind=kind, tensor=change.tensor, exponent=change.exponent, count=change.quanta.size)
            return text, [change.quanta.tobytes()]
        case Sparse():
            gaps = encode_gaps(change.where)
            text = _ChangeText(
                kind="sparse",
                tensor=change.tensor,
                exponent=change.exponent,
                count=change.quanta.size,
                gaps=len(gaps),
            )
            return text, [gaps, change.quanta.tobytes()]
        case LowRank():
            raise BadInput(f"{change.tensor}: this format has no factors of low rank")


def _parsed(text: _ChangeText, streams: _Streams) -> Change:
    match text.kind:
        case "shift":
            return Shift(tensor=text.tensor, exponent=text.exponent, quanta=streams.take(text.count))
        case "gain":
            return Gain(tensor=text.tensor, exponent=text.exponent, quanta=streams.take(text.count))
        case "sparse":
            where = decode_gaps(streams.take(text.gaps).tobytes())
            return Sparse(tensor=text.tensor, exponent=text.exponent, where=where, quanta=streams.take(text.count))


def encode_gaps(where: NDArray[np.uint32]) -> bytes:
    """Increasing positions as LEB128 of their gaps (the first position, then each difference minus one)."""
    if not len(where):
        return b""
    wide = where.astype(np.int64)
    gaps = np.concatenate([wide[:1], np.diff(wide) - 1])
    lengths = np.ones(len(gaps), np.int64)
    for bits in (7, 14, 21, 28):
        lengths += gaps >> bits > 0
    ends = np.cumsum(lengths)
    out = np.zeros(int(ends[-1]), np.uint8)
    for place in range(5):
        has = lengths > place
        more = (lengths[has] > place + 1).astype(np.int64) << 7
        out[ends[has] - lengths[has] + place] = gaps[has] >> (7 * place) & 127 | more
    return out.tobytes()


def decode_gaps(data: bytes) -> NDArray[np.uint32]:
    """Inverse of :func:`encode_gaps`; raises ``BadInput`` on a number that is cut off or does not fit 32 bits."""
    raw = np.frombuffer(data, np.uint8)
    if not len(raw):
        return np.zeros(0, np.uint32)
    ends = np.flatnonzero(raw < 128)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise BadInput("the update's positions are cut off in the middle of a number")
    begins = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - begins + 1
    if lengths.max() > 5:
        raise BadInput("the update holds a position of more than 32 bits")
    gaps = np.zeros(len(ends), np.int64)
    for place in range(int(lengths.max())):
        has = lengths > place
        gaps[has] |= (raw[begins[has] + place].astype(np.int64) & 127) << (7 * place)
    where = np.cumsum(gaps + 1) - 1
    if where[-1] >= 2**32:
        raise BadInput("the update holds a position of more than 32 bits")
    return where.astype(np.uint32)
