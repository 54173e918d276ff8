"""Bundles: samples on their way down, many in one self-checking file.

Layout, integers big-endian::

    8 bytes   magic ``OLBUNDL`` and the format's version
    32 bytes  SHA-256 of all that follows, so that no flipped bit passes, wherever it hits
    rest      one zstd frame that declares its content size:
                  4 bytes  length of the header
                  header   JSON, UTF-8, see ``_Header``
                  blobs    the samples' encoded pixels, in the header's order
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import numpy as np
import zstandard
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from orbitloop.domain.detection import Detections
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, Untrusted
from orbitloop.domain.samples import Reason, Sample
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Bytes, Digest
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.messages import DigestText, Name

MAGIC = b"OLBUNDL\x01"
FRAME_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$"
"""Plain relative paths: a segment never begins with a dot, so none climbs."""

_VERSION = 1
_DIGEST_BYTES = 32
_LENGTH_BYTES = 4
_PREFIX_BYTES = len(MAGIC) + _DIGEST_BYTES
_LEVEL = 3
_OVERHEAD = Bytes(512)
"""More than container, frame and the header without its samples ever take."""
LEAST_COST = Bytes(256)
"""Fewer bytes than any sample takes in a bundle: no need to look for one that fits in less."""

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Coordinate = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
_Corner = Annotated[int, Field(ge=0, lt=2**31)]
_Side = Annotated[int, Field(ge=1, le=2**16)]
_Few = Field(max_length=5_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a receiver is willing to take.

    Args:
        packed: length of the whole bundle, bytes.
        unpacked: content of its zstd frame, bytes; what a decompression bomb would blow up.
        header: length of the JSON header, bytes.
        samples: samples in one bundle.
    """

    packed: Bytes = Bytes(64 * 2**20)
    unpacked: Bytes = Bytes(128 * 2**20)
    header: Bytes = Bytes(16 * 2**20)
    samples: int = 20_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bundle:
    """A bundle that was checked: ``samples`` and their encoded ``pixels``, in the same order."""

    satellite: str
    created: datetime
    samples: tuple[Sample, ...]
    pixels: tuple[bytes, ...]

    def __iter__(self) -> Iterator[tuple[Sample, bytes]]:
        return zip(self.samples, self.pixels, strict=True)

    def __len__(self) -> int:
        return len(self.samples)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Window(_Part):
    x0: _Corner
    y0: _Corner
    width: _Side
    height: _Side


class _Found(_Part):
    boxes: Annotated[list[tuple[_Coordinate, _Coordinate, _Coordinate, _Coordinate]], _Few]
    scores: Annotated[list[Annotated[float, Field(ge=0, le=1)]], _Few]
    labels: Annotated[list[Annotated[int, Field(ge=0, lt=2**16)]], _Few]

    @model_validator(mode="after")
    def _same_count(self) -> _Found:
        if not len(self.boxes) == len(self.scores) == len(self.labels):
            raise ValueError("boxes, scores and labels differ in number")
        return self


class _Entry(_Part):
    id: DigestText
    frame: Annotated[str, Field(pattern=FRAME_NAME, max_length=200)]
    window: _Window
    captured: AwareDatetime
    model: DigestText
    reason: Reason
    value: _Finite
    found: _Found
    codec: Literal["webp", "jpeg", "png", "avif"]
    size: Annotated[int, Field(ge=1, lt=2**31)]
    blob: DigestText


class _Header(_Part):
    version: Annotated[int, Field(ge=1)]
    satellite: Name
    created: AwareDatetime
    samples: list[_Entry]


def sample_id(satellite: str, frame: str, window: Window, pixels: bytes) -> Digest:
    """The name of a tile: ``pixels`` are the encoded ones, as they are sent."""
    return _identity(satellite, frame, window, digest_of(pixels))


