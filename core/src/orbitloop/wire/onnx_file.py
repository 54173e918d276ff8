"""An ONNX file with its weights inside, made from a graph that has none: for workers that load one file.

ONNX files are messages of Protocol Buffers (https://onnx.ai/onnx/repo-docs/IR.html,
https://protobuf.dev/programming-guides/encoding/). Only the list of initializers is written anew: the graph, field 7 of
a model, has them as its field 5, each with dims (1), data_type (2), name (8) and, here, raw_data (9) in place of a
reference to data outside (13). Everything else keeps its bytes, constants of the graph included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import Weights

_VARINT, _BYTES = 0, 2
_GRAPH, _INITIALIZER = 7, 5
_DIMS, _TYPE, _NAME, _RAW, _OUTSIDE = 1, 2, 8, 9, 13
_FLOAT = 1
_LONGEST_VARINT = 10


def with_weights(graph: bytes, weights: Weights) -> bytes:
    """The model as one file.

    Args:
        graph: an ONNX model whose initializers are supplied by name.
        weights: float32 tensors, by name.

    Raises:
        BadInput: it is no ONNX model, or a tensor is missing or too many.
    """
    out = bytearray()
    found: set[str] = set()
    for field in _fields(graph):
        if (field.number, field.kind) == (_GRAPH, _BYTES):
            out += _message(_GRAPH, _filled(field.value(graph), weights, found))
        else:
            out += graph[field.start : field.end]
    if unused := sorted(set(weights) - found):
        raise BadInput(f"the graph has no initializer {unused[0]!r}; the weights are of another model")
    return bytes(out)


def _filled(graph: bytes, weights: Weights, found: set[str]) -> bytes:
    out = bytearray()
    for field in _fields(graph):
        if (field.number, field.kind) != (_INITIALIZER, _BYTES):
            out += graph[field.start : field.end]
            continue
        name, outside = _described(field.value(graph))
        if name in weights:
            out += _message(_INITIALIZER, _tensor(name, weights[name]))
            found.add(name)
        elif outside:
            raise BadInput(f"the graph wants a tensor {name!r}, and the weights have none; they are of another model")
        else:
            out += graph[field.start : field.end]
    return bytes(out)


def _described(tensor: bytes) -> tuple[str, bool]:
    """The name of an initializer, and whether its data are outside of the graph."""
    name, outside = "", False
    for field in _fields(tensor):
        if (field.number, field.kind) == (_NAME, _BYTES):
            name = field.value(tensor).decode(errors="replace")
        elif field.number == _OUTSIDE:
            outside = True
    return name, outside


def _tensor(name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    dims = b"".join(_varint(_DIMS << 3 | _VARINT) + _varint(length) for length in values.shape)
    kind = _varint(_TYPE << 3 | _VARINT) + _varint(_FLOAT)
    raw = np.ascontiguousarray(values, np.dtype("<f4")).tobytes()
    return dims + kind + _message(_NAME, name.encode()) + _message(_RAW, raw)


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """Where one field lies, its tag included, and where its content begins."""

    number: int
    kind: int
    start: int
    content: int
    end: int

    def value(self, data: bytes) -> bytes:
        return data[self.content : self.end]


def _fields(data: bytes) -> Iterator[_Field]:
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
        yield _Field(number=number, kind=kind, start=start, content=content, end=at)


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
