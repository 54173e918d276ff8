"""How a write may fail, beyond the words of the core."""

from __future__ import annotations

from orbitloop.domain.errors import NotYet, Refused


class Stale(NotYet):
    """The object changed meanwhile: look at it again."""


class NameTaken(Refused):
    """An object of that name is there, and belongs to another owner."""
