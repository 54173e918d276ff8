"""Jobs and satellites of a cluster as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orbitloop_mission.watching.changes import Look, contact, short, size
from orbitloop_mission.watching.metrics import in_words
from orbitloop_mission.watching.views import JobView, SatelliteView, Scene

_COLOURS = {"Completed": "green", "Failed": "red", "Blocked": "red", "BackingOff": "yellow", "Running": "bold"}
_DIGEST = 12
"""Characters of a short one."""
_NOTHING = Scene(jobs=(), satellites=())


class SceneTable:
    """Two tables that are drawn anew at each look.

    Args:
        console: a terminal; what is printed once may go elsewhere.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._scene = _NOTHING
        self.live = Live(console=console, auto_refresh=False)

    def print(self, scene: Scene, now: datetime) -> None:
        """How it stands, once."""
        self._console.print(self._tables(scene, now))

    def seen(self, look: Look) -> None:
        """Draw what is there; the times that have gone by go on even where nothing has changed."""
        self._scene = look.scene
        foot = Text(f"{look.at:%H:%M:%S} UTC, Ctrl-C ends", style="dim")
        self.live.update(Group(self._tables(look.scene, look.at), foot), refresh=True)

    def away(self, why: str) -> None:
        """Below what was seen last."""
        shown = self._tables(self._scene, None)
        self.live.update(Group(shown, Text(f"{why}; this was so before, and it is asked again", "red")), refresh=True)

    def _tables(self, scene: Scene, now: datetime | None) -> Group:
        return Group(*_jobs(scene), *_satellites(scene, now))


def _jobs(scene: Scene) -> Iterator[Table | Text]:
    if not scene.jobs:
        yield Text("no IncrementalLearningJobs; kubectl apply -f one, or see --namespace", style="dim")
        return
    table = _table("job", "round", "stage", "samples", "evaluation", "flies")
    for job in scene.jobs:
        table.add_row(
            Text(f"{job.namespace}/{job.name}"),
            str(job.round),
            _stage(job),
            f"{job.samples_waiting} wait\n{job.samples_used} used",
            Text(in_words(job.metrics) or "–"),
            Text(short(job.flying or job.deployed)),
        )
    yield table
    for job in scene.jobs:
        for line in _says(job):
            yield Text(f"  {job.namespace}/{job.name}: {line}")


def _table(*headings: str) -> Table:
    """One in which a name is folded, and not cut: there are narrow terminals."""
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, padding=(0, 1))
    for heading in headings:
        table.add_column(heading, overflow="fold", min_width=_DIGEST if heading in {"flies", "coming up"} else None)
    return table


def _stage(job: JobView) -> Text:
    if not job.stage:
        return Text("–")
    colour = _COLOURS.get(job.phase) or _COLOURS.get(job.state, "")
    return Text.assemble(job.phase or job.stage, "\n", (f"{job.stage} {job.state}", colour))


def _says(job: JobView) -> Iterator[str]:
    if not job.stage:
        yield "nobody has taken it up yet: are the operators running?"
    if job.last_error or job.message:
        yield job.last_error or job.message
    for one in job.satellites:
        if one.outcome or one.offered:
            yield f"{one.satellite}: {one.outcome.replace('_', ' ') or f'{short(job.candidate)} is offered'}"


def _satellites(scene: Scene, now: datetime | None) -> Iterator[Table | Text]:
    if not scene.satellites:
        return
    table = _table("satellite", "flies", "coming up", "on board", "heard", "next contact")
    for one in scene.satellites:
        heard = contact(one) if now is None or one.in_contact else _ago(one.last_contact, now)
        samples = "–" if one.queued_samples is None else f"{one.queued_samples} samples, {size(one.queued_bytes)}"
        table.add_row(
            Text(f"{one.namespace}/{one.name}"),
            Text("\n".join(filter(None, (short(one.flying), one.selection)))),
            Text(short(one.offered)),
            samples,
            Text(heard, style="green" if one.in_contact else ""),
            Text(_next(one, now)),
        )
    yield table
    for one in scene.satellites:
        if one.trouble:
            yield Text(f"  {one.namespace}/{one.name}: {one.trouble}", style="yellow")


def _next(one: SatelliteView, now: datetime | None) -> str:
    if one.next_contact is None:
        return "–"
    when = f"{one.next_contact:%H:%M:%S}"
    if now is not None and one.next_contact > now:
        when += f", in {_span(one.next_contact - now)}"
    lasts = "" if one.next_end is None else f" for {_span(one.next_end - one.next_contact)}"
    return f"{when}{lasts}" + (f" over {one.station}" if one.station else "")


def _ago(at: datetime | None, now: datetime) -> str:
    return "never" if at is None else f"{_span(max(now - at, timedelta(0)))} ago"


def _span(span: timedelta) -> str:
    """A time in its two largest units."""
    seconds = round(span.total_seconds())
    for unit, name, below, lesser in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= unit:
            rest = seconds % unit // below
            return f"{seconds // unit} {name}" + (f" {rest} {lesser}" if rest else "")
    return f"{seconds} s"
