"""The gateway's composition root: settings become adapters, adapters an application, the application a server."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from orbitloop.domain.errors import BadInput
from orbitloop.ports.clock import Clock
from orbitloop.ports.sample_store import Blobs
from orbitloop.ports.uploads import Uploads
from orbitloop.wire.bundle import Limits
from orbitloop_ground.adapters.blobs import FolderBlobs
from orbitloop_ground.adapters.ledger import Ledger
from orbitloop_ground.adapters.uploads import FolderUploads
from orbitloop_ground.http import faults
from orbitloop_ground.http.arrivals import Arrivals
from orbitloop_ground.http.artifacts import ArtifactRoutes
from orbitloop_ground.http.identity import Identities
from orbitloop_ground.http.messages import MessageRoutes
from orbitloop_ground.http.uploads import BundleRoutes
from orbitloop_ground.settings import GroundSettings
from orbitloop_ground.usecases.converse import Reception
from orbitloop_ground.usecases.receive import Receiver


class WallClock:
    """The :class:`~orbitloop.ports.clock.Clock` of the real world."""

    def now(self) -> datetime:
        """The present moment, UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dependencies:
    """What the gateway is made of."""

    settings: GroundSettings
    clock: Clock
    ledger: Ledger
    blobs: Blobs
    uploads: Uploads


def compose(settings: GroundSettings, clock: Clock | None = None) -> Dependencies:
    """The adapters that ``settings`` ask for; folders are made, the ledger's tables too."""
    clock = clock or WallClock()
    settings.folder.mkdir(parents=True, exist_ok=True)
    return Dependencies(
        settings=settings,
        clock=clock,
        ledger=Ledger(settings.database_url),
        blobs=FolderBlobs(settings.folder / "blobs"),
        uploads=FolderUploads(
            settings.folder / "uploads", clock, most=settings.max_open_uploads, idle=settings.upload_expiry
        ),
    )


def create_app(parts: Dependencies) -> FastAPI:
    """The gateway as an ASGI application."""
    settings = parts.settings
    limits = Limits(packed=settings.max_bundle_bytes, unpacked=settings.max_unpacked_bytes)
    receiver = Receiver(parts.uploads, parts.blobs, parts.ledger, parts.clock, limits)
    identities = Identities({name: token.get_secret_value() for name, token in settings.tokens.items()})
    app = FastAPI(title="orbitloop gateway", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Arrivals)
    app.include_router(BundleRoutes(receiver, identities, silence=settings.silence).router())
    app.include_router(MessageRoutes(Reception(parts.ledger, parts.clock), identities).router())
    app.include_router(ArtifactRoutes(parts.ledger, identities).router())
    app.add_api_route("/healthz", _healthy, methods=["GET"])
    faults.register(app)
    return app


async def _healthy() -> dict[str, str]:
    return {"status": "ok"}


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


class GatewayServer:
    """A gateway that serves in a thread for as long as the ``with`` block lasts.

    Raises:
        BadInput: on entering, the port is taken.
    """

    def __init__(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0, access_log: bool = False) -> None:
        self._host = host
        self._wanted = port
        self._server = uvicorn.Server(_configuration(app, access_log=access_log))
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
        return f"http://{host}:{self.port}"

    def __enter__(self) -> Self:
        self._socket = listen(self._host, self._wanted)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join()
        if self._socket is not None:
            self._socket.close()

    def _serve(self) -> None:
        assert self._socket is not None
        self._server.run(sockets=[self._socket])


def serve(settings: GroundSettings) -> None:
    """Run the gateway until it is told to stop (SIGINT, SIGTERM). Raises ``BadInput`` when the port is taken."""
    bound = listen(settings.host, settings.port)
    parts = compose(settings)
    try:
        uvicorn.Server(_configuration(create_app(parts), access_log=settings.access_log)).run(sockets=[bound])
    finally:
        parts.ledger.close()
        bound.close()


def _configuration(app: ASGIApp, *, access_log: bool) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        access_log=access_log,
        log_config=None,  # logging is the caller's to set up
        lifespan="off",
        timeout_graceful_shutdown=1,  # a half-open connection must not hold the end up
        h11_max_incomplete_event_size=32 * 2**10,
    )
