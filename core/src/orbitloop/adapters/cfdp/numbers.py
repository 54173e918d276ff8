"""Transaction sequence numbers that no restart uses twice."""

from __future__ import annotations

from pathlib import Path

from spacepackets.seqcount import ProvidesSeqCount

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.errors import BadInput

_BITS = 32
_BLOCK = 64


class DurableNumbers(ProvidesSeqCount):  # type: ignore[misc]  # spacepackets ships no types
    """Ascending numbers of 32 bits; the library's own begin at 0 again with every process.

    A receiver that remembers transactions would take a new file under an old number for a repeated one. Numbers are
    reserved on disk in blocks; those of a block that a restart cut short are never used.

    Args:
        path: the file that keeps the next one not reserved.

    Raises:
        BadInput: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = self._reserved = self._stored()

    @property
    def max_bit_width(self) -> int:
        """32."""
        return _BITS

    @max_bit_width.setter
    def max_bit_width(self, width: int) -> None:
        raise BadInput(f"sequence numbers have {_BITS} bits, not {width}")

    def get_and_increment(self) -> int:
        """The next number. Raises ``NoSpace``."""
        if self._next == self._reserved:
            self._reserved = (self._next + _BLOCK) % 2**_BITS
            write_durably(self._path, f"{self._reserved}\n".encode())
        number = self._next
        self._next = (number + 1) % 2**_BITS
        return number

    def _stored(self) -> int:
        if not self._path.exists():
            return 0
        text = self._path.read_text(errors="replace").strip()
        if not (text.isascii() and text.isdigit() and int(text) < 2**_BITS):
            raise BadInput(f"{self._path}: {text[:40]!r} is no sequence number; write one that was never used before")
        return int(text)
