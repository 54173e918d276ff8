"""The datagrams of the second convergence layer, byte for byte. Whatever arrives, a parser gives a value or refuses.

Big-endian throughout. The first byte of each is ``version << 4 | kind``. Specification: docs/reference/datagrams.md.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from orbitloop.domain.errors import BadInput
from orbitloop.domain.ranges import Span, Spans

VERSION = 1
NONCE = 16
MAC = 16
TAG = 16
"""Bytes that sealing adds."""
HEADER = struct.Struct(">BHI")
"""Of a sealed datagram: version and kind, session, the low half of its sequence number."""
DATA = struct.Struct(">BI")
"""In front of a symbol: object, offset of its first byte."""
REPAIR = struct.Struct(">BHH")
"""In front of a repair symbol: object, block, its number among the block's encoding symbols."""
OVERHEAD = HEADER.size + DATA.size + TAG
IP_UDP = 28
"""Bytes of the IPv4 and UDP headers."""
SMALLEST, LARGEST = 200, 8_972
"""Bytes of the smallest and largest UDP payload that may be agreed on."""
MOST_FRAGMENTS = 128
LARGEST_MESSAGE = 64 * 2**10

_OPEN = struct.Struct(">B16sBHB")
_ACCEPT = struct.Struct(">BH16sBH")
_REPORT = struct.Struct(">BBIIB")
_GAP = struct.Struct(">II")
_FRAGMENT = struct.Struct(">IBB")
_LONGEST_NAME = 128


class Kind(IntEnum):
    """What a datagram is; others are for later versions and are passed over."""

    OPEN = 1
    ACCEPT = 2
    RESET = 3
    DATA = 8
    REPAIR = 9
    REPORT = 10
    ASK = 11
    ANSWER = 12
    PROBE = 13
    ECHO = 14


class Options(IntFlag):
    """What a satellite can do, and what of it the ground chose."""

    RAPTORQ = 1
    AES_GCM = 2


def lead(kind: Kind) -> int:
    """The first byte of a datagram."""
    return VERSION << 4 | kind


def symbol_size(datagram: int) -> int:
    """Bytes of a symbol in UDP payloads of ``datagram`` bytes: a multiple of 8, as the codec aligns them."""
    return (datagram - OVERHEAD) // 8 * 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A satellite asks for a session; as long as its answer, so that nobody is flooded with answers.

    Args:
        options: what it can do.
        datagram: bytes of the largest UDP payload that it sends and takes.
    """

    satellite: str
    nonce: bytes
    options: Options
    datagram: int

    def signed(self) -> bytes:
        """All of it but the authentication code."""
        name = self.satellite.encode()
        return _OPEN.pack(lead(Kind.OPEN), self.nonce, self.options, self.datagram, len(name)) + name


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """The ground opens a session, with what it chose."""

    session: int
    nonce: bytes
    options: Options
    datagram: int

    def signed(self) -> bytes:
        """All of it but the authentication code."""
        return _ACCEPT.pack(lead(Kind.ACCEPT), self.session, self.nonce, self.options, self.datagram)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a receiver lacks of an object. Cumulative: one replaces all before it.

    Args:
        stopped: it takes no more of this object.
        highest: low 32 bits of the highest sequence number that it has seen.
        upto: ``gaps`` names every gap before this byte, and says nothing about those behind it.
    """

    object: int
    stopped: bool
    highest: int
    upto: int
    gaps: Spans


def kind_of(datagram: bytes | memoryview) -> Kind | None:
    """Its kind; ``None`` if it is of another version or a kind that is not known here. Raises ``BadInput`` if empty."""
    if not len(datagram):
        raise BadInput("an empty datagram; it was dropped")
    version, kind = datagram[0] >> 4, datagram[0] & 15
    return Kind(kind) if version == VERSION and kind in _KINDS else None


_KINDS = frozenset(Kind)


def parse_open(datagram: bytes) -> tuple[Open, bytes]:
    """A request for a session and its authentication code. Raises ``BadInput``."""
    if not _OPEN.size + MAC < len(datagram) <= _OPEN.size + _LONGEST_NAME + MAC:
        raise BadInput(f"an opening datagram of {len(datagram)} bytes; it was dropped")
    _, nonce, options, size, length = _OPEN.unpack_from(datagram)
    name = datagram[_OPEN.size : -MAC]
    if len(name) != length or not name.isascii() or not SMALLEST <= size <= LARGEST:
        raise BadInput("an opening datagram with an impossible name or size; it was dropped")
    known = Options(options & (Options.RAPTORQ | Options.AES_GCM))
    return Open(satellite=name.decode("ascii"), nonce=nonce, options=known, datagram=size), datagram[-MAC:]


