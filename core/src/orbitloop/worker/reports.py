"""Reports to the Local Controller: bounded in time, and never the end of user code."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from urllib.parse import quote, urlsplit

from orbitloop.domain.errors import BadInput
from orbitloop.wire.worker_messages import WorkerInfo
from orbitloop.worker.log import LOGGER

_FIRST_WAIT = timedelta(seconds=0.5)
_MOST_OF_AN_ANSWER = 2**16


class Reporter(Protocol):
    """Where reports go."""

    def send(self, info: WorkerInfo) -> bool:
        """Hand the report over; whether it was accepted. Raises nothing and takes bounded time."""
        ...


class NoReporter:
    """For a worker without a Local Controller: reports are logged for whoever debugs."""

    def send(self, info: WorkerInfo) -> bool:
        """Log it."""
        LOGGER.debug("no LC_SERVER is set; not reported: %s", info.body().decode())
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the Local Controller listens."""

    host: str
    port: int
    secure: bool
    base: str


def address_from(server: str) -> Address:
    """What ``LC_SERVER`` names: ``http://localhost:9100``, or without the scheme.

    Raises:
        BadInput: no HTTP address.
    """
    parts = urlsplit(server if "://" in server else f"http://{server}")
    try:
        port = parts.port
    except ValueError as error:
        raise BadInput(f"LC_SERVER is {server!r}: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadInput(f"LC_SERVER is {server!r}; write http://host:port")
    secure = parts.scheme == "https"
    return Address(
        host=parts.hostname, port=port or (443 if secure else 80), secure=secure, base=parts.path.rstrip("/")
    )


class HttpReporter:
    """Posts to ``/sedna/workers/{worker}/info``, as Sedna's Local Controller and ours both take it.

    Args:
        server: ``LC_SERVER``.
        timeout: longest silence before a try has failed.
        tries: how often; what the server refuses (4xx) is not tried again.
        wait: sleeps between tries.

    Raises:
        BadInput: ``server`` is no HTTP address.
    """

    def __init__(
        self, server: str, *, timeout: timedelta, tries: int, wait: Callable[[float], object] | None = None
    ) -> None:
        self._address = address_from(server)
        self._timeout = timeout.total_seconds()
        self._tries = tries
        self._wait = wait or threading.Event().wait

    def send(self, info: WorkerInfo) -> bool:
        """Post it until it is accepted, refused, or tried often enough."""
        pause = _FIRST_WAIT.total_seconds()
        for number in range(1, self._tries + 1):
            try:
                status, answer = self._post(info)
            except (OSError, http.client.HTTPException) as error:
                LOGGER.warning("report %d of %d failed: %s: %s", number, self._tries, type(error).__name__, error)
            else:
                if status < 300:
                    return True
                LOGGER.warning("the Local Controller answers %d to a report: %s", status, answer)
                if status < 500:
                    return False
            if number < self._tries:
                self._wait(pause)
                pause *= 2
        LOGGER.error("not reported: %s", info.body().decode())
        return False

    def _post(self, info: WorkerInfo) -> tuple[int, str]:
        to = self._address
        kind = http.client.HTTPSConnection if to.secure else http.client.HTTPConnection
        connection = kind(to.host, to.port, timeout=self._timeout)
        try:
            path = f"{to.base}/sedna/workers/{quote(info.name, safe='')}/info"
            connection.request("POST", path, body=info.body(), headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read(_MOST_OF_AN_ANSWER).decode(errors="replace").strip()
        finally:
            connection.close()
