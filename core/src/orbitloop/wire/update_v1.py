"""The first format of an update, which satellites still read: one step, one zstd frame, a header in JSON.

    magic     4 bytes   ``OLU1``
    length    4 bytes   of the body, unsigned, little-endian
    body      zstd frame: header length (4 bytes, unsigned, little-endian), header (JSON), streams
    signature 64 bytes  Ed25519 (RFC 8032) over everything before it

The streams hold, for each change in turn, its positions (sparse only, as gaps in LEB128) and then its quanta (int8).
"""

from __future__ import annotations

import struct
from typing import Annotated, Literal

import numpy as np
import zstandard
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orbitloop.domain.delta import Change, Gain, Shift, Sparse
from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.wire.leb128 import Reader
from orbitloop.wire.messages import DigestText
from orbitloop.wire.update_head import CanaryTruth
from orbitloop.wire.update_streams import decode_gaps

MAGIC = b"OLU1"
SIGNATURE = 64
MAX_BODY = 64 * 1024 * 1024
"""Largest decompressed body: twice the model that an update changes."""


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


class Header(_Wire):
    """What the body begins with."""

    version: Literal[1] = 1
    base: DigestText
    result: DigestText
    changes: list[_ChangeText] = Field(max_length=10_000)
    canary: list[_CanaryText] = Field(default=[], max_length=1_000)

    @property
    def truths(self) -> tuple[CanaryTruth, ...]:
        """The canaries. Raises ``BadInput`` if one has more labels than boxes, or fewer."""
        return tuple(_canary(entry) for entry in self.canary)


def unpack_body(squeezed: bytes) -> tuple[Header, tuple[Change, ...]]:
    """What lies between length and signature.

    Raises:
        BadInput: it is damaged, or would unpack to more than ``MAX_BODY`` bytes.
    """
    body = _decompressed(squeezed)
    length = struct.unpack_from("<I", body)[0]
    if length > len(body) - 4:
        raise BadInput(f"the update's header claims {length} bytes of {len(body)}")
    try:
        header = Header.model_validate_json(body[4 : 4 + length])
    except ValidationError as error:
        raise BadInput(f"the update's header is malformed: {error}") from error
    streams = Reader(memoryview(body)[4 + length :], "the update")
    changes = tuple(_parsed(text, streams) for text in header.changes)
    streams.finish()
    return header, changes


def _decompressed(squeezed: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(squeezed)
        if not 4 <= size <= MAX_BODY:
            raise BadInput(f"the update would unpack to {size} bytes; the limit is {MAX_BODY}")
        return zstandard.ZstdDecompressor().decompress(squeezed, max_output_size=MAX_BODY)
    except zstandard.ZstdError as error:
        raise BadInput(f"the update's body is not zstd ({error})") from error


def _canary(entry: _CanaryText) -> CanaryTruth:
    if len(entry.boxes) != len(entry.labels):
        raise BadInput(f"canary {entry.sample}: {len(entry.boxes)} boxes, {len(entry.labels)} labels")
    boxes = np.array(entry.boxes, np.float32).reshape(-1, 4)
    return CanaryTruth(sample=Digest(entry.sample), truth=Truth(boxes=boxes, labels=np.array(entry.labels, np.int64)))


def _parsed(text: _ChangeText, streams: Reader) -> Change:
    where = decode_gaps(streams.take(text.gaps)) if text.kind == "sparse" else None
    quanta = np.frombuffer(streams.take(text.count), np.int8)
    if where is not None:
        return Sparse(tensor=text.tensor, exponent=text.exponent, where=where, quanta=quanta)
    if text.kind == "shift":
        return Shift(tensor=text.tensor, exponent=text.exponent, quanta=quanta)
    return Gain(tensor=text.tensor, exponent=text.exponent, quanta=quanta)
