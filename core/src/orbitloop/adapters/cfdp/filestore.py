"""The one file of a transaction, held open: whatever names the PDUs hold, the library reads and writes only this."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from cfdppy.filestore import NativeFilestore
from spacepackets.cfdp import ChecksumType

from orbitloop.adapters.durable import naming_full_disk

_CHUNK = 2**20
_WORD = 4


class OneFile(NativeFilestore):  # type: ignore[misc]  # cfdppy ships no types
    """The library's filestore over one open file; every name means that file.

    Args:
        path: the file.
        writable: made new, for reception; otherwise it is read.

    Raises:
        OSError: it cannot be opened; ``NoSpace`` when the disk is full.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        super().__init__()
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC if writable else os.O_RDONLY
        with naming_full_disk(path):
            self._descriptor = os.open(path, flags, 0o600)
        self._checksums: dict[tuple[Any, int], bytes] | None = None if writable else {}

    def close(self) -> None:
        """Let go of the file; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def sync(self) -> None:
        """Make the bytes durable."""
        with naming_full_disk(self._path):
            os.fsync(self._descriptor)

    def read_data(self, file: Path, offset: int | None, read_len: int | None = None) -> bytes:
        """Bytes from ``offset``, fewer at the end."""
        return os.pread(self._descriptor, self.file_size(file) if read_len is None else read_len, offset or 0)

    def write_data(self, file: Path, data: bytes, offset: int | None) -> None:  # noqa: ARG002 # theirs
        """Write at ``offset``. Raises ``NoSpace``."""
        left = memoryview(data)
        position = offset or 0
        with naming_full_disk(self._path):
            while left:
                written = os.pwrite(self._descriptor, left, position)
                left, position = left[written:], position + written

    def file_size(self, file: Path) -> int:  # noqa: ARG002 # theirs
        """Length of the file."""
        return os.fstat(self._descriptor).st_size

    def file_exists(self, path: Path) -> bool:  # noqa: ARG002 # theirs
        """Yes: it was opened."""
        return True

    def is_directory(self, path: Path) -> bool:  # noqa: ARG002 # theirs
        """No: a name from outside is not looked up."""
        return False

    def truncate_file(self, file: Path) -> None:  # noqa: ARG002 # theirs
        """Empty it."""
        os.ftruncate(self._descriptor, 0)

    def calculate_checksum(
        self,
        checksum_type: ChecksumType,
        file_path: Path,  # noqa: ARG002 # theirs
        size_to_verify: int,
        segment_len: int = _CHUNK,  # noqa: ARG002 # theirs
    ) -> bytes:
        """The checksum of the first ``size_to_verify`` bytes; that of a file being sent is worked out once."""
        key = (checksum_type, size_to_verify)
        if self._checksums is not None and key in self._checksums:
            return self._checksums[key]
        if checksum_type == ChecksumType.MODULAR:
            found = self._modular(size_to_verify)
        else:
            found = super().calculate_checksum(checksum_type, self._path, size_to_verify, _CHUNK)
        if self._checksums is not None:
            self._checksums[key] = found
        return found

    def _modular(self, size: int) -> bytes:
        """CFDP's modular checksum: the sum of big-endian words modulo 2**32 (CCSDS 727.0-B-5, 4.2.2)."""
        total = 0
        for position in range(0, size, _CHUNK):
            data = os.pread(self._descriptor, min(_CHUNK, size - position), position)
            padded = data + bytes(-len(data) % _WORD)
            total += int(np.frombuffer(padded, ">u4").sum(dtype=np.uint64))
        return (total % 2**32).to_bytes(_WORD, "big")
