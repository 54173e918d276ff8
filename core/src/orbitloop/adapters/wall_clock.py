"""The time of the real world."""

from __future__ import annotations

from datetime import UTC, datetime


class WallClock:
    """The :class:`~orbitloop.ports.clock.Clock` of the real world."""

    def now(self) -> datetime:
        """The present moment, UTC."""
        return datetime.now(UTC)
