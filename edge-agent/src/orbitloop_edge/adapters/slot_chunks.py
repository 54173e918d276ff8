"""The chunks of the model in a slot: which digest each has, where it lies in the file, and how the model is put
together again out of whatever good chunks there are.

slots/{a,b,c}/chunks.json    the list; it carries its own digest, and can be made anew from a model that is whole
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.chunks import CHUNK, GRAPH, Chunk, chunk_digests, piece, tensor_bytes
from orbitloop.domain.detection import DetectorSpec
from orbitloop.domain.digests import digest_of
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.wire.messages import DigestText
from orbitloop.wire.model_folder import (
    DETECTOR,
    WEIGHTS,
    Model,
    SpecText,
    detector_text,
    encode_weights,
    spec_text,
)
from orbitloop_edge.adapters.slot_state import Checked

CHUNKS = "chunks.json"

Source = Callable[[str, int], bytes | memoryview | None]
"""Gives the bytes of a part's chunk as it has them, good or not; ``None`` where it has none."""


class PartText(BaseModel):
    """A part: where it begins in the file of weights, its shape, and the digests of its chunks."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    offset: int
    shape: tuple[int, ...]
    chunks: tuple[DigestText, ...]

    @property
    def size(self) -> int:
        """Bytes of all its float32 values."""
        return 4 * int(np.prod(self.shape, dtype=np.int64))


class ChunkList(Checked):
    """``chunks.json``: all of a model that has to stay as it is.

    Attributes:
        model: digest of the weights.
        head: digest of what stands before the tensors in the file of weights, ``head_size`` bytes.
        graph: digests of the graph's chunks.
        tensors: by name.
    """

    model: DigestText
    spec: SpecText
    head: DigestText
    head_size: int
    graph: tuple[DigestText, ...]
    tensors: dict[str, PartText]

    @classmethod
    def made_of(cls, model: Model, file: bytes) -> ChunkList:
        """The list of a model whose weights are stored as ``file``."""
        begins = 8 + int.from_bytes(file[:8], "little")  # safetensors: length of a JSON header, the header, the tensors
        header = json.loads(file[8:begins])
        tensors = {
            name: PartText(
                offset=begins + header[name]["data_offsets"][0],
                shape=tensor.shape,
                chunks=chunk_digests(tensor_bytes(tensor)),
            )
            for name, tensor in sorted(model.weights.items())
        }
        return cls(
            model=weights_digest(model.weights),
            spec=spec_text(model.spec),
            head=digest_of(file[:begins]),
            head_size=begins,
            graph=chunk_digests(model.graph),
            tensors=tensors,
        ).sealed()

    def every(self) -> Iterator[Chunk]:
        """Every chunk, the graph's first."""
        parts = {GRAPH: self.graph} | {name: part.chunks for name, part in self.tensors.items()}
        for name, digests in parts.items():
            for index, digest in enumerate(digests):
                yield Chunk(part=name, index=index, digest=digest)


def write_slot(folder: Path, model: Model) -> ChunkList:
    """Write what is kept in a slot, durably, ``detector.json`` last. The graph lies elsewhere. Raises ``NoSpace``."""
    file = encode_weights(model.weights)
    made = ChunkList.made_of(model, file)
    write_durably(folder / WEIGHTS, file)
    del file
    write_durably(folder / CHUNKS, made.text())
    write_durably(folder / DETECTOR, detector_text(model.spec, made.model).encode())
    return made


def in_memory(weights: Weights, graph: bytes) -> Source:
    """The chunks of a model in memory."""

    def source(part: str, index: int) -> memoryview | None:
        if part == GRAPH:
            return piece(graph, index)
        return piece(tensor_bytes(weights[part]), index) if part in weights else None

    return source


def on_disk(folder: Path, listed: ChunkList, graph: Path) -> Source:
    """The chunks of the model in a slot, as they lie on the disk: not as the system remembers them."""

    def source(part: str, index: int) -> bytes | None:
        if part == GRAPH:
            return _read(graph, index * CHUNK, CHUNK)
        if (stored := listed.tensors.get(part)) is None:
            return None
        left = stored.size - index * CHUNK
        return _read(folder / WEIGHTS, stored.offset + index * CHUNK, min(CHUNK, left)) if left > 0 else None

    return source


def head_of(folder: Path, listed: ChunkList) -> bytes:
    """What stands before the tensors in a slot's file."""
    return _read(folder / WEIGHTS, 0, listed.head_size) or b""


def _read(path: Path, offset: int, size: int) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)
        return os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Restored:
    """What became of putting a model together: whole, or the chunks that nobody has."""

    model: Model | None
    missing: tuple[Chunk, ...] = ()


def restored(listed: ChunkList, sources: Sequence[Source]) -> Restored:
    """The model of ``listed`` out of chunks whose digests are right, each from the first of ``sources`` that has it."""
    graph = bytearray()
    weights: dict[str, NDArray[np.float32]] = {
        name: np.empty(part.shape, "<f4") for name, part in listed.tensors.items()
    }
    views = {name: tensor_bytes(tensor) for name, tensor in weights.items()}
    missing: list[Chunk] = []
    for chunk in listed.every():
        good = next((data for source in sources if (data := _good(source, chunk)) is not None), None)
        if good is None:
            missing.append(chunk)
        elif chunk.part == GRAPH:
            graph += good
        else:
            begin = chunk.index * CHUNK
            views[chunk.part][begin : begin + len(good)] = good
    if missing or weights_digest(weights) != listed.model:
        return Restored(model=None, missing=tuple(missing))
    return Restored(model=Model(spec=listed.spec.spec(), weights=weights, graph=bytes(graph)))


def damaged(listed: ChunkList, source: Source) -> list[Chunk]:
    """The chunks that ``source`` does not have as they ought to be."""
    return [chunk for chunk in listed.every() if _good(source, chunk) is None]


def _good(source: Source, chunk: Chunk) -> bytes | memoryview | None:
    data = source(chunk.part, chunk.index)
    return data if data is not None and digest_of(data) == chunk.digest else None


def same_spec(listed: ChunkList, spec: DetectorSpec) -> bool:
    """Whether ``spec`` is the one that belongs to the model."""
    return listed.spec == spec_text(spec)


def by_digest(fetched: Mapping[Digest, Path], listed: ChunkList) -> Source:
    """Chunks that came from elsewhere, each in a file."""
    wanted = {(chunk.part, chunk.index): chunk.digest for chunk in listed.every()}

    def source(part: str, index: int) -> bytes | None:
        path = fetched.get(wanted[part, index])
        return None if path is None else path.read_bytes()

    return source
