"""Messages as JSON bodies: small, checked, once."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

import anyio
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from orbitloop.domain.errors import BadInput

LARGEST = 64 * 2**10
"""Bytes of the largest message that is read."""

Told = TypeVar("Told", bound=BaseModel)


async def read_message(request: Request, kind: type[Told], *, within: timedelta) -> Told:
    """The message in a request's body, which has to arrive ``within`` that time.

    Raises:
        BadInput: it is not one of that kind.
    """
    try:
        with anyio.fail_after(within.total_seconds()):
            body = await _read(request)
    except TimeoutError:
        seconds = within.total_seconds()
        raise HTTPException(408, f"the message was not here within {seconds:g} s; send it again") from None
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise BadInput(f"{kind.__name__}: {where}: {first['msg']}") from None


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise HTTPException(413, f"a message of more than {LARGEST} bytes; shorten its texts")
    return bytes(body)
