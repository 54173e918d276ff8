"""Connections: who gets one, how long it may dawdle, and what crosses it.

uvicorn is given sockets that have shaken hands. Whoever does not, in time and with a certificate of the authority's,
never reaches it; whoever does has only so long for the head of a request.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from orbitloop.domain.units import Bytes
from orbitloop_ground.http.identity import PEER, Peer, peer_of
from orbitloop_ground.usecases.watch import Refusal, Watch, Way

_CERTIFICATE_HAS_EXPIRED = 10
"""X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL."""
Pace = Callable[[str, Bytes], timedelta]
"""How long to wait before so many bytes go to an address."""
_BREATH = 0.2
"""Seconds until the next try when the process has no descriptors left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Who gets in, and how fast they have to be.

    Args:
        handshake: time for the TLS handshake.
        head: time for the head of a request, from its first byte; on a fresh connection, from the handshake.
        most: connections in all.
        most_from: connections from one address, satellites behind the same relay together.
        most_of: connections of one satellite; a new one then takes the place of the oldest.
    """

    handshake: timedelta = timedelta(seconds=10)
    head: timedelta = timedelta(seconds=10)
    most: int = 512
    most_from: int = 128
    most_of: int = 16


class Acceptor:
    """Lets connections in at one listening socket; has what uvicorn asks of an :class:`asyncio.Server`."""

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], PatientProtocol],
        *,
        context: ssl.SSLContext | None,
        doors: Doors,
        watch: Watch,
    ) -> None:
        self._listening = listening
        self._make = make
        self._context = context
        self._doors = doors
        self._watch = watch
        self._open: Counter[str] = Counter()
        self._shaking: set[asyncio.Task[None]] = set()
        listening.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    def close(self) -> None:
        """Let nobody in any more; those who are in stay."""
        self._accepting.cancel()
        for shaking in self._shaking:
            shaking.cancel()

    def check(self) -> None:
        """Raises what kept it from letting anybody in any more, if anything did."""
        if self._accepting.done() and not self._accepting.cancelled():
            self._accepting.result()

    async def wait_closed(self) -> None:
        """Until nobody is at the door."""
        await asyncio.gather(self._accepting, *self._shaking, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listening)
            except OSError:  # out of descriptors, or the peer is gone already
                await asyncio.sleep(_BREATH)
                continue
            if self._open.total() >= self._doors.most or self._open[address[0]] >= self._doors.most_from:
                connection.close()
                self._watch.refused(Refusal.TOO_MANY)
                continue
            self._open[address[0]] += 1
            shaking = loop.create_task(self._shake_hands(connection, address[0]))
            self._shaking.add(shaking)
            shaking.add_done_callback(self._shaking.discard)

    async def _shake_hands(self, connection: socket.socket, address: str) -> None:
        protocol = self._make()
        protocol.when_lost(lambda: self._forget(address))
        seconds = self._doors.handshake.total_seconds() if self._context is not None else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, connection, ssl=self._context, ssl_handshake_timeout=seconds
            )
        except (OSError, asyncio.CancelledError) as error:
            connection.close()
            protocol.lose()
            if isinstance(error, asyncio.CancelledError):
                raise
            if (why := _why(error)) is not None:
                self._watch.refused(why)

    def _forget(self, address: str) -> None:
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


def _why(error: OSError) -> Refusal | None:
    """Why a handshake failed; ``None`` if the peer or the signal went away by itself."""
    match error:
        case ssl.SSLCertVerificationError():
            return Refusal.EXPIRED if error.verify_code == _CERTIFICATE_HAS_EXPIRED else Refusal.STRANGER
        case ssl.SSLEOFError() | ConnectionResetError():
            return None
        case ssl.SSLError():
            return Refusal.STRANGER
        case ConnectionAbortedError():
            return Refusal.TOO_SLOW
        case _:
            return None


class Present:
    """The connections of each satellite, the oldest first."""

    def __init__(self, most: int, watch: Watch) -> None:
        self._most = most
        self._watch = watch
        self._of: dict[str, OrderedDict[PatientProtocol, None]] = {}

    def enter(self, satellite: str, protocol: PatientProtocol) -> None:
        """One more; after a loss of signal the oldest often only looks alive."""
        present = self._of.setdefault(satellite, OrderedDict())
        if len(present) >= self._most:
            oldest, _ = present.popitem(last=False)
            oldest.transport.abort()
            self._watch.refused(Refusal.TOO_MANY)
        present[protocol] = None

    def leave(self, satellite: str, protocol: PatientProtocol) -> None:
        """It is over."""
        present = self._of.get(satellite, OrderedDict())
        present.pop(protocol, None)
        if not present:
            self._of.pop(satellite, None)


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that knows its peer, and waits for the head of a request only so long."""

    def __init__(self, *, head: timedelta, present: Present, watch: Watch, pace: Pace, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._head = head.total_seconds()
        self._pace = pace
        self._present = present
        self._watch = watch
        self._lost: Callable[[], None] | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._peer: Peer | None = None

    def when_lost(self, call: Callable[[], None]) -> None:
        """Have ``call`` called once, when the connection ends or never begins."""
        self._lost = call

    def lose(self) -> None:
        """The connection has ended, or never began."""
        if self._lost is not None:
            self._lost()
            self._lost = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The handshake is over."""
        super().connection_made(transport)
        self._peer = peer_of(transport.get_extra_info("peercert"))
        if self._peer is not None:
            self.app = _Observed(self.app, self._peer, self._watch, self._pace)
            self._present.enter(self._peer.satellite, self)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._waiting is None and self.conn.their_state is h11.IDLE:
            self._wait()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._stop_waiting()
        if self._peer is not None:
            self._present.leave(self._peer.satellite, self)
        super().connection_lost(exc)
        self.lose()

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self._head, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._watch.refused(Refusal.TOO_SLOW)
        self.transport.abort()


class _Observed:
    """Names the peer in the scope of its requests, tells what crosses, and keeps answers to the rate of the link."""

    def __init__(self, app: ASGIApp, peer: Peer, watch: Watch, pace: Pace) -> None:
        self._app = app
        self._peer = peer
        self._watch = watch
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PEER] = self._peer

        async def receiving() -> Message:
            return self._seen(await receive(), Way.IN)

        async def sending(message: Message) -> None:
            if body := message.get("body", b""):
                await asyncio.sleep(self._pace(scope["client"][0], Bytes(len(body))).total_seconds())
            await send(self._seen(message, Way.OUT))

        await self._app(scope, receiving, sending)

    def _seen(self, message: Message, way: Way) -> Message:
        self._watch.crossed(self._peer.satellite, way, Bytes(len(message.get("body", b""))))
        return message
