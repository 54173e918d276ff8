"""What rests while no signal is there."""

from __future__ import annotations

from typing import Protocol


class FollowsSignal(Protocol):
    """Told of the signal, as often as somebody looks; being told the same again changes nothing."""

    def suspend(self) -> None:
        """Loss of signal."""
        ...

    def resume(self) -> None:
        """Acquisition of signal."""
        ...


class Indifferent:
    """A :class:`FollowsSignal` that does nothing."""

    def suspend(self) -> None:
        """Nothing."""

    def resume(self) -> None:
        """Nothing."""
