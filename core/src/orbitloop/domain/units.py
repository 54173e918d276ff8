"""Units as types: a rate cannot be passed for a size."""

from __future__ import annotations

from datetime import timedelta
from typing import NewType

Bytes = NewType("Bytes", int)
BitsPerSecond = NewType("BitsPerSecond", int)
Digest = NewType("Digest", str)
"""``sha256:`` and 64 lower-case hexadecimal digits."""

MEGABIT = BitsPerSecond(1_000_000)


def transfer_time(size: Bytes, rate: BitsPerSecond) -> timedelta:
    """The shortest time in which ``size`` can cross a link of ``rate``: bytes over bandwidth."""
    return timedelta(seconds=size * 8 / rate)


def capacity(duration: timedelta, rate: BitsPerSecond) -> Bytes:
    """The most bytes that fit through ``rate`` in ``duration``."""
    return Bytes(int(max(0.0, duration.total_seconds()) * rate / 8))
