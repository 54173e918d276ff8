"""Which bytes of a transfer are here, and which are missing: what both convergence layers resume from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Bytes


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes from ``start`` up to, but without, ``end``; never empty."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise BadInput(
                f"bytes {self.start} to {self.end} are no span; it must begin at 0 or later and not be empty"
            )

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Spans:
    """A set of bytes as spans that neither touch nor overlap, in ascending order. A value: every change makes another.

    Use :meth:`of` to make one from spans in any order.
    """

    spans: tuple[Span, ...] = ()

    @classmethod
    def of(cls, spans: Iterable[Span | tuple[int, int]]) -> Self:
        """The union of ``spans``, which may come in any order and overlap. Raises ``BadInput`` for an empty one."""
        given = sorted(span if isinstance(span, Span) else Span(*span) for span in spans)
        merged: list[Span] = []
        for span in given:
            if merged and span.start <= merged[-1].end:
                merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
            else:
                merged.append(span)
        return cls(tuple(merged))

    @classmethod
    def up_to(cls, end: int) -> Self:
        """The first ``end`` bytes."""
        return cls((Span(0, end),) if end else ())

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)

    def __bool__(self) -> bool:
        return bool(self.spans)

    @property
    def count(self) -> Bytes:
        """How many bytes these are."""
        return Bytes(sum(len(span) for span in self.spans))

    @property
    def prefix(self) -> Bytes:
        """How many bytes are here without a gap, from the first on."""
        return Bytes(self.spans[0].end if self.spans and self.spans[0].start == 0 else 0)

    def add(self, start: int, end: int) -> Spans:
        """These and the bytes from ``start`` to ``end``; nothing is added where they are equal."""
        if start == end:
            return self
        return Spans.of((*self.spans, Span(start, end)))

    def missing(self, size: int) -> Spans:
        """The bytes of a whole of ``size`` that are not here."""
        gaps: list[Span] = []
        position = 0
        for span in self.spans:
            if span.start >= size:
                break
            if position < span.start:
                gaps.append(Span(position, span.start))
            position = span.end
        if position < size:
            gaps.append(Span(position, size))
        return Spans(tuple(gaps))

    def first(self, most: int) -> Spans:
        """The first ``most`` of these bytes."""
        taken: list[Span] = []
        for span in self.spans:
            if most <= 0:
                break
            taken.append(Span(span.start, min(span.end, span.start + most)))
            most -= len(taken[-1])
        return Spans(tuple(taken))

    def holds(self, start: int, end: int) -> bool:
        """Whether every byte from ``start`` to ``end`` is here."""
        return any(span.start <= start and end <= span.end for span in self.spans)
