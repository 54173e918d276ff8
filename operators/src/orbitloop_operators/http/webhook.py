"""Admission reviews over TLS: ``POST /review``."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from orbitloop.domain.errors import BadInput

_LOG = logging.getLogger(__name__)

PATH = "/review"
LARGEST_REVIEW = 8 * 1024 * 1024
"""Bytes; the API server takes objects of 3 MiB, and a review of an update holds two."""
_DIGITS = 12
_AT_ONCE = 32
_SILENCE_S = 15.0

Judge = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""From a review to its answer; raises ``BadInput`` for what is no review."""


class _Handler(BaseHTTPRequestHandler):
    """One connection, in a thread of its own."""

    judge: ClassVar[Judge]
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE_S

    def do_POST(self) -> None:  # http.server's name
        """Answer one review."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            self._complain(411, "say how long it is, by Content-Length")
        elif len(length) > _DIGITS or int(length) > LARGEST_REVIEW:
            self._complain(413, f"a review has at most {LARGEST_REVIEW} bytes")
        else:
            body = self.rfile.read(int(length))  # also of another path: a close with bytes unread would cut the answer
            if self.path.partition("?")[0] == PATH:
                self._answer(body)
            else:
                self._complain(404, f"ask for {PATH}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Say nothing: reviews come with every apply."""

    def _answer(self, body: bytes) -> None:
        try:
            review = json.loads(body)
            if not isinstance(review, dict):
                raise BadInput("a review is an object")
            said = type(self).judge(review)
        except (ValueError, RecursionError) as error:
            self._complain(400, f"a review is JSON ({error})")
        except BadInput as error:
            self._complain(400, str(error))
        else:
            self._say(200, said)

    def _complain(self, status: int, why: str) -> None:
        self.close_connection = True  # what else was sent is not read
        self._say(status, {"message": why})

    def _say(self, status: int, document: Mapping[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    """Connections are encrypted, and bounded in number; who is slow or speaks no TLS holds up nobody else."""

    daemon_threads = True
    context: ssl.SSLContext

    def __init__(self, address: tuple[str, int], handler: type[_Handler]) -> None:
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._open: set[ssl.SSLSocket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread, if there is one left."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands, answer, and free the slot."""
        try:
            request.settimeout(_SILENCE_S)
            with self.context.wrap_socket(request, server_side=True) as encrypted:
                self._open.add(encrypted)
                try:
                    self.finish_request(encrypted, client_address)
                finally:
                    self._open.discard(encrypted)
        except OSError as error:
            _LOG.info("webhook_connection_broke", extra={"peer": str(client_address), "why": str(error)})
        finally:
            self.shutdown_request(request)
            self._slots.release()

    def hang_up(self) -> None:
        """End the connections that clients keep for their next request."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):  # it ended by itself
                connection.shutdown(socket.SHUT_RDWR)


class Webhook:
    """Answers reviews from :meth:`start` to :meth:`stop`.

    Args:
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        judge: answers one review.
    """

    def __init__(self, host: str, port: int, judge: Judge) -> None:
        self._address = host, port
        self._handler = type("_Reviewing", (_Handler,), {"judge": staticmethod(judge)})
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """Where it listens, once it has been started."""
        assert self._server is not None
        port: int = self._server.server_address[1]
        return port

    def start(self, chain: bytes, key: bytes) -> None:
        """Answer in threads of its own.

        Args:
            chain: its certificate, PEM.
            key: of the certificate, PEM.

        Raises:
            BadInput: the port is taken, or the address is not this machine's.
        """
        try:
            self._server = _Server(self._address, self._handler)
        except OSError as error:
            raise BadInput(
                f"the admission webhook cannot listen on {self._address[0]}:{self._address[1]} ({error}); "
                "give another --admission-port, 0 for any"
            ) from None
        self.renew(chain, key)
        threading.Thread(target=self._server.serve_forever, name="admission", daemon=True).start()

    def renew(self, chain: bytes, key: bytes) -> None:
        """Show another certificate from the next connection on."""
        assert self._server is not None
        self._server.context = _context(chain, key)

    def stop(self) -> None:
        """Answer no more; idempotent."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self._server = None


def _context(chain: bytes, key: bytes) -> ssl.SSLContext:
    """TLS with this certificate. OpenSSL wants a file: it gets one that is in memory alone."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2  # API servers before 1.19 speak no 1.3
    held = os.memfd_create("webhook")
    try:
        os.write(held, key + chain)
        made.load_cert_chain(f"/proc/self/fd/{held}")
    finally:
        os.close(held)
    return made
