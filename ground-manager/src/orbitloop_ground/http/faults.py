"""The error tree as HTTP, once: ``Refused`` is 4xx, ``NotYet`` 503 or, for a full disk, 507."""

from __future__ import annotations

import math
from datetime import timedelta
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orbitloop.domain.errors import BadInput, NoSpace, NotYet, OrbitloopError, Refused, Untrusted, WrongBase
from orbitloop.ports.reviews import Overtaken
from orbitloop_ground.usecases.nodes import TooLarge, UnknownNode
from orbitloop_ground.usecases.receive import Corrupted
from orbitloop_ground.usecases.refusals import refusal_of
from orbitloop_ground.usecases.reviews import UnknownReview
from orbitloop_ground.usecases.watch import Refusal, Watch

CHECKSUM_MISMATCH = 460
"""tus 1.0.0, checksum extension."""

_DEFAULT_WAIT = timedelta(seconds=30)
_STATUS: tuple[tuple[type[OrbitloopError], int], ...] = (  # the first that fits
    (Corrupted, CHECKSUM_MISMATCH),
    (UnknownNode, HTTPStatus.NOT_FOUND),
    (UnknownReview, HTTPStatus.NOT_FOUND),
    (Overtaken, HTTPStatus.CONFLICT),
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (Untrusted, HTTPStatus.FORBIDDEN),
    (WrongBase, HTTPStatus.CONFLICT),
    (BadInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Refused, HTTPStatus.BAD_REQUEST),
    (NoSpace, HTTPStatus.INSUFFICIENT_STORAGE),
    (NotYet, HTTPStatus.SERVICE_UNAVAILABLE),
)
_HTTP_REASONS: dict[int, Refusal] = {
    HTTPStatus.UNAUTHORIZED: Refusal.STRANGER,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Refusal.TOO_LARGE,
    HTTPStatus.REQUEST_TIMEOUT: Refusal.TOO_SLOW,
    HTTPStatus.BAD_REQUEST: Refusal.MALFORMED,
}


def register(app: Starlette, watch: Watch) -> None:
    """Answer errors of the tree, and HTTP's own, as JSON ``{error, detail}``, and tell ``watch`` of refusals."""

    def answer(_: Request, error: Exception) -> Response:
        assert isinstance(error, OrbitloopError)
        if (why := refusal_of(error)) is not None:
            watch.refused(why)
        return _answer(error)

    def answer_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if (why := _HTTP_REASONS.get(error.status_code)) is not None:
            watch.refused(why)
        return _answer_http(error)

    app.add_exception_handler(OrbitloopError, answer)
    app.add_exception_handler(HTTPException, answer_http)


def _answer(error: Exception) -> Response:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    headers = {"Tus-Resumable": "1.0.0"}
    if isinstance(error, NotYet):
        headers["Retry-After"] = str(math.ceil((error.retry_after or _DEFAULT_WAIT).total_seconds()))
    return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status, headers)


def _answer_http(error: HTTPException) -> Response:
    headers = {"Tus-Resumable": "1.0.0", **(error.headers or {})}
    name = HTTPStatus(error.status_code).phrase.title().replace(" ", "")
    return JSONResponse({"error": name, "detail": error.detail}, error.status_code, headers)
