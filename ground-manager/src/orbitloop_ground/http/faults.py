"""The error tree as HTTP, once: ``Refused`` is 4xx, ``NotYet`` 503 or, for a full disk, 507."""

from __future__ import annotations

import math
from datetime import timedelta
from http import HTTPStatus

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orbitloop.domain.errors import BadInput, NoSpace, NotYet, OrbitloopError, Refused, Untrusted, WrongBase
from orbitloop_ground.usecases.receive import Corrupted

CHECKSUM_MISMATCH = 460
"""tus 1.0.0, checksum extension."""

_DEFAULT_WAIT = timedelta(seconds=30)
_STATUS: tuple[tuple[type[OrbitloopError], int], ...] = (  # the first that fits
    (Corrupted, CHECKSUM_MISMATCH),
    (Untrusted, HTTPStatus.FORBIDDEN),
    (WrongBase, HTTPStatus.CONFLICT),
    (BadInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Refused, HTTPStatus.BAD_REQUEST),
    (NoSpace, HTTPStatus.INSUFFICIENT_STORAGE),
    (NotYet, HTTPStatus.SERVICE_UNAVAILABLE),
)


def register(app: FastAPI) -> None:
    """Answer errors of the tree, and HTTP's own, as JSON ``{error, detail}``."""
    app.add_exception_handler(OrbitloopError, _answer)
    app.add_exception_handler(HTTPException, _answer_http)


def _answer(_: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    headers = {"Tus-Resumable": "1.0.0"}
    if isinstance(error, NotYet):
        headers["Retry-After"] = str(math.ceil((error.retry_after or _DEFAULT_WAIT).total_seconds()))
    return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status, headers)


def _answer_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {"Tus-Resumable": "1.0.0", **(error.headers or {})}
    name = HTTPStatus(error.status_code).phrase.title().replace(" ", "")
    return JSONResponse({"error": name, "detail": error.detail}, error.status_code, headers)
