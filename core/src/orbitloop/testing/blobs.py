"""A blob store in memory, whose disk can be full."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from orbitloop.adapters.durable import naming_full_disk
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, Untrusted
from orbitloop.domain.units import Digest


class MemoryBlobs:
    """The :class:`~orbitloop.ports.sample_store.Blobs` of a test.

    Args:
        full: whether the disk is full, until :attr:`full` is taken back.
    """

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.stored: dict[Digest, bytes] = {}

    def put(self, blobs: Mapping[Digest, bytes]) -> None:
        """Keep all of ``blobs``; raises ``NoSpace`` while the disk is full."""
        with naming_full_disk(Path("/ground/blobs")):
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.stored |= blobs

    def get(self, digest: Digest) -> bytes:
        """The bytes of ``digest``. Raises ``BadInput`` if there are none, ``Untrusted`` if they are damaged."""
        if digest not in self.stored:
            raise BadInput(f"no blob {digest} in memory")
        if digest_of(self.stored[digest]) != digest:
            raise Untrusted(f"the blob {digest} in memory is damaged: it does not match its name")
        return self.stored[digest]
