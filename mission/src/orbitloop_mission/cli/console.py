"""A mission on a terminal: progress bars while it runs, a line for what happened, a table in the end."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self, assert_never

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.learning import Action, CloseRound, Evaluate, Publish, Stage, Train, Wait
from orbitloop.ports.rounds import Round
from orbitloop_edge.usecases.observe import FrameResult
from orbitloop_mission.embedded.logbook import PassEntry
from orbitloop_mission.space_link import Traffic


class Terminal:
    """A :class:`~orbitloop_mission.embedded.narrator.Narrator` with progress bars.

    Args:
        console: where to draw; on something that is no terminal, only the lines are printed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("  {task.description:<34}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[count]:>9}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """A line that stays, word for word: brackets in it are no markup."""
        self._line(text)

    def _line(self, *parts: str | tuple[str, str]) -> None:
        self._console.print(Text.assemble(*parts))

    def frame(self, result: FrameResult, done: int, total: int) -> None:
        """The frames' bar, and a line for a frame that could not be read."""
        if result.error:
            self._line((f"  {result.error}", "yellow"))
        seen = int((result.found.scores > 0.5).sum())
        self._show("frames", "frames observed on board", done, total, f"{seen} objects, {result.samples} samples")

    def pass_begins(self, number: int, window: ContactWindow) -> None:
        """A line for the pass."""
        self._line(
            (f"pass {number}", "bold"),
            f"  {window.aos:%d %b %H:%M:%S} UTC over {window.station}, "
            f"{window.duration.total_seconds():.0f} s, up to {window.peak:.0f}°",
        )
        with self._guard:
            self._started = self._progress.get_time()

    def traffic(self, traffic: Traffic) -> None:
        """The link's bar: bytes and rates."""
        elapsed = max(0.05, self._progress.get_time() - self._started)
        note = (
            f"↓ {traffic.down / 1e6:.2f} MB at {traffic.down * 8 / elapsed / 1e6:.1f} Mbit/s   "
            f"↑ {traffic.up / 1e3:.0f} kB at {traffic.up * 8 / elapsed / 1e6:.2f} Mbit/s"
        )
        self._show("link", "space link", None, None, note)

    def pass_ends(self, entry: PassEntry) -> None:
        """What the pass achieved."""
        self._hide("link")
        for event in entry.events or ["nothing waited"]:
            self.say(f"        {event}")

    def decision(self, state: Round, action: Action) -> None:
        """What the Global Manager is about to do."""
        match action:
            case Train():
                self._show("training", f"round {state.number}: training", 0, 1, "")
            case Evaluate():
                self._hide("training")
            case Publish():
                self._hide("held-out tiles")
                self._say_published(state)
            case CloseRound():
                self._line((f"        round {state.number} closed: {action.reason}", "green"))
            case Wait():
                self._hide("training")
                if state.failure and state.stage is Stage.TRAIN:
                    self._line((f"        round {state.number}: training failed: {state.failure}", "red"))
            case _:
                assert_never(action)

    def _say_published(self, state: Round) -> None:
        assert state.candidate is not None
        assert state.evaluation is not None
        self.say(
            f"        update of {state.candidate.size:,} bytes from {state.samples} samples, "
            f"held-out AP {state.evaluation.flying:.3f} → {state.evaluation.candidate:.3f}"
        )

    def step(self, step: int, steps: int, loss: float) -> None:
        """The training's bar."""
        self._show("training", None, step, steps, f"loss {loss:.2f}")
        if step == steps:
            self._hide("training")

    def measuring(self, what: str, done: int, total: int) -> None:
        """A measurement's bar."""
        self._show("measuring", f"measuring {what}", done, total, "")
        if done == total:
            self._hide("measuring")

    def _show(self, key: str, text: str | None, done: int | None, total: int | None, note: str) -> None:
        count = "" if done is None or total is None else f"{done}/{total}"
        with self._guard:
            if key not in self._tasks:
                self._tasks[key] = self._progress.add_task(text or key, total=total, note="", count="")
            task = self._tasks[key]
            self._progress.update(task, completed=done, total=total, note=note, count=count)
            if text is not None:
                self._progress.update(task, description=text)

    def _hide(self, key: str) -> None:
        with self._guard:
            task = self._tasks.pop(key, None)
            if task is not None:
                self._progress.remove_task(task)
