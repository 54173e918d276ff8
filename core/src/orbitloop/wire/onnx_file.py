"""An ONNX file with its weights inside, made from a graph that has none: for workers that load one file.

ONNX files are messages of Protocol Buffers (https://onnx.ai/onnx/repo-docs/IR.html). Only the list of initializers is
written anew: the graph, field 7 of a model, has them as its field 5, each with dims (1), data_type (2), name (8) and,
here, raw_data (9) in place of a reference to data outside (13). Everything else keeps its bytes, constants of the graph
included.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.domain.quantising import Tensors
from orbitloop.domain.versions import Weights
from orbitloop.wire.onnx_integers import tensors_for
from orbitloop.wire.protobuf import BYTES, VARINT, fields, message, varint

_GRAPH, _INITIALIZER = 7, 5
_DIMS, _TYPE, _NAME, _RAW, _OUTSIDE = 1, 2, 8, 9, 13
_TYPES = {np.dtype("<f4"): 1, np.dtype(np.int8): 3, np.dtype("<i4"): 6}


def with_weights(graph: bytes, weights: Weights) -> bytes:
    """The model as one file.

    Args:
        graph: an ONNX model whose initializers are supplied by name.
        weights: float32 tensors, by name; a graph that computes in integers gets those.

    Raises:
        BadInput: it is no ONNX model, or a tensor is missing or too many.
    """
    out = bytearray()
    found: set[str] = set()
    tensors = tensors_for(graph, weights)
    for field in fields(graph):
        if (field.number, field.kind) == (_GRAPH, BYTES):
            out += message(_GRAPH, _filled(field.value(graph), tensors, found))
        else:
            out += graph[field.start : field.end]
    if unused := sorted(set(tensors) - found):
        raise BadInput(f"the graph has no initializer {unused[0]!r}; the weights are of another model")
    return bytes(out)


def _filled(graph: bytes, weights: Tensors, found: set[str]) -> bytes:
    out = bytearray()
    for field in fields(graph):
        if (field.number, field.kind) != (_INITIALIZER, BYTES):
            out += graph[field.start : field.end]
            continue
        name, outside = _described(field.value(graph))
        if name in weights:
            out += message(_INITIALIZER, _tensor(name, weights[name]))
            found.add(name)
        elif outside:
            raise BadInput(f"the graph wants a tensor {name!r}, and the weights have none; they are of another model")
        else:
            out += graph[field.start : field.end]
    return bytes(out)


def _described(tensor: bytes) -> tuple[str, bool]:
    """The name of an initializer, and whether its data are outside of the graph."""
    name, outside = "", False
    for field in fields(tensor):
        if (field.number, field.kind) == (_NAME, BYTES):
            name = field.value(tensor).decode(errors="replace")
        elif field.number == _OUTSIDE:
            outside = True
    return name, outside


def _tensor(name: str, values: NDArray[Any]) -> bytes:
    kept = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    dims = b"".join(varint(_DIMS << 3 | VARINT) + varint(length) for length in values.shape)
    kind = varint(_TYPE << 3 | VARINT) + varint(_TYPES[kept.dtype])
    return dims + kind + message(_NAME, name.encode()) + message(_RAW, kept.tobytes())


_WHERE_TENSORS_ARE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Fields of ONNX's messages that hold tensors, or messages with tensors (https://github.com/onnx/onnx, onnx.proto)."""


def reaches_outside(graph: bytes) -> bool:
    """Whether any tensor of a model, of its subgraphs and functions too, has its data in another file.

    Raises:
        BadInput: it is no ONNX model.
    """
    waiting = [("model", graph)]
    while waiting:
        kind, data = waiting.pop()
        inner = _WHERE_TENSORS_ARE[kind]
        for field in fields(data):
            if field.kind != BYTES or field.number not in inner:
                continue
            content = field.value(data)
            if inner[field.number] == "tensor":
                if _described(content)[1]:
                    return True
            else:
                waiting.append((inner[field.number], content))
    return False
