"""One request at a time at one bundle, the newest first.

After a loss of signal the old connection often looks alive for minutes. The satellite's next request must not wait for
it: it takes the turn away, and what the old one had received by then is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import anyio


class _Bundle:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.newest = 0
        self.receiving: anyio.CancelScope | None = None


class Turn:
    """The right to work on one bundle."""

    def __init__(self, bundle: _Bundle, number: int) -> None:
        self._bundle = bundle
        self._number = number

    async def next(self, stream: AsyncIterator[bytes], *, seconds: float) -> bytes | None:
        """What comes next, or ``None``: at the end, after ``seconds`` of silence, or when a newer request came."""
        if self._number != self._bundle.newest:
            return None
        with anyio.move_on_after(seconds) as self._bundle.receiving:
            return await anext(stream, None)
        return None


class Turns:
    """Turns by bundle; belongs to one event loop."""

    def __init__(self) -> None:
        self._bundles: WeakValueDictionary[tuple[str, str], _Bundle] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, satellite: str, name: str) -> AsyncIterator[Turn]:
        """Wait until it is this request's turn; whoever is receiving stops for it."""
        bundle = self._bundles.get((satellite, name)) or _Bundle()
        self._bundles[satellite, name] = bundle
        bundle.newest = number = bundle.newest + 1
        if bundle.receiving is not None:
            bundle.receiving.cancel()
        async with bundle.lock:
            yield Turn(bundle, number)
