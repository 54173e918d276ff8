"""What those prove themselves by who look after nodes: a secret that is shared in a file."""

from __future__ import annotations

import hmac
from pathlib import Path

from orbitloop.domain.errors import BadInput

_SHORTEST = 16


class OperatorToken:
    """A bearer token (RFC 6750), read anew at each use: the file may be replaced while the gateway runs.

    Args:
        path: the file; white space around the token does not count.

    Raises:
        BadInput: the file cannot be read, or holds fewer than 16 characters; by every use too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read()

    def is_shown(self, authorization: str) -> bool:
        """Whether the header ``Authorization`` shows the token; takes the same time however wrong it is."""
        scheme, _, shown = authorization.partition(" ")
        same = hmac.compare_digest(shown.strip().encode(), self._read())
        return same and scheme.lower() == "bearer"

    def _read(self) -> bytes:
        try:
            token = self._path.read_bytes().strip()
        except OSError as error:
            raise BadInput(
                f"operator_token {self._path}: {error.strerror}; write a token there, and let the gateway read it"
            ) from error
        if len(token) < _SHORTEST:
            raise BadInput(f"operator_token {self._path}: {len(token)} characters; write at least {_SHORTEST}")
        return token
