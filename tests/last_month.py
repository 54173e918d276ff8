"""A ground that has not been brought up to date: it speaks as last month's did."""

from __future__ import annotations

from orbitloop.ports.gateway import Gateway
from orbitloop.wire.messages import Hello, Welcome


class GroundOfLastMonth:
    """Answers a hello without the words that it lacks.

    Args:
        ground: what it is beside that.
        lacks: fields of the welcome that it does not know.
    """

    def __init__(self, ground: Gateway, *lacks: str) -> None:
        self._ground = ground
        self._lacks = set(lacks)

    def __getattr__(self, name: str) -> object:
        return getattr(self._ground, name)

    def hello(self, hello: Hello) -> Welcome:
        """What it says, as far as it knows."""
        return Welcome.model_validate(self._ground.hello(hello).model_dump(exclude=self._lacks))
