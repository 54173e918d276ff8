"""What must be sent so that one document becomes another: JSON merge patch (RFC 7396)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orbitloop_operators.handlers.changes import Document


def merge_patch(old: Document, new: Document) -> dict[str, Any]:
    """The smallest merge patch from ``old`` to ``new``; empty if they are the same.

    Fields that ``new`` lacks become ``null``, lists are sent whole. A field that is ``null`` in ``new`` is one that it
    lacks: the API server keeps none.
    """
    patch: dict[str, Any] = {name: None for name, value in old.items() if value is not None and new.get(name) is None}
    for name, value in new.items():
        if value is None:
            continue
        before = old.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := merge_patch(before, value):
                patch[name] = inner
        elif isinstance(value, Mapping):
            patch[name] = merge_patch({}, value)
        elif value != before or type(value) is not type(before):
            patch[name] = value
    return patch
