"""The relay in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Bytes
from orbitloop.ports.clock import Clock
from orbitloop_mission.space_link.profile import LinkProfile, Traffic
from orbitloop_mission.space_link.relay import Relay

_HOST = "127.0.0.1"
_LAST_PORT = 65_535


class SpaceLink:
    """A space link on this machine: satellites connect to :attr:`port` and reach the ground, while a pass is on.

    What the client sends is the downlink, what the target answers is the uplink. Outside of the contact windows a
    connection is reset; when a window ends, every open one is, in the middle of whatever it carries. Handshakes are
    local: the delay applies to bytes, not to opening a connection.

    Use it, once, in a ``with`` statement. All methods may be called from any thread.

    Args:
        target: host and port of the ground gateway (IPv4).
        clock: mission time. Rates and delay run at wall speed; windows open and close by this clock, which may jump.
        plan: contact windows.
        profile: rates and delay.
        port: port to listen on, on 127.0.0.1; 0 picks a free one, which :attr:`port` tells once the link is open.
    """

    def __init__(
        self,
        target: tuple[str, int],
        *,
        clock: Clock,
        plan: tuple[ContactWindow, ...],
        profile: LinkProfile | None = None,
        port: int = 0,
    ) -> None:
        self.port = port
        self._relay = Relay(target, clock, plan, profile or LinkProfile())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to listen. Raises ``BadInput`` if the port cannot be had."""
        listener = _listen(self.port)
        self.port = listener.getsockname()[1]
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(listener, started), name="space-link", daemon=True)
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

    def traffic(self) -> Traffic:
        """What has crossed so far, counted at delivery."""
        return self._relay.traffic()

    def _run(self, listener: socket.socket, started: Future[None]) -> None:
        with listener, contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._serve(listener, started))

    async def _serve(self, listener: socket.socket, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._serving = asyncio.current_task()
        started.set_result(None)
        await self._relay.serve(listener)

    def _in_loop(self, act: Callable[[], None]) -> None:
        if self._loop is None:
            act()
            return

        async def acted() -> None:
            act()

        asyncio.run_coroutine_threadsafe(acted(), self._loop).result()


def _listen(port: int) -> socket.socket:
    if not 0 <= port <= _LAST_PORT:
        raise BadInput(f"port {port} does not exist; choose one from 0 (any free one) to {_LAST_PORT}")
    try:
        listener = socket.create_server((_HOST, port), backlog=128)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "in use already" if error.errno == errno.EADDRINUSE else "reserved for the superuser"
        raise BadInput(
            f"the space link cannot listen on {_HOST}:{port}: it is {why}; stop what listens there, "
            "or choose another port (0 picks a free one)"
        ) from error
    listener.setblocking(False)
    return listener
