"""``$NAME`` and ``${NAME}`` in what users write: the place of what differs from one machine to the next.

``$$NAME`` and ``$${NAME}`` stand for themselves with one dollar less; ``$(NAME)`` is Kubernetes' own and is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAMED = re.compile(
    r"\$(?P<literal>\$(?=[A-Za-z_{]))?(?:(?P<bare>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\})?"
)


class Variables:
    """Puts values in the place of names, and keeps the names that have none.

    Args:
        values: by name.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._unset: dict[str, int] = {}

    def fill(self, text: str, line: int) -> str:
        """``text`` with values; a name without one stays, and is in :meth:`unset`."""
        return _NAMED.sub(lambda found: self._value(found, line), text)

    def unset(self) -> Mapping[str, int]:
        """Names without a value, with the first line that has them."""
        return self._unset

    def _value(self, found: re.Match[str], line: int) -> str:
        if found["literal"]:
            return found[0][1:]
        name = found["bare"] or found["braced"]
        if name is None:
            return found[0]
        if name not in self._values:
            self._unset.setdefault(name, line)
            return found[0]
        return self._values[name]
