"""Jobs on a terminal: a line for each step, a bar for what goes on, a table in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from orbitloop_mission.watching.changes import new_entries
from orbitloop_mission.watching.metrics import compared, in_words
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.service_conditions import state_of

_COLOURS = {"Completed": "green", "Failed": "red", "Running": "bold"}
_LONGEST = 60
"""Characters of what a job waits for, beside its bar."""


class JobTerminal:
    """A :class:`~orbitloop_mission.local_run.session.Narrator` on a terminal.

    Args:
        console: where to draw; on something that is no terminal, only the lines are printed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<34}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
        )
        self._tasks: dict[Key, TaskID] = {}
        self._shown: dict[Key, Sequence[Mapping[str, Any]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._tasks:
            self._progress.stop()

    def say(self, text: str) -> None:
        """A line, word for word."""
        self._console.print(Text(text, style="dim"), soft_wrap=True)

    def job(self, document: Document) -> None:
        """A line for each new step of a job, and its bar; of what was before this run, the last step."""
        key, status = Key.of(document), document.get("status") or {}
        if key.kind != "IncrementalLearningJob":
            self._service(key, state_of(document))
            return
        conditions = status.get("conditions") or []
        news = new_entries(self._shown[key], conditions) if key in self._shown else conditions[-1:]
        for condition in news:
            self._step(key, condition)
        self._shown[key] = conditions
        self._bar(
            key,
            f"{key.name}: round {status.get('round', 1)}, {status.get('phase', 'Waiting')}",
            str(status.get("message", "")),
        )

    def _service(self, key: Key, state: Document | None) -> None:
        """A line whenever a service is otherwise than before, and its bar."""
        if state is None:
            return
        said = {name: state.get(name, "") for name in ("type", "reason", "message")}
        if self._shown.get(key) != [said]:
            self._line(key.name, (str(said["type"]), _COLOURS.get(str(said["type"]), "")), str(said["message"]))
        self._shown[key] = [said]
        self._bar(key, f"{key.name}: {said['type']}", str(said["message"]))

    def _bar(self, key: Key, what: str, note: str) -> None:
        note = note if len(note) <= _LONGEST else f"{note[:_LONGEST]}…"
        if key not in self._tasks:
            self._progress.start()
            self._tasks[key] = self._progress.add_task(what, total=None, note=note)
        self._progress.update(self._tasks[key], description=what, note=note)

    def event(self, document: Document) -> None:
        """A line for a warning; what went well is a step of the job as well."""
        if document["type"] == "Warning" and document["count"] == 1:
            about = document["involvedObject"]
            self._line(f"{about['kind']} {about['name']}", (document["reason"], "yellow"), document["message"])

    def _step(self, key: Key, condition: Mapping[str, Any]) -> None:
        state, stage = str(condition["type"]), str(condition["stage"])
        message = str(condition.get("message", ""))
        if (stage, state) == ("Eval", "Completed"):
            message = f"{message}: {in_words(compared(str(condition.get('data', ''))))}"
        self._line(key.name, (f"{stage} {state}", _COLOURS.get(state, "")), message)

    def _line(self, who: str, what: tuple[str, str], why: str) -> None:
        parts = Text.assemble(f"{who}  ", (f"{what[0]:<15}", what[1]), f"  {why}")
        self._console.print(parts, soft_wrap=True)


def print_jobs(console: Console, jobs: Sequence[Document]) -> None:
    """How jobs stand."""
    table = Table("job", "round", "stage", "state", "samples used", "deployed", box=SIMPLE_HEAD)
    for job in jobs:
        status = job.get("status") or {}
        deployed = (status.get("deployed") or {}).get("url", "")
        used = (status.get("samples") or {}).get("used", 0)
        service = state_of(job) or {} if job["kind"] != "IncrementalLearningJob" else {}
        stage, state = str(status.get("stage", "")), str(service.get("type") or status.get("state", ""))
        table.add_row(
            Text(job["metadata"]["name"]),
            str(status.get("round", "")),
            stage,
            state,
            str(used),
            Text(deployed, overflow="fold"),
        )
    console.print(table)