def parse_accept(datagram: bytes) -> tuple[Accept, bytes]:
    """The ground's answer and its authentication code. Raises ``BadInput``."""
    if len(datagram) != _ACCEPT.size + MAC:
        raise BadInput(f"an accepting datagram of {len(datagram)} bytes; it was dropped")
    _, session, nonce, options, size = _ACCEPT.unpack_from(datagram)
    if not SMALLEST <= size <= LARGEST:
        raise BadInput(f"the ground chose datagrams of {size} bytes; it was dropped")
    known = Options(options & (Options.RAPTORQ | Options.AES_GCM))
    return Accept(session=session, nonce=nonce, options=known, datagram=size), datagram[-MAC:]


def reset(session: int, sequence: int) -> bytes:
    """The ground knows no such session: shorter than what it answers, and of no weight but to ask for a new one."""
    return HEADER.pack(lead(Kind.RESET), session, sequence)


def parse_data(body: bytes) -> tuple[int, int, memoryview]:
    """Object, offset and bytes of a symbol. Raises ``BadInput``."""
    if len(body) <= DATA.size:
        raise BadInput("a symbol without bytes; it was dropped")
    number, start = DATA.unpack_from(body)
    return number, start, memoryview(body)[DATA.size :]


def parse_repair(body: bytes) -> tuple[int, int, int, memoryview]:
    """Object, block, number and bytes of a repair symbol. Raises ``BadInput``."""
    if len(body) <= REPAIR.size:
        raise BadInput("a repair symbol without bytes; it was dropped")
    number, block, symbol = REPAIR.unpack_from(body)
    return number, block, symbol, memoryview(body)[REPAIR.size :]


def pack_report(report: Report) -> bytes:
    """The body of a report; at most 255 gaps."""
    gaps = b"".join(_GAP.pack(gap.start, gap.end) for gap in report.gaps)
    head = _REPORT.pack(report.object, report.stopped, report.highest, report.upto, len(report.gaps.spans))
    return head + gaps


def most_gaps(datagram: int) -> int:
    """How many gaps one report can name in a UDP payload of ``datagram`` bytes."""
    return min(255, (datagram - HEADER.size - TAG - _REPORT.size) // _GAP.size)


def parse_report(body: bytes) -> Report:
    """What a receiver lacks. Raises ``BadInput``."""
    if len(body) < _REPORT.size:
        raise BadInput("a report that is cut short; it was dropped")
    number, stopped, highest, upto, count = _REPORT.unpack_from(body)
    if len(body) != _REPORT.size + count * _GAP.size:
        raise BadInput("a report whose gaps do not add up; it was dropped")
    gaps = tuple(Span(start, end) for start, end in _GAP.iter_unpack(body[_REPORT.size :]))
    if any(left.end >= right.start for left, right in itertools.pairwise(gaps)):
        raise BadInput("a report whose gaps are not in order; it was dropped")
    return Report(object=number, stopped=bool(stopped), highest=highest, upto=upto, gaps=Spans(gaps))


def fragments(number: int, message: bytes, datagram: int) -> list[bytes]:
    """The bodies that carry ``message``. Raises ``BadInput`` if it is too long."""
    room = datagram - HEADER.size - TAG - _FRAGMENT.size
    count = max(1, -(-len(message) // room))
    if count > MOST_FRAGMENTS:
        raise BadInput(f"a message of {len(message)} bytes does not fit into {MOST_FRAGMENTS} datagrams; shorten it")
    return [_FRAGMENT.pack(number, part, count) + message[part * room : (part + 1) * room] for part in range(count)]


def parse_fragment(body: bytes) -> tuple[int, int, int, bytes]:
    """Number of the message, number of the part, how many there are, and its bytes. Raises ``BadInput``."""
    if len(body) < _FRAGMENT.size:
        raise BadInput("a part of a message that is cut short; it was dropped")
    number, part, count = _FRAGMENT.unpack_from(body)
    if not part < count <= MOST_FRAGMENTS:
        raise BadInput(f"part {part} of {count} of a message; it was dropped")
    return number, part, count, body[_FRAGMENT.size :]
