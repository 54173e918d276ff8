"""What the ledger was told, in the order in which it was told: enough to make a damaged ledger anew.

A file of records, integers big-endian: 4 bytes length and 4 bytes CRC-32 of a zstd frame, the frame itself. Its content
is JSON, ``[kind, fields]``. A record that the disk has damaged is passed over, those behind it are still found.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from orbitloop.adapters.durable import naming_full_disk, sync_folder
from orbitloop.domain.units import Bytes

_log = logging.getLogger(__name__)

_MARK = b"OLJ1"
_HEAD = struct.Struct(">4sII")
_LARGEST = 256 * 2**20
"""Bytes that one record may hold: a bundle's worth of samples, many times over."""


class Journal:
    """Records that are durable once :meth:`append` returns. Processes may share the file.

    Args:
        path: the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with naming_full_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.touch()
                sync_folder(path.parent)

    @property
    def size(self) -> Bytes:
        """Bytes of all records."""
        return Bytes(self._path.stat().st_size)

    def append(self, kind: str, fields: dict[str, Any]) -> None:
        """Write one record. Raises ``NoSpace``; the file is then as it was."""
        frame = zstandard.compress(json.dumps([kind, fields], separators=(",", ":")).encode())
        record = _HEAD.pack(_MARK, len(frame), zlib.crc32(frame)) + frame
        with naming_full_disk(self._path), self._path.open("ab", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = file.seek(0, os.SEEK_END)
            try:
                left = memoryview(record)
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise

    def records(self, *, last: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every whole record, in order; with ``last``, only those that begin in so many bytes at the end."""
        data = self._path.read_bytes()
        at = 0 if last is None else max(0, len(data) - last)
        while (at := data.find(_MARK, at)) >= 0:
            record = _record(data, at)
            if record is None:
                _log.error("journal_damaged", extra={"path": str(self._path), "at": at})
                at += len(_MARK)
                continue
            content, at = record
            yield content


def _record(data: bytes, at: int) -> tuple[tuple[str, dict[str, Any]], int] | None:
    """The record at ``at`` and where it ends, or ``None`` if it is damaged."""
    if at + _HEAD.size > len(data):
        return None
    _, length, checksum = _HEAD.unpack_from(data, at)
    end = at + _HEAD.size + length
    frame = data[at + _HEAD.size : end]
    if len(frame) != length or zlib.crc32(frame) != checksum:
        return None
    kind, fields = json.loads(zstandard.ZstdDecompressor().decompress(frame, max_output_size=_LARGEST))
    return (str(kind), dict(fields)), end
