"""Who may review, and what each proves themselves by: names and secrets in a file."""

from __future__ import annotations

import hmac
from pathlib import Path

from orbitloop.domain.errors import BadInput

_SHORTEST = 16


class Reviewers:
    """Bearer tokens (RFC 6750) of people, read anew at each use: the file may be replaced while the gateway runs.

    Args:
        path: the file: ``NAME TOKEN`` a line; blank lines, and those that begin with ``#``, do not count.

    Raises:
        BadInput: the file cannot be read, or a line says something else; by every use too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read()

    def name_of(self, authorization: str) -> str | None:
        """Whose token the header ``Authorization`` shows; takes the same time however wrong it is."""
        scheme, _, shown = authorization.partition(" ")
        known = [(name, hmac.compare_digest(shown.strip().encode(), token)) for name, token in self._read()]
        return next((name for name, same in known if same and scheme.lower() == "bearer"), None)

    def _read(self) -> list[tuple[str, bytes]]:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"reviewers {self._path}: cannot be read ({error}); write NAME TOKEN lines there") from error
        found = []
        for number, line in enumerate(lines, start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) != 2 or len(words[1]) < _SHORTEST:
                remedy = f"write a name and a token of at least {_SHORTEST} characters"
                raise BadInput(f"reviewers {self._path}: line {number}: {remedy}")
            found.append((words[0], words[1].encode()))
        if not found:
            raise BadInput(f"reviewers {self._path}: names nobody; write NAME TOKEN, a person a line")
        return found
