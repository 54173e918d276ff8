"""Fields of Protocol Buffers' messages, as far as ONNX files are read and written here.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orbitloop.domain.errors import BadInput

VARINT, BYTES = 0, 2
_LONGEST_VARINT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldAt:
    """Where one field lies, its tag included, and where its content begins."""

    number: int
    kind: int
    start: int
    content: int
    end: int

    def value(self, data: bytes) -> bytes:
        """The content, out of the message that the field was found in."""
        return data[self.content : self.end]


def fields(data: bytes) -> Iterator[FieldAt]:
    """All fields of a message in order. Raises ``BadInput`` where it is none."""
    at = 0
    while at < len(data):
        start = at
        tag, at = _read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        content = at
        match kind:
            case 0:  # varint
                _, at = _read_varint(data, at)
            case 1:  # 64 bits
                at += 8
            case 2:  # bytes
                length, content = _read_varint(data, at)
                at = content + length
            case 5:  # 32 bits
                at += 4
            case _:
                raise BadInput("the graph is no ONNX model; export it again")
        if at > len(data):
            raise BadInput("the graph ends in the middle; fetch the model again")
        yield FieldAt(number=number, kind=kind, start=start, content=content, end=at)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(_LONGEST_VARINT):
        if at >= len(data):
            raise BadInput("the graph ends in the middle; fetch the model again")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if not byte & 0x80:
            return value, at
    raise BadInput("the graph is no ONNX model; export it again")


def message(number: int, content: bytes) -> bytes:
    """A field that holds bytes."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """A number of 0 or more, seven bits to a byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
