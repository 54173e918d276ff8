"""``orbitloop watch``: rounds and satellites of a cluster, as they go."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console

from orbitloop.domain.errors import BadInput
from orbitloop_mission.cli.commands import app
from orbitloop_mission.cli.scene_table import SceneTable
from orbitloop_mission.cluster_reader import Away, ClusterReader
from orbitloop_mission.watching.changes import Look, changes
from orbitloop_mission.watching.looking import look_at
from orbitloop_mission.watching.views import JobView, Scene, as_json


class Shows(Protocol):
    """Whoever is told of each look."""

    def seen(self, look: Look) -> None:
        """The cluster as it is."""

    def away(self, why: str) -> None:
        """The API server does not answer."""


class Lines:
    """A line for each thing that changes, for terminals that draw nothing and for files."""

    def __init__(self) -> None:
        self._away = ""
        self._is_empty = False

    def seen(self, look: Look) -> None:
        """A line for each thing that is new."""
        if not (look.scene.jobs or look.scene.satellites or self._is_empty):
            typer.echo("there are no IncrementalLearningJobs and no Satellites", err=True)
        self._is_empty = not (look.scene.jobs or look.scene.satellites)
        if self._away:
            typer.echo(f"{look.at:%H:%M:%S}  the API server answers again")
            self._away = ""
        for change in look.changed:
            what = "job" if isinstance(change.view, JobView) else "satellite"
            for line in change.lines:
                typer.echo(f"{look.at:%H:%M:%S}  {what} {change.view.namespace}/{change.view.name}  {line}")

    def away(self, why: str) -> None:
        """Say so once."""
        if not self._away:
            typer.echo(f"{why}; it is asked again", err=True)
        self._away = why


class Documents:
    """A line of JSON for each object that changes."""

    def __init__(self) -> None:
        self._lines = Lines()

    def seen(self, look: Look) -> None:
        """A document for each object that is otherwise."""
        for change in look.changed:
            kind = "IncrementalLearningJob" if isinstance(change.view, JobView) else "Satellite"
            told = {"at": look.at.isoformat(), "change": change.what.value, "kind": kind, **as_json(change.view)}
            typer.echo(json.dumps(told))

    def away(self, why: str) -> None:
        """On standard error: what is on standard output is JSON."""
        self._lines.away(why)


@app.command()
def watch(
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Only this one; by default all.")] = "",
    kubeconfig: Annotated[Path | None, typer.Option(help="Default: KUBECONFIG, or ~/.kube/config.")] = None,
    context: Annotated[str | None, typer.Option(help="Of the kubeconfig; default: its current one.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Say how it stands, and end.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.")] = 2.0,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="A JSON document a line for each object that changes; one in all with --once."),
    ] = False,
) -> None:
    """Watch the learning jobs and satellites of a cluster: rounds, models, samples, contacts. Ctrl-C ends."""
    if not 0.1 <= every <= 3600:
        raise BadInput(f"--every {every:g} must be 0.1 to 3600 seconds")
    reader = ClusterReader(kubeconfig, context)
    try:
        if once:
            _say_once(look_at(reader, namespace), as_json=as_json)
        else:
            _follow(reader, namespace, every, as_json=as_json)
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return


def _say_once(scene: Scene, *, as_json: bool) -> None:
    now, console = datetime.now(UTC), Console()
    if as_json:
        typer.echo(json.dumps(_whole(scene), indent=2))
    elif console.is_terminal:
        SceneTable(console).print(scene, now)
    else:
        Lines().seen(Look(scene=scene, changed=changes(None, scene), at=now))


def _whole(scene: Scene) -> dict[str, Any]:
    return {
        "jobs": [as_json(job) for job in scene.jobs],
        "satellites": [as_json(satellite) for satellite in scene.satellites],
    }


def _follow(reader: ClusterReader, namespace: str, every: float, *, as_json: bool) -> None:
    console = Console()
    shows: Shows
    with ExitStack() as stack:
        if as_json:
            shows = Documents()
        elif console.is_terminal:
            shows = table = SceneTable(console)
            stack.enter_context(table.live)
        else:
            shows = Lines()
        known: Scene | None = None
        while True:
            try:
                scene = look_at(reader, namespace)
                shows.seen(Look(scene=scene, changed=changes(known, scene), at=datetime.now(UTC)))
                known = scene
            except Away as error:
                shows.away(str(error))
            time.sleep(every)
