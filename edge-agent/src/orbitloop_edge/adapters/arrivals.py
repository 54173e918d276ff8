"""Bytes on their way from the thread that receives datagrams to the one that keeps what they bring."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from orbitloop.adapters.datagram_session import Session
from orbitloop.domain.bulk import Incoming
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import Bytes


class Arrivals:
    """Bytes of an artifact between the thread that receives them and the one that keeps them."""

    def __init__(self, number: int, size: Bytes, missing: Spans) -> None:
        self.number, self._size, self._held = number, size, missing.missing(size)
        self.came: deque[tuple[int, bytes]] = deque()
        self.taken = True
        self.incoming: Incoming | None = None

    def expect(self, session: Session) -> None:
        """Let ``session`` fill them."""
        self.incoming = session.take(self.number, self._size, self._held, self._keep, settled=self._settled)

    def _keep(self, start: int, piece: memoryview) -> None:
        self.came.append((start, bytes(piece)))

    def _settled(self) -> bool:
        return self.taken and not self.came


def joined(pieces: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The same pieces, those that follow each other put together."""
    position, gathered = -1, bytearray()
    for start, piece in pieces:
        if start != position and gathered:
            yield position - len(gathered), bytes(gathered)
            gathered.clear()
        gathered += piece
        position = start + len(piece)
    if gathered:
        yield position - len(gathered), bytes(gathered)
