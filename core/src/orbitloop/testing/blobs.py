"""A blob store in memory, whose disk can be full."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from orbitloop.adapters.durable import naming_full_disk
from orbitloop.domain.units import Digest


class FullBlobs:
    """A blob store on a full disk, until :attr:`full` is taken back."""

    def __init__(self) -> None:
        self.full = True
        self.stored: dict[Digest, bytes] = {}

    def put(self, blobs: Mapping[Digest, bytes]) -> None:
        """Keep all of ``blobs``; raises ``NoSpace`` while the disk is full."""
        with naming_full_disk(Path("/ground/blobs")):
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.stored |= blobs

    def get(self, digest: Digest) -> bytes:
        """The bytes of ``digest``; ``KeyError`` if there are none."""
        return self.stored[digest]
