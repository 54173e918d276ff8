"""Port 9100: where workers on the node report, in Sedna's words or in the strict ones.

By the standard library alone: what flies stays light. Bodies, silences and connections are bounded.
"""

from __future__ import annotations

import http.server
import json
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

from orbitloop.domain.errors import BadInput, NotYet, OrbitloopError, Refused
from orbitloop.wire.worker_messages import Reply, check_worker, read_strict_worker_info, read_worker_info
from orbitloop_edge.usecases.worker_reports import UnknownOwner, WorkerReports

_log = logging.getLogger(__name__)

LARGEST_BODY = 2**20
"""Bytes of one report."""
_SILENCE_S = 10
_MOST_CONNECTIONS = 32
_PIECE = 2**16
_MOST_PASSED_OVER = 16 * 2**20


class _Wrong(Refused):
    """A request that is refused before its body is of interest."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back."""

    status: HTTPStatus
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What the port offers.

    Args:
        reports: takes what workers report.
        state: what the node would tell of itself, for people who look.
    """

    reports: WorkerReports
    state: Callable[[], Mapping[str, Any]]

    def post(self, path: str, body: Callable[[], bytes]) -> Answer:
        """Answer a POST; what is wrong with it is raised."""
        match _parts(path):
            case ["sedna", "workers", worker, "info"]:
                info = read_worker_info(body())
                check_worker(worker, info.name)
                self.reports.take(info)
            case ["v1", "workers", namespace, worker, "info"]:
                strict = read_strict_worker_info(body())
                check_worker(worker, strict.name)
                if strict.namespace != namespace:
                    raise BadInput(f"namespace {strict.namespace!r} of the body is not {namespace!r} of the path")
                self.reports.take_strict(strict)
            case _:
                raise _unknown(path)
        return Answer(status=HTTPStatus.OK, body=Reply().body())

    def get(self, path: str) -> Answer:
        """Answer a GET; what is wrong with it is raised."""
        match _parts(path):
            case ["healthz"]:
                return Answer(status=HTTPStatus.OK, body=Reply().body())
            case ["v1", "state"]:
                return Answer(status=HTTPStatus.OK, body=json.dumps(self.state(), indent=2).encode())
            case _:
                raise _unknown(path)


def _parts(path: str) -> list[str]:
    return [unquote(part) for part in path.partition("?")[0].strip("/").split("/")]


def _unknown(path: str) -> _Wrong:
    return _Wrong(
        HTTPStatus.NOT_FOUND,
        f"there is no {path[:200]}; workers POST to /sedna/workers/NAME/info or /v1/workers/NAMESPACE/NAME/info",
    )


def _status_of(error: OrbitloopError) -> HTTPStatus:
    match error:
        case _Wrong(status=status):
            return status
        case UnknownOwner():
            return HTTPStatus.NOT_FOUND
        case NotYet():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            return HTTPStatus.BAD_REQUEST


class LocalControllerServer(http.server.ThreadingHTTPServer):
    """Serves while the block lasts.

    Args:
        host: address to listen at; this machine's own, unless workers have a network of their own.
        port: 9100 by custom; 0 for one that is free.
        routes: what is offered.

    Raises:
        BadInput: the address cannot be had.
    """

    daemon_threads = True
    timeout = 5  # seconds; then it looks whether to end
    request_queue_size = 64

    def __init__(self, host: str, port: int, routes: Routes) -> None:
        self.routes = routes
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="port-9100")
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise BadInput(
                f"localController: cannot listen at {host}:{port}: {error.strerror or error}; "
                "name another port, or end what holds it"
            ) from error

    def __enter__(self) -> LocalControllerServer:
        self._thread.start()
        _log.info("local_controller_serves", extra={"port": self.server_port})
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._knock()
        self._thread.join()
        self.server_close()

    def _serve(self) -> None:
        while not self._end.is_set():
            self.handle_request()

    def _knock(self) -> None:
        """End the wait for the next connection. Waiting costs nothing that way, and a satellite waits all day."""
        host, port, *_ = self.server_address
        try:
            socket.create_connection((str(host), int(port)), timeout=1).close()
        except OSError as error:
            _log.info("not_woken", extra={"why": str(error)})  # the wait ends by itself

    def server_bind(self) -> None:
        """Bind, without asking who this machine is by name: there may be nobody to ask."""
        socketserver.TCPServer.server_bind(self)
        host, port, *_ = self.server_address
        self.server_name, self.server_port = str(host), int(port)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread for a connection, unless there are too many: it is told to come again."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        _log.warning("too_many_connections", extra={"most": _MOST_CONNECTIONS})
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # named by socketserver
        """Log what nobody foresaw; the connection ends without an answer, and the worker tries again."""
        _log.exception("request_failed", extra={"client": str(client_address)})


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # or curl waits before it sends a body
    server_version = "orbitloop"
    sys_version = ""
    timeout = _SILENCE_S

    def do_POST(self) -> None:
        """One report."""
        self._answer(lambda: self._routes.post(self.path, self._body))

    def do_GET(self) -> None:
        """Health and state."""
        self._answer(lambda: self._routes.get(self.path))

    @property
    def _routes(self) -> Routes:
        return cast(LocalControllerServer, self.server).routes

    def _answer(self, asked: Callable[[], Answer]) -> None:
        self.close_connection = True
        try:
            self._send(self._judged(asked))
        except (TimeoutError, ConnectionError) as error:
            _log.warning("request_cut", extra={"path": self.path[:200], "why": str(error)})

    def _judged(self, asked: Callable[[], Answer]) -> Answer:
        try:
            return asked()
        except OrbitloopError as error:
            status = _status_of(error)
            _log.warning("request_refused", extra={"path": self.path[:200], "status": status, "why": str(error)})
            return Answer(status=status, body=Reply(status=status, message=str(error)).body())

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def _body(self) -> bytes:
        """The body, if it is of a kind and size that is read."""
        if self.headers.get("Transfer-Encoding"):
            raise _Wrong(HTTPStatus.LENGTH_REQUIRED, "send the body with a Content-Length, not in chunks")
        text = self.headers.get("Content-Length", "")
        if not (text.isascii() and text.isdigit()):
            raise _Wrong(HTTPStatus.LENGTH_REQUIRED, "send the body with a Content-Length")
        size = int(text[:20])
        if size > LARGEST_BODY:
            self._pass_over(size)
            raise _Wrong(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a report has at most {LARGEST_BODY} bytes, not {size}")
        body = bytearray()
        while len(body) < size:
            piece = self.rfile.read(min(_PIECE, size - len(body)))
            if not piece:
                raise _Wrong(HTTPStatus.BAD_REQUEST, f"the body ended after {len(body)} of {size} bytes")
            body += piece
        return bytes(body)

    def _pass_over(self, size: int) -> None:
        """Read what is under way, within limits: or many a client would see a broken connection, and no reason."""
        left = min(size, _MOST_PASSED_OVER)
        while left and (piece := self.rfile.read(min(_PIECE, left))):
            left -= len(piece)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no HTTP, or another method, in the same form as everything else."""
        status = HTTPStatus(code)
        said = explain or message or status.phrase
        self.close_connection = True
        self._send(Answer(status=status, body=Reply(status=code, message=said).body()))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # named by http.server
        """Nothing: what was taken is an event, what was refused is logged with its reason."""
