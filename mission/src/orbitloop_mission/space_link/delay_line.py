"""Bytes in flight."""

from __future__ import annotations

import asyncio
import time
from collections import deque


class DelayLine:
    """A queue whose chunks come out no sooner than they are due, in the order in which they went in.

    It holds a bounded number of bytes: a sender waits while the line is full, because the far end does not take its
    bytes. For one sender and one receiver in one event loop.
    """

    def __init__(self) -> None:
        self._flying: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()

    async def put(self, chunk: bytes, *, due: int, limit: int) -> None:
        """Let ``chunk`` fly until ``due`` (monotonic nanoseconds), once it fits under ``limit`` bytes in flight.

        A chunk always fits into an empty line. An empty chunk marks the end of the stream.
        """
        while self._flying and self._bytes + len(chunk) > limit:
            await self._change()
        self._flying.append((due, chunk))
        self._bytes += len(chunk)
        self._changed.set()

    async def get(self) -> bytes:
        """The next chunk, once it is due."""
        while not self._flying:
            await self._change()
        due, chunk = self._flying[0]
        while (wait := due - time.monotonic_ns()) > 0:
            await asyncio.sleep(wait / 1e9)
        self._flying.popleft()
        self._bytes -= len(chunk)
        self._changed.set()
        return chunk

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