def _identity(satellite: str, frame: str, window: Window, blob: Digest) -> Digest:
    parts = [satellite, frame, window.x0, window.y0, window.width, window.height, blob]
    return digest_of(_json(parts))


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def entry_of(satellite: str, sample: Sample, pixels: bytes) -> bytes:
    """The checked header entry of a sample: what a spool or a ledger keeps of it, beside its pixels.

    Raises:
        BadInput: a field is out of range, or ``sample.size`` is not the length of ``pixels``.
        Untrusted: ``sample.id`` is not the name of this tile.
    """
    entry = _entry(sample, digest_of(pixels))
    try:
        _Entry.model_validate(entry)
    except ValidationError as error:
        why = first_complaint(error)
        raise BadInput(f"sample {sample.id} of frame {sample.frame!r} cannot be sent: {why}") from None
    if sample.size != len(pixels):
        raise BadInput(f"sample {sample.id} says {sample.size} bytes of pixels, {len(pixels)} were given; encode again")
    if sample.id != _identity(satellite, sample.frame, sample.window, entry["blob"]):
        raise Untrusted(f"sample {sample.id} is not the name of its tile of {sample.frame!r}; use sample_id()")
    return _json(entry)


def sample_from(entry: bytes) -> Sample:
    """The sample that :func:`entry_of` described.

    Raises:
        BadInput: ``entry`` is damaged.
    """
    try:
        return _sample(_Entry.model_validate_json(entry))
    except ValidationError as error:
        raise BadInput(f"stored description of a sample is damaged: {first_complaint(error)}") from None


def blob_of(entry: bytes) -> Digest:
    """The digest of the pixels that belong to what :func:`entry_of` described."""
    return _Entry.model_validate_json(entry).blob


def cost(entry: bytes, size: int) -> Bytes:
    """The most bytes that a sample with ``size`` bytes of pixels adds to a bundle."""
    return Bytes(len(entry) + 1 + size)


def rank(name: Digest, value: float, price: Bytes) -> tuple[float, Digest]:
    """Sorting key: most value per byte first, ties by name, so that the order is the same everywhere."""
    return -value / price, name


def fill(ranked: Iterable[tuple[Digest, Bytes]], budget: Bytes, limits: Limits) -> list[Digest]:
    """Which samples to send in one bundle of at most ``budget`` bytes.

    Args:
        ranked: samples with their :func:`cost`, most value per byte first.

    Returns:
        Greedily those that still fit; their bundle, once packed, never exceeds the budget or the limits.
    """
    most = min(budget, limits.packed, limits.unpacked) - _OVERHEAD
    room = most * 256 // 257  # zstd's own bound: what does not compress grows by at most 1/256
    chosen: list[Digest] = []
    for name, price in ranked:
        if room < LEAST_COST or len(chosen) == limits.samples:
            break
        if price <= room:
            chosen.append(name)
            room -= price
    return chosen


def pack(satellite: str, created: datetime, samples: Sequence[tuple[Sample, bytes]]) -> bytes:
    """One bundle of ``samples`` and their encoded pixels; the same input gives the same bytes.

    Raises:
        BadInput: a sample that no receiver would take, or one that comes twice.
        Untrusted: a sample's id is not the name of its tile.
    """
    names = [sample.id for sample, _ in samples]
    if len(set(names)) != len(names):
        raise BadInput(f"a sample comes twice in a bundle of {satellite}; send each once")
    entries = b",".join(entry_of(satellite, sample, pixels) for sample, pixels in samples)
    head = {"created": _stamp(created), "satellite": satellite, "version": _VERSION}
    header = _json(head)[:-1] + b',"samples":[' + entries + b"]}"
    content = b"".join([len(header).to_bytes(_LENGTH_BYTES, "big"), header, *(pixels for _, pixels in samples)])
    frame = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(content)
    return MAGIC + _sha256(frame) + frame


def unpack(data: bytes, limits: Limits | None = None) -> Bundle:
    """The samples of a bundle, every one checked; never trusts what the bundle says about itself.

    Raises:
        BadInput: not a bundle, cut short, too large, or a field that is out of range.
        Untrusted: a digest or a sample's id does not match the bytes.
    """
    allowed = limits or Limits()
    content = _content(data, allowed)
    length = int.from_bytes(content[:_LENGTH_BYTES], "big")
    if length > min(allowed.header, len(content) - _LENGTH_BYTES):
        raise BadInput(f"bundle: header of {length} bytes exceeds the bundle or the limit of {allowed.header}")
    end = _LENGTH_BYTES + length
    header = _header(bytes(content[_LENGTH_BYTES:end]), allowed)
    if (total := sum(entry.size for entry in header.samples)) != len(content) - end:
        raise BadInput(f"bundle of {header.satellite}: {len(content) - end} bytes of pixels, its header says {total}")
    samples: list[Sample] = []
    pixels: list[bytes] = []
    for entry in header.samples:
        pixels.append(_blob(header.satellite, entry, content[end : end + entry.size]))
        samples.append(_sample(entry))
        end += entry.size
    return Bundle(
        satellite=header.satellite,
        created=header.created.astimezone(UTC),
        samples=tuple(samples),
        pixels=tuple(pixels),
    )


