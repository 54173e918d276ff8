"""What arrived before a cut counts.

An ASGI server throws away the part of a body that the application has not asked for when the connection ends. Here it
is asked for as soon as it arrives, whatever else the request is waiting for.
"""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST = 512 * 2**10
"""Bytes that may wait in memory; then the sender has to."""


class Arrivals:
    """ASGI middleware that keeps up to 512 KiB of a request's body for the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kept = _Kept(receive)
        gathering = asyncio.create_task(kept.gather())
        try:
            await self._app(scope, kept.receive, send)
        finally:
            gathering.cancel()


class _Kept:
    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: deque[Message] = deque()
        self._size = 0
        self._changed = asyncio.Condition()

    async def gather(self) -> None:
        ended = False
        while not ended:
            message = await self._receive()
            ended = message["type"] == "http.disconnect"
            async with self._changed:
                self._messages.append(message)
                self._size += len(message.get("body", b""))
                self._changed.notify_all()
                await self._changed.wait_for(lambda: self._size < _MOST)

    async def receive(self) -> Message:
        async with self._changed:
            await self._changed.wait_for(lambda: self._messages)
            if self._messages[0]["type"] == "http.disconnect":
                return self._messages[0]  # it stays the answer, however often it is asked for
            message = self._messages.popleft()
            self._size -= len(message.get("body", b""))
            self._changed.notify_all()
            return message
