"""The relay in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Bytes
from orbitloop.ports.clock import Clock
from orbitloop_mission.space_link.profile import LinkProfile
from orbitloop_mission.space_link.relay import Relay
from orbitloop_mission.space_link.traffic import Traffic

_HOST = "127.0.0.1"
_LAST_PORT = 65_535
_BACKLOG = 128
_WHY_NOT = {
    errno.EADDRINUSE: "it is in use already",
    errno.EACCES: "it is reserved for the superuser",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatagramPorts:
    """Where datagrams enter and leave a link.

    Args:
        ground: host and port (IPv4) that the ground takes datagrams on.
        port: UDP port for satellites, on the same host as the link's TCP port; 0 picks a free one.
    """

    ground: tuple[str, int]
    port: int = 0


class SpaceLink:
    """A space link on this machine: satellites connect to :attr:`port` and reach the ground, while a pass is on.

    What the client sends is the downlink, what the target answers is the uplink. Outside of the contact windows a
    connection is reset; when a window ends, every open one is, in the middle of whatever it carries. Handshakes are
    local: the delay applies to bytes, not to opening a connection. Datagrams share both directions with the
    connections; outside of the windows they are dropped.

    Use it, once, in a ``with`` statement. All methods may be called from any thread.

    Args:
        target: host and port of the ground gateway (IPv4).
        clock: mission time. Rates and delay run at wall speed; windows open and close by this clock, which may jump.
        plan: contact windows.
        profile: what the link is like.
        seed: of everything random.
        host: IPv4 address to listen on.
        port: port to listen on; 0 picks a free one, which :attr:`port` tells once the link is open.
        datagrams: carry datagrams too; :attr:`datagram_port` tells where, once the link is open.
    """

    def __init__(
        self,
        target: tuple[str, int],
        *,
        clock: Clock,
        plan: tuple[ContactWindow, ...],
        profile: LinkProfile | None = None,
        seed: int = 0,
        host: str = _HOST,
        port: int = 0,
        datagrams: DatagramPorts | None = None,
    ) -> None:
        self.port = port
        self.datagram_port: int | None = None
        self._host = host
        self._datagrams = datagrams
        self._relay = Relay(target, clock, plan, profile=profile or LinkProfile(), seed=seed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to listen. Raises ``BadInput`` if a port cannot be had."""
        with contextlib.ExitStack() as opened:
            listener = opened.enter_context(_listen(socket.SOCK_STREAM, self._host, self.port))
            self.port = listener.getsockname()[1]
            datagrams = None
            if self._datagrams is not None:
                inbox = opened.enter_context(_listen(socket.SOCK_DGRAM, self._host, self._datagrams.port))
                self.datagram_port = inbox.getsockname()[1]
                datagrams = (inbox, self._datagrams.ground)
            sockets = opened.pop_all()
        started: Future[None] = Future()

        def run() -> None:
            with sockets, contextlib.suppress(asyncio.CancelledError):
                asyncio.run(self._serve(listener, datagrams, started))

        self._thread = threading.Thread(target=run, name="space-link", daemon=True)
        self._thread.start()
        started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Reset every open connection and stop listening."""
        if self._loop is None or self._serving is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join()
        self._loop = self._serving = self._thread = None

    def use_plan(self, plan: tuple[ContactWindow, ...]) -> None:
        """Replace the contact plan. Connections whose pass, by the new plan, is not on now are lost at once."""
        self._in_loop(lambda: self._relay.use_plan(plan))

    def cut_after(self, *, down: Bytes | None = None, up: Bytes | None = None) -> None:
        """Inject a fault: lose every connection, once, after so many more bytes have been delivered.

        The window stays open, so satellites may connect again. Each call replaces what an earlier one asked for;
        ``cut_after()`` takes it back.

        Raises:
            BadInput: a negative number of bytes.
        """
        if min(down or 0, up or 0) < 0:
            raise BadInput(f"cannot cut after {down} bytes down, {up} up; give numbers from 0")
        self._in_loop(lambda: self._relay.cut_after(down, up))

    def lose_signal(self) -> None:
        """Inject a fault: lose the signal for an instant. Connections are reset, datagrams in flight are gone."""
        self._in_loop(self._relay.lose_signal)

    def alive(self) -> bool:
        """Whether the link is open."""
        return self._thread is not None and self._thread.is_alive()

    def traffic(self) -> Traffic:
        """What has crossed so far, counted at delivery."""
        return self._relay.traffic()

    async def _serve(
        self,
        listener: socket.socket,
        datagrams: tuple[socket.socket, tuple[str, int]] | None,
        started: Future[None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._serving = asyncio.current_task()
        started.set_result(None)
        await self._relay.serve(listener, datagrams)

    def _in_loop(self, act: Callable[[], None]) -> None:
        if self._loop is None:
            act()
            return

        async def acted() -> None:
            act()

        asyncio.run_coroutine_threadsafe(acted(), self._loop).result()


def _listen(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    if not 0 <= port <= _LAST_PORT:
        raise BadInput(f"port {port} does not exist; choose one from 0 (any free one) to {_LAST_PORT}")
    listener = socket.socket(socket.AF_INET, kind)
    try:
        listener.setblocking(False)
        if kind is socket.SOCK_STREAM:
            # Connections of a link that was killed may linger on the port; datagram sockets have nothing to linger.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        if kind is socket.SOCK_STREAM:
            listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        why = _WHY_NOT.get(error.errno or 0)
        if why is None:
            raise
        raise BadInput(
            f"the space link cannot listen on {host}:{port}: {why}; stop what listens there, "
            "or choose another port (0 picks a free one)"
        ) from error
    return listener
