"""uvicorn behind doors of our own: mutual TLS, or plain HTTP for those who run the ground."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from datetime import timedelta
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Bytes
from orbitloop_ground.http.connections import Acceptor, Doors, Pace, PatientProtocol, Present
from orbitloop_ground.usecases.watch import NobodyWatches, Watch

_IDLE = 60
"""Seconds that a connection may rest between two requests."""


def at_once(_: str, __: Bytes) -> timedelta:
    """Nobody waits."""
    return timedelta(0)


class DoorServer(uvicorn.Server):
    """Serves at sockets that listen already.

    Args:
        context: TLS that demands a client's certificate; ``None`` for plain HTTP.
        pace: how long answers to satellites wait.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        context: ssl.SSLContext | None = None,
        doors: Doors | None = None,
        watch: Watch | None = None,
        pace: Pace = at_once,
        access_log: bool = False,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                access_log=access_log,
                log_config=None,  # logging is the caller's to set up
                lifespan="off",
                ws="none",
                loop="asyncio",
                timeout_keep_alive=_IDLE,
                timeout_graceful_shutdown=1,  # a half-open connection must not hold the end up
                h11_max_incomplete_event_size=32 * 2**10,
            )
        )
        self._context = context
        self._doors = doors or Doors()
        self._watch = watch or NobodyWatches()
        self._pace = pace

    @property
    def plain(self) -> bool:
        """Whether it speaks without TLS."""
        return self._context is None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Let connections in."""
        await self.lifespan.startup()
        self._acceptors: list[Acceptor] = []
        present = Present(self._doors.most_of, self._watch)

        def make() -> PatientProtocol:
            return PatientProtocol(
                head=self._doors.head,
                present=present,
                watch=self._watch,
                pace=self._pace,
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )

        for bound in sockets or ():
            acceptor = Acceptor(bound, make, context=self._context, doors=self._doors, watch=self._watch)
            self._acceptors.append(acceptor)
        self.servers = [*self._acceptors]  # type: ignore[list-item]  # they have what uvicorn calls of asyncio's servers
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to end; raises what keeps it from letting anybody in, rather than go on deaf."""
        for acceptor in self._acceptors:
            acceptor.check()
        return await super().on_tick(counter)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free port.

    Raises:
        BadInput: the port is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(128)  # from here on nobody else gets the port
    except OSError as error:
        bound.close()
        raise BadInput(f"cannot listen on {host} port {port}: {error.strerror}; free it or choose another") from error
    return bound


class ServerThread:
    """A server in a thread, for as long as the ``with`` block lasts.

    Raises:
        BadInput: on entering, the port is taken.
    """

    def __init__(self, server: DoorServer, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self._wanted = port
        self._server = server
        self._scheme = "http" if server.plain else "https"
        self._thread = threading.Thread(target=self._serve, name="gateway", daemon=True)
        self._socket: socket.socket | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._socket is not None, "the server is not running"
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """Where it is reached."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{self.port}"

    def __enter__(self) -> Self:
        self._socket = listen(self._host, self._wanted)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)  # noqa: TID251  # the thread says so only in a flag
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join()
        if self._socket is not None:
            self._socket.close()

    def _serve(self) -> None:
        assert self._socket is not None
        self._server.run(sockets=[self._socket])
