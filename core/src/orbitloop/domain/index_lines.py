"""The index of a data set: one sample a line, told once for those who count and those who cut rounds.

A line of blanks is no sample. Where the format is ``csv``, the first line that is not blank is the header. A last line
without its line feed may be half written: whoever counts decides when it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from orbitloop.domain.errors import BadInput

LONGEST_LINE = 2**20
"""Bytes of one sample's line; a longer one is no index but some other file."""


class IndexFormat(StrEnum):
    """How an index is written."""

    TXT = "txt"
    CSV = "csv"

    @classmethod
    def of(cls, text: str) -> Self:
        """The format that ``text`` names, in any case. Raises ``BadInput``."""
        try:
            return cls(text.lower())
        except ValueError:
            raise BadInput(f"the format {text!r} is unknown; write {' or '.join(cls)}") from None


def is_sample(line: bytes) -> bool:
    """Whether a line holds more than blanks."""
    return bool(line.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexCount:
    """What was counted of an index so far; a value: more bytes make another one.

    Args:
        format: of the index.
        lines: lines with their line feed that hold more than blanks, the header included.
        begun: whether a last line without line feed holds more than blanks.
    """

    format: IndexFormat
    lines: int = 0
    begun: bool = False

    def after(self, more: bytes) -> IndexCount:
        """The count once ``more`` bytes, which may end anywhere, follow."""
        if not more:
            return self
        first, *rest = more.split(b"\n")
        begun = self.begun or is_sample(first)
        if not rest:
            return IndexCount(format=self.format, lines=self.lines, begun=begun)
        *whole, last = rest
        lines = self.lines + begun + sum(map(is_sample, whole))
        return IndexCount(format=self.format, lines=lines, begun=is_sample(last))

    def samples(self, *, with_last: bool) -> int:
        """How many samples there are.

        Args:
            with_last: the last line is whole even without its line feed.
        """
        lines = self.lines + (with_last and self.begun)
        return max(0, lines - (self.format is IndexFormat.CSV))
