"""A model in chunks of 64 KiB, each with a digest of its own: one flipped bit names one chunk.

The list of digests is the lowest level of a hash tree (R. C. Merkle, "A Digital Signature Based on a Conventional
Encryption Function", CRYPTO '87); a model has a few hundred chunks, so that no level above it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.digests import digest_of
from orbitloop.domain.units import Digest

CHUNK = 64 * 2**10
"""Bytes of a chunk; the last of a part may have fewer."""
GRAPH = ""
"""The part that is the graph; every other is a tensor, by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The ``index``-th chunk of a part, and the digest that its bytes have."""

    part: str
    index: int
    digest: Digest


def tensor_bytes(tensor: NDArray[np.float32]) -> memoryview:
    """The bytes of a tensor as its chunks are counted: little-endian float32 in C order; not copied where it is so."""
    return np.ascontiguousarray(tensor, "<f4").reshape(-1).view(np.uint8).data


def piece(data: bytes | memoryview, index: int) -> memoryview:
    """The ``index``-th chunk of a part's bytes; empty behind its end."""
    return memoryview(data)[index * CHUNK : (index + 1) * CHUNK]


def pieces(data: bytes | memoryview) -> Iterator[memoryview]:
    """A part's bytes, chunk by chunk."""
    return (piece(data, index) for index in range(-(-len(data) // CHUNK)))


def chunk_digests(data: bytes | memoryview) -> tuple[Digest, ...]:
    """The digests of a part's chunks."""
    return tuple(digest_of(each) for each in pieces(data))
