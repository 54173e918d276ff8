"""Held-out tiles kept on board, losslessly, for proving updates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orbitloop.adapters.durable import discard_unfinished, write_durably
from orbitloop.domain.digests import hexadecimal
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.units import Digest
from orbitloop_edge.adapters.imagery import decode_picture, encode_picture


class Shelf:
    """A folder of PNG tiles named by sample id.

    Args:
        folder: where they lie; made if missing.
        capacity: how many are kept; the oldest give way.
    """

    def __init__(self, folder: Path, *, capacity: int = 48) -> None:
        if capacity < 1:
            raise BadInput(f"{folder}: a shelf for {capacity} tiles keeps none; give it room for at least one")
        self._folder = folder
        self._capacity = capacity
        folder.mkdir(parents=True, exist_ok=True)
        discard_unfinished(folder)

    def keep(self, sample: Digest, pixels: NDArray[np.uint8]) -> None:
        """Keep a tile durably; raises ``NoSpace`` on a full disk."""
        path = self._path(sample)
        if path.exists():
            return
        write_durably(path, encode_picture(pixels, "png", 100))
        others = [kept for kept in self._folder.glob("*.png") if kept != path]
        newest_first = sorted(others, key=lambda kept: kept.stat().st_mtime_ns, reverse=True)
        for old in newest_first[self._capacity - 1 :]:
            old.unlink(missing_ok=True)

    def pixels(self, sample: Digest) -> NDArray[np.uint8] | None:
        """A kept tile, ``(h, w, 3)`` uint8, or ``None`` if it is not kept or was damaged."""
        path = self._path(sample)
        try:
            return decode_picture(path.read_bytes(), path.name)
        except (FileNotFoundError, Refused):
            return None

    def _path(self, sample: Digest) -> Path:
        return self._folder / f"{hexadecimal(sample)}.png"
