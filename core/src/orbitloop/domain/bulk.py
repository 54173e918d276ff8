"""Bulk transfer over datagrams: what to send next and what is missing, decided without sockets or clocks.

An object is cut into symbols on one grid, and those into blocks. The receiver reports gaps (selective negative
acknowledgement); a gap is lost, and not merely on its way, once something that was sent later has arrived. Lost symbols
are sent again between fresh ones, which costs no time. Behind the last block nothing follows to hide a round trip:
where sender and receiver share a codec, repair symbols go ahead there, as many as losses are expected.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from orbitloop.domain.ranges import Span, Spans

BLOCK = 64
"""Symbols of a block."""
REORDERED = 48
"""Datagrams that may overtake one before it counts as lost."""
_WORTH_REPAIR = 0.005


def symbols_of(spans: Spans, symbol: int) -> Iterator[tuple[int, int]]:
    """``spans`` cut at every multiple of ``symbol``."""
    for span in spans:
        start = span.start
        while start < span.end:
            end = min(span.end, (start // symbol + 1) * symbol)
            yield start, end
            start = end


def blocks_of(missing: Spans, size: int, symbol: int) -> frozenset[int]:
    """The blocks that are missing as a whole: those whose losses repair symbols can make good."""
    length = BLOCK * symbol
    found: set[int] = set()
    for span in missing:
        last = -(-size // length) if span.end == size else span.end // length
        found.update(range(-(-span.start // length), last))
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes; or, where ``repair`` is not negative, this repair symbol of their block instead."""

    start: int
    end: int
    repair: int = -1


@dataclass(slots=True)
class _Flown:
    end: int
    sequence: int
    times: int


