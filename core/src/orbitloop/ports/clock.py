"""Time as an argument."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is for the mission: the wall's, an accelerated or a virtual one."""

    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        ...
