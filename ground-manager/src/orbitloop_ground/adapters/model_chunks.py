"""Chunks of models, laid out for satellites whose own are damaged."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Protocol

from orbitloop.adapters.durable import naming_full_disk, write_durably
from orbitloop.domain.chunks import GRAPH, piece, tensor_bytes
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import OrbitloopError
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.node_ledger import Artifact
from orbitloop.wire.messages import DamagedChunk, Repair
from orbitloop.wire.model_folder import Model

_log = logging.getLogger(__name__)


class Models(Protocol):
    """The models that the ground knows, by the digest of their weights."""

    def get(self, digest: Digest) -> Model:
        """The model with these weights. Raises ``Refused``."""
        ...


class ModelChunks:
    """Lays out what a hello asks for, each chunk a file under its digest; the next hello takes its place.

    Args:
        models: what the ground knows.
        folder: where the files are; made when the first is.
    """

    def __init__(self, models: Models, folder: Path) -> None:
        self._models = models
        self._folder = folder

    def lay_out(self, satellite: str, damaged: Iterable[DamagedChunk]) -> tuple[Repair, ...]:
        """Those of the chunks that are here and have the digests that are asked for. Never fails: a contact has other
        things to carry.
        """
        folder = self._folder / satellite
        wanted = sorted(damaged, key=lambda chunk: chunk.model)
        if not wanted and not folder.exists():
            return ()
        found: dict[Digest, bytes] = {}
        for model, chunks in groupby(wanted, key=lambda chunk: chunk.model):
            try:
                found |= _chunks_of(self._models.get(model), chunks)
            except OrbitloopError as error:
                _log.warning("no_chunks", extra={"satellite": satellite, "model": model, "why": str(error)})
        try:
            return self._stored(folder, found)
        except OrbitloopError as error:
            _log.warning("no_chunks", extra={"satellite": satellite, "why": str(error)})
            return ()

    def find(self, satellite: str, digest: Digest) -> Artifact | None:
        """A chunk that was laid out for a satellite."""
        path = self._folder / satellite / hexadecimal(digest)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        return Artifact(digest=digest, size=Bytes(len(data)), path=path) if digest_of(data) == digest else None

    def _stored(self, folder: Path, found: dict[Digest, bytes]) -> tuple[Repair, ...]:
        with naming_full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
        names = {hexadecimal(digest) for digest in found}
        for before in folder.iterdir():
            if before.name not in names:
                before.unlink(missing_ok=True)
        for digest, data in found.items():
            write_durably(folder / hexadecimal(digest), data)
        return tuple(Repair(digest=digest, size=Bytes(len(data))) for digest, data in found.items())


def _chunks_of(model: Model, wanted: Iterable[DamagedChunk]) -> dict[Digest, bytes]:
    found = {}
    for chunk in wanted:
        tensor = model.weights.get(chunk.part)
        whole = model.graph if chunk.part == GRAPH else b"" if tensor is None else tensor_bytes(tensor)
        data = bytes(piece(whole, chunk.index))
        if data and digest_of(data) == chunk.digest:
            found[chunk.digest] = data
    return found
