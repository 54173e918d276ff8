"""What a mission tells while it runs; a terminal shows it, a test ignores it."""

from __future__ import annotations

from typing import Protocol

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.learning import Action
from orbitloop.ports.rounds import Round
from orbitloop_edge.usecases.observe import FrameResult
from orbitloop_mission.embedded.logbook import PassEntry
from orbitloop_mission.space_link import Traffic


class Narrator(Protocol):
    """Told of everything worth showing, from several threads."""

    def say(self, text: str) -> None:
        """A sentence."""
        ...

    def frame(self, result: FrameResult, done: int, total: int) -> None:
        """A frame was observed."""
        ...

    def pass_begins(self, number: int, window: ContactWindow) -> None:
        """Acquisition of signal."""
        ...

    def traffic(self, traffic: Traffic) -> None:
        """Bytes since the pass began."""
        ...

    def pass_ends(self, entry: PassEntry) -> None:
        """The session is over."""
        ...

    def decision(self, state: Round, action: Action) -> None:
        """The Global Manager decided."""
        ...

    def step(self, step: int, steps: int, loss: float) -> None:
        """An optimiser step of training."""
        ...

    def measuring(self, what: str, done: int, total: int) -> None:
        """A picture of a measurement is done."""
        ...


class Silent:
    """Says nothing."""

    def say(self, text: str) -> None:
        """Ignored."""

    def frame(self, result: FrameResult, done: int, total: int) -> None:
        """Ignored."""

    def pass_begins(self, number: int, window: ContactWindow) -> None:
        """Ignored."""

    def traffic(self, traffic: Traffic) -> None:
        """Ignored."""

    def pass_ends(self, entry: PassEntry) -> None:
        """Ignored."""

    def decision(self, state: Round, action: Action) -> None:
        """Ignored."""

    def step(self, step: int, steps: int, loss: float) -> None:
        """Ignored."""

    def measuring(self, what: str, done: int, total: int) -> None:
        """Ignored."""
