"""Whole numbers as LEB128: seven bits a byte, the lowest first, the top bit set on all but a number's last byte."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput

_LONGEST = 5


def encode_numbers(numbers: NDArray[np.int64]) -> bytes:
    """Numbers in ``[0, 2**32)``, shape ``(n,)``, one after the other."""
    if not len(numbers):
        return b""
    lengths = np.ones(len(numbers), np.int64)
    for bits in (7, 14, 21, 28):
        lengths += numbers >> bits > 0
    ends = np.cumsum(lengths)
    out = np.zeros(int(ends[-1]), np.uint8)
    for place in range(_LONGEST):
        has = lengths > place
        more = (lengths[has] > place + 1).astype(np.int64) << 7
        out[ends[has] - lengths[has] + place] = numbers[has] >> (7 * place) & 127 | more
    return out.tobytes()


def decode_numbers(data: bytes | memoryview, what: str = "the update") -> NDArray[np.int64]:
    """Inverse of :func:`encode_numbers`; raises ``BadInput`` on a number that is cut off or does not fit 32 bits."""
    raw = np.frombuffer(data, np.uint8)
    if not len(raw):
        return np.zeros(0, np.int64)
    ends = np.flatnonzero(raw < 128)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise BadInput(f"{what} is cut off in the middle of a number")
    begins = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - begins + 1
    if lengths.max() > _LONGEST:
        raise BadInput(f"{what} holds a number of more than 32 bits")
    numbers = np.zeros(len(ends), np.int64)
    for place in range(int(lengths.max())):
        has = lengths > place
        numbers[has] |= (raw[begins[has] + place].astype(np.int64) & 127) << (7 * place)
    if numbers.max() >= 2**32:
        raise BadInput(f"{what} holds a number of more than 32 bits")
    return numbers


class Reader:
    """Reads bytes and numbers one after the other.

    Args:
        data: what is read.
        what: names it in errors.
    """

    def __init__(self, data: bytes | memoryview, what: str) -> None:
        self._data = memoryview(data)
        self._what = what
        self._at = 0

    @property
    def at(self) -> int:
        """How many bytes were read."""
        return self._at

    @property
    def left(self) -> int:
        """How many were not."""
        return len(self._data) - self._at

    def take(self, count: int) -> memoryview:
        """The next ``count`` bytes. Raises ``BadInput`` if there are fewer."""
        if count > self.left:
            raise BadInput(f"{self._what} ends {count - self.left} bytes too early")
        part = self._data[self._at : self._at + count]
        self._at += count
        return part

    def numbers(self, count: int) -> NDArray[np.int64]:
        """The next ``count`` numbers. Raises ``BadInput`` if there are fewer."""
        rest = np.frombuffer(self._data[self._at : self._at + _LONGEST * count], np.uint8)
        ends = np.flatnonzero(rest < 128)
        if len(ends) < count:
            raise BadInput(f"{self._what} ends {count - len(ends)} numbers too early")
        return decode_numbers(self.take(int(ends[count - 1]) + 1 if count else 0), self._what)

    def number(self, most: int) -> int:
        """The next number. Raises ``BadInput`` if it is above ``most``, or if there is none."""
        found = int(self.numbers(1)[0])
        if found > most:
            raise BadInput(f"{self._what} holds {found} where {most} is the limit")
        return found

    def finish(self) -> None:
        """Raises ``BadInput`` if something is left."""
        if self.left:
            raise BadInput(f"{self._what} has {self.left} bytes after its end")
