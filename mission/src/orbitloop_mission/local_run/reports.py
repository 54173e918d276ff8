"""The Local Controller of a run: takes what workers report, as Sedna's workers send it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast
from urllib.parse import unquote

from orbitloop.domain.errors import BadInput
from orbitloop.wire.worker_messages import OWNER_KINDS, Reply, WorkerInfo, read_worker_info

_MOST_BYTES = 2**20


@contextmanager
def taking_reports(remembered: Path, take: Callable[[WorkerInfo], object]) -> Iterator[str]:
    """Take reports while the block lasts; its URL, as ``LC_SERVER`` has it.

    Args:
        remembered: file with the port of the last time, which is taken again if it is free: pods that are carried
            out again know no other.
        take: called with each report, from several threads.
    """
    server = _bound(remembered, take)
    remembered.write_text(str(server.server_port))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _bound(remembered: Path, take: Callable[[WorkerInfo], object]) -> _Server:
    try:
        return _Server(("127.0.0.1", int(remembered.read_text())), take)
    except (OSError, ValueError, OverflowError):
        return _Server(("127.0.0.1", 0), take)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], take: Callable[[WorkerInfo], object]) -> None:
        self.take = take
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """One report."""
        reply = self._answer()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(reply.body())

    def _answer(self) -> Reply:
        parts = [unquote(part) for part in self.path.split("/")]
        if parts[:3] != ["", "sedna", "workers"] or len(parts) != 5 or parts[4] != "info":
            return Reply(status=404, message=f"there is no {self.path}")
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _MOST_BYTES:
            return Reply(status=413, message=f"a report has a Content-Length of at most {_MOST_BYTES}")
        try:
            info = read_worker_info(self.rfile.read(int(length)))
        except BadInput as error:
            return Reply(status=400, message=str(error))
        if info.name != parts[3]:
            return Reply(status=400, message=f"worker name {info.name} in the body is not {parts[3]} of the path")
        if info.owner_kind in OWNER_KINDS:
            cast(_Server, self.server).take(info)
        return Reply()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # named by http.server
        """Nothing: what came in is shown by the job."""
