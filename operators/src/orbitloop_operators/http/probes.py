"""Health and metrics: ``/healthz``, ``/readyz``, ``/metrics``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from orbitloop.domain.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """What is asked.

    Args:
        ready: whether all is watched and the lease is ours.
        metrics: in the words of Prometheus.
    """

    ready: Callable[[], bool]
    metrics: Callable[[], bytes]


class _Handler(BaseHTTPRequestHandler):
    probes: ClassVar[Probes]
    timeout = 10.0  # seconds of silence

    def do_GET(self) -> None:  # http.server's name
        """Answer one probe."""
        match self.path:
            case "/healthz":
                self._say(200, b"ok\n")
            case "/readyz":
                self._say(*((200, b"ready\n") if self.probes.ready() else (503, b"not ready\n")))
            case "/metrics":
                self._say(200, self.probes.metrics())
            case _:
                self._say(404, b"ask for /healthz, /readyz or /metrics\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Say nothing: probes come every few seconds."""

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve_probes(host: str, port: int, probes: Probes) -> ThreadingHTTPServer:
    """Answer in threads of their own until the server is shut down; its port is in ``server_port``.

    Raises:
        BadInput: the port is taken, or the address is not this machine's.
    """
    handler = type("_Answering", (_Handler,), {"probes": probes})
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise BadInput(
            f"probes cannot listen on {host}:{port} ({error}); give another --probes-port, 0 for any"
        ) from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return server
