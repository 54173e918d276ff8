"""What is asked and answered in a session of datagrams: the messages of any session, and where objects stand.

Zstandard-compressed JSON, bounded in size on both sides of the compression.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

import zstandard
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orbitloop.domain.errors import BadInput, NoSpace, NotYet, OrbitloopError, Refused, Untrusted
from orbitloop.domain.ranges import Span, Spans
from orbitloop.wire.datagrams import LARGEST_MESSAGE
from orbitloop.wire.messages import DigestText

MOST_SPANS = 1_000
_LARGEST_OBJECT = 2**32 - 1
_LONGEST_DETAIL = 2_000

Read = TypeVar("Read", bound=BaseModel)


class Purpose(StrEnum):
    """What is asked."""

    HELLO = "hello"
    REPORT = "report"
    TELEMETRY = "telemetry"
    EVENTS = "events"
    GOODBYE = "goodbye"
    BEGIN = "begin"
    RECEIPT = "receipt"
    FETCH = "fetch"


class Verdict(StrEnum):
    """How it was answered: done, or one of the error tree."""

    DONE = "done"
    BAD_INPUT = "bad-input"
    UNTRUSTED = "untrusted"
    NOT_YET = "not-yet"
    NO_SPACE = "no-space"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Question(_Part):
    """What the satellite asks; ``body`` is the JSON of the message that belongs to its purpose."""

    purpose: Purpose
    body: str = ""


class Reply(_Part):
    """What the ground answers."""

    verdict: Verdict = Verdict.DONE
    detail: str = Field(default="", max_length=_LONGEST_DETAIL)
    body: str = ""


class Announcement(_Part):
    """A bundle that will come as object ``number``."""

    number: int = Field(ge=0, le=255)
    bundle: DigestText
    size: int = Field(ge=0, le=_LARGEST_OBJECT)


class Request(_Part):
    """An artifact that is to come as object ``number``, as far as it is missing."""

    number: int = Field(ge=0, le=255)
    artifact: DigestText
    size: int = Field(ge=0, le=_LARGEST_OBJECT)
    missing: tuple[tuple[int, int], ...] = Field(max_length=MOST_SPANS)


class Standing(_Part):
    """Which bytes of an announced bundle are not here."""

    missing: tuple[tuple[int, int], ...] = Field(max_length=MOST_SPANS)


class About(_Part):
    """A bundle that is asked about."""

    bundle: DigestText


def bounded(spans: Spans, size: int) -> tuple[tuple[int, int], ...]:
    """At most ``MOST_SPANS`` pairs; the last stands for everything behind it where there are more."""
    pairs = [(span.start, span.end) for span in spans]
    if len(pairs) > MOST_SPANS:
        pairs[MOST_SPANS - 1 :] = [(pairs[MOST_SPANS - 1][0], size)]
    return tuple(pairs)


def spans_of(pairs: tuple[tuple[int, int], ...], size: int) -> Spans:
    """The spans that a peer named. Raises ``BadInput`` where one is empty or ends behind ``size``."""
    spans = Spans.of(Span(start, end) for start, end in pairs)
    if spans and spans.spans[-1].end > size:
        raise BadInput(f"bytes up to {spans.spans[-1].end} of something that has {size}")
    return spans


def packed(message: BaseModel) -> bytes:
    """A question or a reply, as it is sent."""
    return zstandard.ZstdCompressor(level=9).compress(message.model_dump_json(exclude_defaults=True).encode())


def unpacked(data: bytes, kind: type[Read]) -> Read:
    """What was sent. Raises ``BadInput``."""
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= LARGEST_MESSAGE:
            raise BadInput(f"a message that unpacks to {size} bytes; the most is {LARGEST_MESSAGE}")
        text = zstandard.ZstdDecompressor().decompress(data, max_output_size=LARGEST_MESSAGE)
    except zstandard.ZstdError as error:
        raise BadInput(f"a message that cannot be unpacked ({error})") from None
    return read(text, kind)


def read(text: str | bytes, kind: type[Read]) -> Read:
    """A message from its JSON. Raises ``BadInput``."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise BadInput(f"{kind.__name__}: {where}: {first['msg']}") from None


def failed(error: OrbitloopError) -> Reply:
    """How an error of the tree is answered."""
    match error:
        case NoSpace():
            verdict = Verdict.NO_SPACE
        case NotYet():
            verdict = Verdict.NOT_YET
        case Untrusted():
            verdict = Verdict.UNTRUSTED
        case Refused() | _:
            verdict = Verdict.BAD_INPUT
    return Reply(verdict=verdict, detail=str(error)[:_LONGEST_DETAIL])


def raised(reply: Reply) -> str:
    """The body of a reply that says "done"; any other is raised as the error that it stands for."""
    match reply.verdict:
        case Verdict.DONE:
            return reply.body
        case Verdict.BAD_INPUT:
            raise BadInput(f"ground: {reply.detail}")
        case Verdict.UNTRUSTED:
            raise Untrusted(f"ground: {reply.detail}")
        case Verdict.NOT_YET:
            raise NotYet(f"ground: {reply.detail}")
        case Verdict.NO_SPACE:
            raise NoSpace(f"ground: {reply.detail}")
