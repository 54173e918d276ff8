"""A selection logic on its way up, with the engine and the networks that it runs: one signed file.

Layout::

    magic     4 bytes   ``OLS1``
    length    4 bytes   of the header, unsigned, big-endian
    header    JSON, ASCII, keys sorted, no spaces, see ``_Header``
    signature 64 bytes  Ed25519 (RFC 8032) over everything before it
    parts     the ONNX files, in the header's order, whose digests the header holds

The same logic makes the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orbitloop.domain.density import Downlink
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, Untrusted
from orbitloop.domain.resampling import INPUT
from orbitloop.domain.selection import REFERENCE, UNKNOWN, Action, Discard, Grade, Raw, Run, SelectionLogic
from orbitloop.domain.units import Digest
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.messages import DigestText
from orbitloop.wire.update import Sign, Verify

MAGIC = b"OLS1"
SIGNATURE = 64
ENGINE = "engine"
"""The part that is the context engine."""
MAX_HEADER = 1024 * 1024
MAX_PART = 256 * 1024 * 1024
MAX_SIDE = 10_000
"""Of a frame at any resolution, pixels: larger ones are not decoded on board."""
_LENGTH = 4

_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Few = Field(max_length=1_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceView:
    """How a detector is the reference.

    Args:
        side: of frames as it sees them, pixels.
        margin: pixels around a box that are of value too.
        around: pixels around a tile that are looked at with it, so that what lies across its edge is seen.
    """

    side: int
    margin: float
    around: int

    def share(self, tiles: int, count: float) -> float:
        """How much of looking at a whole frame it takes to look at ``count`` of ``tiles ** 2`` tiles; at most 1.

        They are looked at in one picture beside each other, each with what is around it.
        """
        side = self.side / tiles
        return min(1.0, count * ((side + 2 * self.around) / self.side) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SelectionPackage:
    """What flies.

    Args:
        version: of the artefact, counted up by whoever makes it.
        application: whose it is.
        target: name of the computer that it was made for.
        side: of a frame, pixels.
        highest: a cell is as sure as its surest part, not as its parts on average.
        reference: how the model in the satellite's slots is asked, where it is the reference; ``None`` where a part is.
        prevalence: share of the cells that are of high value: what a raw frame is worth.
        link: the capacity and the deadline that it was made for.
        contexts: names, in the order of the engine's outputs.
        reach: distance beyond which a tile is unlike all contexts.
        logic: what is done.
        parts: ONNX bytes by name: :data:`ENGINE`, and each network that the logic runs.
    """

    version: int
    application: str
    target: str
    side: int
    highest: bool
    prevalence: float
    link: Downlink
    contexts: tuple[str, ...]
    reach: float
    logic: SelectionLogic
    parts: Mapping[str, bytes]
    reference: ReferenceView | None = None

    def __post_init__(self) -> None:
        if ENGINE not in self.parts:
            raise BadInput("a selection logic flies with its context engine; it is missing")
        if set(self.contexts) != set(self.logic.table) - {UNKNOWN} or len(set(self.contexts)) != len(self.contexts):
            raise BadInput("the engine's contexts and those of the selection logic are not the same")
        view = self.reference
        if self.side % self.logic.cells or (view is not None and view.side % self.logic.tiles):
            raise BadInput(f"frames of {self.side} pixels cannot be dealt out to the logic's cells and tiles")
        for shown in (self.logic.tiles * INPUT, *([] if view is None else [view.side])):
            if max(self.side, shown) > MAX_SIDE or (self.side % shown and shown % self.side):
                raise BadInput(f"frames of {self.side} pixels a side cannot be shown as {shown}; transform again")
        served = {*self.parts, *([REFERENCE] if self.reference is not None else [])}
        missing = [name for name in self.logic.models if name not in served]
        if missing:
            raise BadInput(f"the selection logic runs {missing[0]!r}, which does not come with it")


class _Text(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Part(_Text):
    name: str
    size: int = Field(ge=1, le=MAX_PART)
    digest: DigestText


class _Row(_Text):
    context: str
    action: Literal["run", "raw", "discard"]
    model: str | None = None
    grades: Annotated[tuple[tuple[_Share, _Share], ...], _Few] = ()


class _Header(_Text):
    version: int = Field(ge=1)
    application: str
    target: str
    side: int = Field(ge=1, le=2**16)
    highest: bool
    prevalence: _Share
    reference_side: Annotated[int, Field(ge=1, le=2**16)] | None = None
    reference_margin: Annotated[float, Field(ge=0, le=2**16, allow_inf_nan=False)] = 0.0
    reference_around: Annotated[int, Field(ge=0, le=2**16)] = 0
    capacity: _Positive
    deadline: _Positive
    tiles: int = Field(ge=1, le=1_000)
    cells: int = Field(ge=1, le=10_000)
    contexts: Annotated[tuple[str, ...], _Few]
    reach: _Positive
    table: Annotated[tuple[_Row, ...], _Few]
    parts: Annotated[tuple[_Part, ...], _Few]


def pack_selection(package: SelectionPackage, sign: Sign) -> bytes:
    """The package as signed bytes."""
    names = sorted(package.parts)
    header = _Header(
        version=package.version,
        application=package.application,
        target=package.target,
        side=package.side,
        highest=package.highest,
        prevalence=package.prevalence,
        reference_side=None if package.reference is None else package.reference.side,
        reference_margin=0.0 if package.reference is None else package.reference.margin,
        reference_around=0 if package.reference is None else package.reference.around,
        capacity=package.link.capacity,
        deadline=package.link.deadline,
        tiles=package.logic.tiles,
        cells=package.logic.cells,
        contexts=package.contexts,
        reach=package.reach,
        table=tuple(_row(context, package.logic) for context in package.logic.table),
        parts=tuple(_part(name, package.parts[name]) for name in names),
    )
    text = json.dumps(header.model_dump(mode="json", exclude_none=True), sort_keys=True, separators=(",", ":")).encode()
    message = MAGIC + len(text).to_bytes(_LENGTH, "big") + text
    return message + sign(message) + b"".join(package.parts[name] for name in names)


def unpack_selection(data: bytes, verify: Verify) -> SelectionPackage:
    """Inverse of :func:`pack_selection`.

    Raises:
        Untrusted: the signature is not the ground's, or a part is not what it vouches for.
        BadInput: it is no such file, it was cut, or its header says what cannot be followed.
    """
    begin = len(MAGIC) + _LENGTH
    if not data.startswith(MAGIC) or len(data) < begin:
        raise BadInput("this is no selection logic (it does not begin with OLS1); give the file that transform wrote")
    length = int.from_bytes(data[len(MAGIC) : begin], "big")
    front = begin + length
    if length > MAX_HEADER or len(data) < front + SIGNATURE:
        raise BadInput("the selection logic is cut off, or its header is too long; fetch it again")
    verify(data[front : front + SIGNATURE], data[:front])
    header = _read_header(data[begin:front])
    parts, at = {}, front + SIGNATURE
    for part in header.parts:
        parts[part.name] = data[at : at + part.size]
        at += part.size
        if digest_of(parts[part.name]) != part.digest:
            raise Untrusted(f"part {part.name!r} of the selection logic is not what its signature vouches for")
    if at != len(data):
        raise BadInput(f"{len(data) - at} bytes follow the selection logic; fetch it again")
    return _package(header, parts)


def _read_header(text: bytes) -> _Header:
    try:
        return _Header.model_validate_json(text)
    except ValidationError as error:
        raise BadInput(f"the selection logic's header: {first_complaint(error)}; transform again") from error


def _package(header: _Header, parts: Mapping[str, bytes]) -> SelectionPackage:
    return SelectionPackage(
        version=header.version,
        application=header.application,
        target=header.target,
        side=header.side,
        highest=header.highest,
        prevalence=header.prevalence,
        reference=_reference(header),
        link=Downlink(capacity=header.capacity, deadline=header.deadline),
        contexts=header.contexts,
        reach=header.reach,
        logic=SelectionLogic(
            tiles=header.tiles,
            cells=header.cells,
            table={row.context: _action(row) for row in header.table},
            grades={row.context: _grades(row) for row in header.table},
        ),
        parts=parts,
    )


def _reference(header: _Header) -> ReferenceView | None:
    if header.reference_side is None:
        return None
    return ReferenceView(side=header.reference_side, margin=header.reference_margin, around=header.reference_around)


def _row(context: str, logic: SelectionLogic) -> _Row:
    grades = tuple((grade.threshold, grade.worth) for grade in logic.grades[context])
    match logic.table[context]:
        case Run(model=model):
            return _Row(context=context, action="run", model=model, grades=grades)
        case Raw():
            return _Row(context=context, action="raw", grades=grades)
        case _:
            return _Row(context=context, action="discard")


def _grades(row: _Row) -> tuple[Grade, ...]:
    return tuple(Grade(threshold=threshold, worth=worth) for threshold, worth in row.grades)


def _action(row: _Row) -> Action:
    match row.action:
        case "raw":
            return Raw()
        case "discard":
            return Discard()
        case _:
            if row.model is None or not row.grades:
                raise BadInput(f"context {row.context!r} runs no model, or at no threshold; transform again")
            return Run(model=row.model, threshold=row.grades[0][0])


def _part(name: str, data: bytes) -> _Part:
    return _Part(name=name, size=len(data), digest=Digest(digest_of(data)))
