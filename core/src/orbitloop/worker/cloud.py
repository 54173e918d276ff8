"""The big model as a worker at the edge asks it: bounded in time, and left alone for a while when it is silent."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from orbitloop.domain.errors import NotYet, Refused
from orbitloop.worker.settings import WorkerSettings
from orbitloop.worker.wire_data import request_body

SEDNAS_NAME = "sedna"
"""What Sedna's own servers call every service, because its Global Manager does not tell them the name."""


class BigModelClient:
    """Asks ``POST /<service>/predict``; a server of Sedna's that knows no such path is asked at ``/sedna/predict``.

    Args:
        settings: where the big model is, how long to wait for it, and how to encode.
        seconds: a monotonic clock.
    """

    def __init__(self, settings: WorkerSettings, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._seconds = seconds
        self._names = list(dict.fromkeys(name for name in (settings.owner, SEDNAS_NAME) if name))
        self._silent_until = float("-inf")

    def inference(self, data: Any, post_process: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """The answer, ``{"result": ...}``.

        Raises:
            NotYet: there is no answer, or there was none a moment ago.
            Refused: the server does not take the request.
        """
        settings = self._settings
        if not settings.big_model_ip:
            raise Refused("BIG_MODEL_IP is not set; it names the machine of the big model")
        if self._seconds() < self._silent_until:
            raise NotYet("the big model did not answer a moment ago; the edge's result is used for now")
        body, content_type = request_body(data, post_process, settings.orbitloop_cloud_encoding, kwargs)
        try:
            status, answer = self._ask(body, content_type)
        except (OSError, http.client.HTTPException) as error:
            self._silent_until = self._seconds() + settings.orbitloop_cloud_pause_seconds.total_seconds()
            where = f"{settings.big_model_ip}:{settings.big_model_port}"
            raise NotYet(f"the big model at {where} does not answer: {type(error).__name__}: {error}") from error
        return _read(status, answer)

    def _ask(self, body: bytes, content_type: str) -> tuple[int, bytes]:
        status, answer = self._post(self._names[0], body, content_type)
        if status == 404 and len(self._names) > 1:
            other = self._post(self._names[1], body, content_type)
            if other[0] != 404:
                del self._names[0]
                return other
        return status, answer

    def _post(self, name: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        settings = self._settings
        seconds = settings.orbitloop_cloud_timeout_seconds.total_seconds()
        connection = http.client.HTTPConnection(settings.big_model_ip, settings.big_model_port, timeout=seconds)
        try:
            path = f"/{quote(name, safe='')}/predict"
            connection.request("POST", path, body=body, headers={"Content-Type": content_type})
            answer = connection.getresponse()
            return answer.status, answer.read(settings.orbitloop_most_request_bytes)
        finally:
            connection.close()


def _read(status: int, answer: bytes) -> dict[str, Any]:
    if status >= 500:
        raise NotYet(f"the big model answers {status}: {answer[:200].decode(errors='replace')}")
    if status >= 300:
        raise Refused(f"the big model answers {status}: {answer[:200].decode(errors='replace')}")
    try:
        read = json.loads(answer)
    except ValueError as error:
        raise NotYet(f"the big model's answer is no JSON: {error}") from error
    if not isinstance(read, dict) or "result" not in read:
        raise Refused('the big model\'s answer has no "result"; is something else listening there?')
    return read
