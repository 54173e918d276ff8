"""What happens at the node, one subject at a time: only the last word about each is of interest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

Value = Mapping[str, JsonValue]


class NodeEvents(Protocol):
    """Takes what happens, durably; safe to be used by several threads."""

    def record(self, subject: str, value: Value) -> None:
        """Note the last word about ``subject``; the same one again is no news. On disk when it returns.

        Raises:
            BadInput: the subject or the value is of a form that cannot be sent.
            NoSpace: there is no room; what was said before stays.
        """
        ...

    def last(self, subject: str) -> Value | None:
        """What was said last about ``subject``."""
        ...
