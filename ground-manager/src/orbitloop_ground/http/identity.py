"""Who is speaking: a bearer token for each satellite."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request


class Identities:
    """The satellites that may speak, by name, with their tokens."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = {name: token.encode() for name, token in tokens.items()}

    def of(self, request: Request) -> str:
        """The satellite that sent ``request``; answered with 401 where its token is missing or nobody's."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip().encode() if scheme.lower() == "bearer" else b""
        # Every token is compared, each in constant time: how long it takes says nothing about any of them.
        matches = [name for name, expected in self._tokens.items() if hmac.compare_digest(given, expected)]
        if not given or not matches:
            raise HTTPException(
                401, "no satellite has this bearer token; check the satellite's setting", {"WWW-Authenticate": "Bearer"}
            )
        return matches[0]