def _content(data: bytes, allowed: Limits) -> memoryview:
    if len(data) > allowed.packed:
        raise BadInput(f"bundle of {len(data)} bytes exceeds the limit of {allowed.packed}; send smaller ones")
    if data[: len(MAGIC)] != MAGIC:
        raise BadInput(f"not a bundle of format {_VERSION}: begins with {data[: len(MAGIC)]!r}")
    frame = data[_PREFIX_BYTES:]
    if _sha256(frame) != data[len(MAGIC) : _PREFIX_BYTES]:
        raise Untrusted("bundle: its bytes do not match its own digest; it was cut or altered, send it again")
    try:
        declared = zstandard.get_frame_parameters(frame).content_size
        if declared > allowed.unpacked:  # an undeclared size reads as 2**64 - 1
            raise BadInput(f"bundle unpacks to {declared} bytes, the limit is {allowed.unpacked}; send smaller ones")
        # The output buffer has exactly the declared size: a frame that holds more fails instead of growing.
        content = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BadInput(f"bundle: damaged zstd frame ({error})") from None
    if len(content) < _LENGTH_BYTES:
        raise BadInput(f"bundle: only {len(content)} bytes of content, no header")
    return memoryview(content)


def _header(text: bytes, allowed: Limits) -> _Header:
    try:
        header = _Header.model_validate_json(text)
    except ValidationError as error:
        raise BadInput(f"bundle header: {first_complaint(error)}") from None
    if header.version != _VERSION:
        raise BadInput(f"bundle header of version {header.version}; this side reads version {_VERSION}, upgrade it")
    if len(header.samples) > allowed.samples:
        raise BadInput(f"bundle of {header.satellite}: {len(header.samples)} samples, the limit is {allowed.samples}")
    if len({entry.id for entry in header.samples}) != len(header.samples):
        raise BadInput(f"bundle of {header.satellite}: a sample comes twice")
    return header


def _blob(satellite: str, entry: _Entry, part: memoryview) -> bytes:
    pixels = bytes(part)
    if digest_of(pixels) != entry.blob:
        raise Untrusted(f"sample {entry.id} of {satellite}: pixels do not match their digest {entry.blob}")
    if _identity(satellite, entry.frame, _window(entry), entry.blob) != entry.id:
        raise Untrusted(f"sample {entry.id} of {satellite}: id is not the name of this tile of {entry.frame!r}")
    return pixels


def _entry(sample: Sample, blob: Digest) -> dict[str, Any]:
    window, found = sample.window, sample.found
    return {
        "id": sample.id,
        "frame": sample.frame,
        "window": {name: int(getattr(window, name)) for name in ("x0", "y0", "width", "height")},
        "captured": _stamp(sample.captured),
        "model": sample.model,
        "reason": str(sample.reason),
        "value": float(sample.value),
        "found": {
            "boxes": [[_short(corner) for corner in box] for box in found.boxes.tolist()],
            "scores": [_short(score) for score in found.scores.tolist()],
            "labels": found.labels.tolist(),
        },
        "codec": sample.codec,
        "size": sample.size,
        "blob": blob,
    }


def _sample(entry: _Entry) -> Sample:
    found = entry.found
    return Sample(
        id=entry.id,
        frame=entry.frame,
        window=_window(entry),
        captured=entry.captured.astimezone(UTC),
        model=entry.model,
        reason=entry.reason,
        value=entry.value,
        found=Detections(
            boxes=np.array(found.boxes, np.float32).reshape(-1, 4),
            scores=np.array(found.scores, np.float32),
            labels=np.array(found.labels, np.int64),
        ),
        codec=entry.codec,
        size=entry.size,
    )


def _window(entry: _Entry) -> Window:
    window = entry.window
    return Window(x0=window.x0, y0=window.y0, width=window.width, height=window.height)


def _stamp(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise BadInput(f"time {moment} has no zone; use UTC")
    return moment.astimezone(UTC).isoformat()


def _short(value: float) -> float:
    """Nine digits: the fewest that give every float32 back."""
    return float(f"{value:.9g}")


def _sha256(data: bytes) -> bytes:
    return bytes.fromhex(hexadecimal(digest_of(data)))
