"""Bundles on their way in: bytes that arrived, kept across cuts and restarts of the ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import Bytes, Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One bundle on its way in: the bytes ``held`` of its ``size`` are durable."""

    satellite: str
    digest: Digest
    size: Bytes
    held: Spans = Spans()

    @property
    def offset(self) -> Bytes:
        """How many bytes are here without a gap: where a sender that knows no gaps goes on."""
        return self.held.prefix

    @property
    def complete(self) -> bool:
        """Whether every byte is here."""
        return not self.held.missing(self.size)


class Uploads(Protocol):
    """Partial bundles on disk, one for each satellite and digest."""

    def open(self, satellite: str, digest: Digest, size: Bytes) -> Upload:
        """Begin an upload, or find the one that was begun, which may have another size.

        Raises ``NotYet`` if the satellite has too many open, ``NoSpace`` if the disk is full.
        """
        ...

    def find(self, satellite: str, digest: Digest) -> Upload | None:
        """An upload that was begun, its offset durable when this returns."""
        ...

    def write(self, upload: Upload, start: int, data: bytes) -> Upload:
        """Write ``data`` at ``start``; durable after the next :meth:`find`.

        Raises ``NoSpace``, and ``BadInput`` for bytes behind the announced size.
        """
        ...

    def content(self, upload: Upload) -> bytes:
        """Every byte that arrived."""
        ...

    def discard(self, upload: Upload) -> None:
        """Forget an upload; idempotent."""
        ...
