"""The big model of a JointInferenceService, as a server."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, cast
from urllib.parse import unquote, urlsplit

from orbitloop.domain.errors import BadInput
from orbitloop.worker.cloud import SEDNAS_NAME
from orbitloop.worker.job import JobBase, PostProcess, callback_for
from orbitloop.worker.log import LOGGER
from orbitloop.worker.reports import Reporter
from orbitloop.worker.settings import WorkerSettings
from orbitloop.worker.wire_data import JSON, NPZ, plain, read_request

_SILENCE_SECONDS = 60
_ANYWHERE = "0.0.0.0"  # noqa: S104  # a service of a cluster is reached from other machines


class BigModelService(JobBase):
    """Serves ``GET /<service>`` and ``POST /<service>/predict``, and both under ``/sedna`` as Sedna's workers ask.

    Args:
        estimator: an instance or a class with ``predict`` and ``load``.
        settings: those of the environment, where they are not given.
        reporter: the Local Controller of the settings, where it is not given.
    """

    owner_kind: ClassVar[str] = "jointinferenceservice"

    def __init__(
        self, estimator: Any = None, *, settings: WorkerSettings | None = None, reporter: Reporter | None = None
    ) -> None:
        super().__init__(estimator, settings=settings, reporter=reporter)
        self._server: _Server | None = None

    @property
    def paths(self) -> frozenset[str]:
        """The names that the service answers to."""
        return frozenset({SEDNAS_NAME, self.settings.owner} - {""})

    @property
    def port(self) -> int:
        """The port that it listens on, once it is bound."""
        return self._server.server_port if self._server else self.settings.big_model_bind_port

    def bind(self) -> None:
        """Load the model and take the port; requests wait until :meth:`start`.

        Raises:
            BadInput: the port cannot be taken.
        """
        self._serving.load_once(self._served_path())
        host, port = self.settings.big_model_bind_ip or _ANYWHERE, self.settings.big_model_bind_port
        try:
            self._server = _Server((host, port), self)
        except OSError as error:
            raise BadInput(f"{host}:{port} cannot be listened on: {error}; set BIG_MODEL_BIND_PORT") from error

    def start(self) -> None:
        """Serve until :meth:`stop`."""
        if self._server is None:
            self.bind()
        server = cast(_Server, self._server)
        LOGGER.info("the big model listens on port %d as %s", self.port, ", ".join(sorted(self.paths)))
        try:
            server.serve_forever(poll_interval=0.1)
        finally:
            server.server_close()

    def stop(self) -> None:
        """End :meth:`start`, from another thread."""
        if self._server is not None:
            self._server.shutdown()

    def inference(self, data: Any, post_process: PostProcess = None, **kwargs: Any) -> Any:
        """The result for ``data``, post-processed by a callable or a registered name."""
        callback = callback_for(post_process)
        raw = self.infer(data, **kwargs)
        return callback(raw) if callback else raw


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], service: BigModelService) -> None:
        self.service = service
        super().__init__(address, _Handler)


class _Fault(Exception):
    """A request that gets this status and sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    timeout = _SILENCE_SECONDS
    protocol_version = "HTTP/1.1"
    server_version = "orbitloop"

    @property
    def _service(self) -> BigModelService:
        return cast(_Server, self.server).service

    def do_GET(self) -> None:
        """What is served."""
        try:
            if self._path() not in {(name,) for name in self._service.paths}:
                raise _Fault(404, f"{self.path} is not served; ask /<service> or POST /<service>/predict")
            self._answer(200, {"infos": [{"model": self._service.loaded_from, "service": self._service.job_name}]})
        except _Fault as fault:
            self._answer(fault.status, {"detail": str(fault)})

    def do_POST(self) -> None:
        """One prediction."""
        try:
            body = self._body()
            if self._path() not in {(name, "predict") for name in self._service.paths}:
                raise _Fault(404, f"{self.path} is not served; ask POST /<service>/predict")
            self._answer(200, {"result": self._predicted(body)})
        except _Fault as fault:
            self._answer(fault.status, {"detail": str(fault)})

    def _predicted(self, body: bytes) -> Any:
        try:
            data, callback = read_request(body, self._content_type())
            callback_for(callback)
        except BadInput as error:
            raise _Fault(400, str(error)) from error
        try:
            return plain(self._service.inference(data, post_process=callback))
        except Exception as error:
            LOGGER.exception("predict failed")
            raise _Fault(500, f"predict failed: {type(error).__name__}: {error}") from error

    def _path(self) -> tuple[str, ...]:
        return tuple(unquote(part) for part in urlsplit(self.path).path.split("/") if part)

    def _content_type(self) -> str:
        given = self.headers.get_content_type() if self.headers["Content-Type"] else JSON
        if given not in {JSON, NPZ}:
            raise _Fault(415, f"a body of {given} is not read; send {JSON} or {NPZ}")
        return given

    def _body(self) -> bytes:
        most = self._service.settings.orbitloop_most_request_bytes
        length = self.headers["Content-Length"] or ""
        if not length.isdecimal():
            self.close_connection = True
            raise _Fault(411, "a Content-Length is needed")
        if int(length) > most:
            self.close_connection = True
            raise _Fault(413, f"a body of {length} bytes is too large; at most {most} are taken")
        return self.rfile.read(int(length))

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", JSON)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # named by http.server
        """One line a request, for whoever debugs."""
        LOGGER.debug(format, *args)
