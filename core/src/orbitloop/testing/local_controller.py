"""A Local Controller that takes workers' reports on a real socket and remembers them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import unquote

from orbitloop.domain.errors import BadInput
from orbitloop.wire.worker_messages import Reply, WorkerInfo, check_worker, read_worker_info


class RecordingLocalController:
    """Answers ``POST /sedna/workers/{name}/info`` as Sedna's does.

    Args:
        answers: statuses of the first requests, in order; later ones are judged by their bodies.
        silent: take connections, and never answer.
    """

    def __init__(self, *, answers: tuple[int, ...] = (), silent: bool = False) -> None:
        self.reports: list[WorkerInfo] = []
        self.bodies: list[bytes] = []
        self.silent = silent
        self.requests = 0
        self._answers = list(answers)
        self._news = threading.Condition()
        self._end = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self)

    @property
    def url(self) -> str:
        """What ``LC_SERVER`` says."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def wait_for(self, count: int, *, seconds: float = 60) -> list[WorkerInfo]:
        """The reports, once there are ``count``.

        Raises:
            TimeoutError: there are fewer after ``seconds``.
        """
        with self._news:
            if not self._news.wait_for(lambda: len(self.reports) >= count, timeout=seconds):
                raise TimeoutError(f"{len(self.reports)} of {count} reports came in {seconds} s: {self.reports}")
            return list(self.reports)

    def take(self, name: str, body: bytes) -> Reply | None:
        """The answer to one request, none where it is silent."""
        with self._news:
            self.requests += 1
            if self.silent:
                return None
            if self._answers:
                status = self._answers.pop(0)
                return Reply(status=status, message="as told")
            try:
                info = read_worker_info(body)
                check_worker(name, info.name)
            except BadInput as error:
                return Reply(status=400, message=str(error))
            self.reports.append(info)
            self.bodies.append(body)
            self._news.notify_all()
            return Reply()

    @contextmanager
    def running(self) -> Iterator[RecordingLocalController]:
        """Serve while the block lasts."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._end.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def hold(self) -> None:
        """Return when it ends."""
        self._end.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], controller: RecordingLocalController) -> None:
        self.controller = controller
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """One report."""
        controller = cast(_Server, self.server).controller
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = [unquote(part) for part in self.path.split("/")]
        if parts[:3] != ["", "sedna", "workers"] or len(parts) != 5 or parts[4] != "info":
            reply: Reply | None = Reply(status=404, message=self.path)
        else:
            reply = controller.take(parts[3], body)
        if reply is None:
            controller.hold()
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(reply.body())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # named by http.server
        """Nothing: what came is in ``reports``."""