class Outgoing:
    """The sender's side of one object.

    Args:
        size: bytes of the whole.
        missing: what of it is to be sent.
        symbol: bytes of a symbol.
        repairs: whether the receiver understands repair symbols.
    """

    def __init__(self, size: int, missing: Spans, symbol: int, *, repairs: bool = False) -> None:
        self._symbol = symbol
        self._left = int(missing.count)
        self._fresh = symbols_of(missing, symbol)
        self._next = next(self._fresh, None)
        self._again: deque[tuple[int, int, int]] = deque()
        self._flown: dict[int, _Flown] = {}
        self._repairable = blocks_of(missing, size, symbol) if repairs else frozenset[int]()
        self._made: dict[int, int] = {}
        self._ahead: dict[int, list[int]] = {}
        self._extra: deque[int] = deque()
        self.lost = 0
        self.arrived = 0
        self.loss = 0.0
        self.stopped = False

    @property
    def in_flight(self) -> int:
        """Symbols that were sent and not yet heard of."""
        return len(self._flown)

    @property
    def left(self) -> int:
        """Bytes that are not known to have arrived."""
        return self._left

    @property
    def done(self) -> bool:
        """Whether everything has arrived, as far as is known, or nothing more is wanted."""
        return self.stopped or self._left == 0

    @property
    def has_more(self) -> bool:
        """Whether there is something to send now."""
        return not self.stopped and (bool(self._again) or self._next is not None or bool(self._extra))

    def take(self) -> Send | None:
        """What to send next; the caller says with :meth:`sent` under which sequence number it went."""
        while self._again:
            start, end, _ = self._again[0]
            return Send(start, end)
        if self._extra:
            block = self._extra[0]
            return Send(block * self._symbol * BLOCK, -1, self._repair(block))
        if self._next is not None:
            return Send(*self._next)
        return None

    def sent(self, what: Send, sequence: int) -> None:
        """It was sent."""
        if what.end < 0:
            block = self._extra.popleft()
            self._ahead.setdefault(block, []).append(sequence)
        elif self._again:
            start, end, times = self._again.popleft()
            self._flown[start] = _Flown(end, sequence, times + 1)
        else:
            self._flown[what.start] = _Flown(what.end, sequence, 1)
            self._next = next(self._fresh, None)
            self._look_ahead(what)

    def heard(self, gaps: Spans, upto: int, highest: int) -> None:
        """The receiver lacks ``gaps`` before byte ``upto``, and has seen sequence number ``highest``."""
        starts = [gap.start for gap in gaps]
        spans = gaps.spans
        lost: list[tuple[int, _Flown]] = []
        landed: list[int] = []
        newest = highest - REORDERED
        for start, flown in self._flown.items():
            if start >= upto:
                continue
            place = bisect_right(starts, start) - 1
            missing = (place >= 0 and start < spans[place].end) or (
                place + 1 < len(starts) and starts[place + 1] < flown.end
            )
            if not missing:
                landed.append(start)
            elif flown.sequence <= newest:
                lost.append((start, flown))
        for start in landed:
            self._left -= self._flown.pop(start).end - start
        self._lose(lost)
        if lost or landed:
            self.lost += len(lost)
            self.arrived += len(landed)
            weight = min(1.0, (len(lost) + len(landed)) / 2_000)
            self.loss += weight * (len(lost) / (len(lost) + len(landed)) - self.loss)

    def _lose(self, lost: list[tuple[int, _Flown]]) -> None:
        for start, flown in lost:
            ahead = self._ahead.get(start // (self._symbol * BLOCK))
            if ahead and flown.times == 1:  # a repair symbol that went ahead may have made it good already
                flown.sequence = max(flown.sequence, ahead.pop())
                flown.times += 1
                continue
            del self._flown[start]
            self._again.append((start, flown.end, flown.times))

    def _look_ahead(self, what: Send) -> None:
        block = what.start // (self._symbol * BLOCK)
        if self._next is None and block in self._repairable and self.loss >= _WORTH_REPAIR:
            self._extra.extend([block] * math.ceil(BLOCK * self.loss))

    def _repair(self, block: int) -> int:
        self._made[block] = self._made.get(block, -1) + 1
        return self._made[block]


@dataclass(slots=True)
class _Block:
    symbols: dict[int, bytes]
    repairs: dict[int, bytes]


class Incoming:
    """The receiver's side of one object.

    Args:
        size: bytes of the whole.
        held: what of it is here.
        symbol: bytes of a symbol.
        repairs: whether to keep what repair symbols need; about one block for each that has a gap.
    """

    MOST_BLOCKS = 256
    """Unfinished blocks that are kept in memory; those beyond are made good by exact symbols."""

    def __init__(self, size: int, held: Spans, symbol: int, *, repairs: bool = False) -> None:
        self.size = size
        self._symbol = symbol
        missing = held.missing(size)
        self._missing = dict(symbols_of(missing, symbol))
        self._repairable = blocks_of(missing, size, symbol) if repairs else frozenset[int]()
        self._blocks: dict[int, _Block] = {}
        self._top = 0

    @property
    def complete(self) -> bool:
        """Whether every byte is here."""
        return not self._missing

    @property
    def missing(self) -> Spans:
        """What is not here."""
        return Spans.of(self._missing.items())

    def arrived(self, start: int, data: memoryview) -> bool:
        """Whether these bytes are new; if so they count as here from now on."""
        end = start + len(data)
        if self._missing.get(start) == end:
            del self._missing[start]
        elif end > self.size or not self._cut(start, end):
            return False
        self._top = max(self._top, end)
        if self._repairable:
            self._keep(start, data)
        return True

    def gaps(self, most: int) -> tuple[Spans, int]:
        """The first ``most`` gaps, and the byte before which no other is."""
        found: list[Span] = []
        for start, stop in self._missing.items():
            end = self.size if start >= self._top else stop  # nothing is known to be here behind the last arrival
            if found and found[-1].end == start:
                found[-1] = Span(found[-1].start, end)
            elif len(found) == most:
                return Spans(tuple(found)), found[-1].end
            else:
                found.append(Span(start, end))
            if end == self.size:
                break
        return Spans(tuple(found)), self.size

    def repaired(self, block: int, number: int, data: memoryview) -> bool:
        """Keep a repair symbol; whether there is enough now to try and :meth:`solve` the block."""
        if block not in self._repairable or len(data) != self._symbol:
            return False
        kept = self._blocks.get(block)
        if kept is None:
            if len(self._blocks) >= self.MOST_BLOCKS or not self._lacks(block):
                return False
            kept = self._blocks[block] = _Block({}, {})
        kept.repairs[number] = bytes(data)
        return self.solvable(block)

    def solvable(self, block: int) -> bool:
        """Whether there are repair symbols for a block, and with them enough to try and solve it."""
        kept = self._blocks.get(block)
        return kept is not None and bool(kept.repairs) and (len(kept.symbols) + len(kept.repairs) >= self._count(block))

    def puzzle(self, block: int) -> tuple[int, dict[int, bytes], dict[int, bytes]]:
        """Bytes of a block, its symbols by place, and its repair symbols by number."""
        kept = self._blocks[block]
        first = block * BLOCK * self._symbol
        return min(BLOCK * self._symbol, self.size - first), kept.symbols, kept.repairs

    def solved(self, block: int, data: bytes) -> list[tuple[int, memoryview]]:
        """The bytes of a block are known: those that were missing, with their offsets."""
        first = block * BLOCK * self._symbol
        whole = memoryview(data)
        wanted = Spans((Span(first, first + len(data)),))
        news: list[tuple[int, memoryview]] = []
        for start, end in symbols_of(wanted, self._symbol):
            if self._missing.pop(start, None) is not None:
                news.append((start, whole[start - first : end - first]))
        self._blocks.pop(block, None)
        return news

    def _keep(self, start: int, data: memoryview) -> None:
        block, offset = divmod(start, BLOCK * self._symbol)
        if block not in self._repairable:
            return
        kept = self._blocks.get(block)
        if kept is None:
            if len(self._blocks) >= self.MOST_BLOCKS:
                return
            kept = self._blocks[block] = _Block({}, {})
        kept.symbols[offset // self._symbol] = bytes(data)
        if len(kept.symbols) == self._count(block):
            del self._blocks[block]

    def _lacks(self, block: int) -> bool:
        first = block * BLOCK
        return any(place * self._symbol in self._missing for place in range(first, first + BLOCK))

    def _count(self, block: int) -> int:
        return min(BLOCK, -(-(self.size - block * BLOCK * self._symbol) // self._symbol))

    def _cut(self, start: int, end: int) -> bool:
        """A piece that is not on our grid, of a sender that knows less of what is here."""
        here = Spans.of([*Spans.of(self._missing.items()).missing(self.size), Span(start, end)])
        before = sum(stop - begin for begin, stop in self._missing.items())
        left = here.missing(self.size)
        if left.count == before:
            return False
        self._missing = dict(symbols_of(left, self._symbol))
        return True
