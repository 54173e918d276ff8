"""``orbitloop run``: the jobs of manifests on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, assert_never

import typer
from rich.console import Console

from orbitloop.domain.errors import BadInput, NotYet, Refused
from orbitloop_mission.cli.commands import app
from orbitloop_mission.cli.jobs import JobTerminal, print_jobs
from orbitloop_mission.local_run.session import Ended, RunPlan, run_manifests
from orbitloop_mission.local_run.verdicts import Done, Goal, Stuck, Waits


@app.command()
def run(
    manifests: Annotated[list[Path], typer.Argument(help="YAML or JSON, as for kubectl apply; several documents.")],
    once: Annotated[
        bool, typer.Option("--once", help="Do what can be done now, at most one more round of each job, and end.")
    ] = False,
    rounds: Annotated[
        int | None, typer.Option(help="End once each job has closed so many rounds, those of earlier runs included.")
    ] = None,
    state: Annotated[Path, typer.Option(help="Folder in which a run goes on where the last one ended.")] = Path(
        "build/run"
    ),
    namespace: Annotated[str, typer.Option(help="Of objects that name none.")] = "default",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE of a $NAME in the manifests; else the environment's. Repeatable."),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=PATH of the Python, or of the folder with programs, that stands in for an image; repeatable. "
            "Else this Python, in the folder of the first manifest."
        ),
    ] = None,
    mounts: Annotated[
        bool, typer.Option(help="Let workers have volumes where the manifests mount them, if this process may.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the jobs as JSON in the end.")] = False,
) -> None:
    """Run the jobs of manifests on this machine, workers as local processes, until they are done or Ctrl-C."""
    given = dict(os.environ)
    plan = RunPlan(
        manifests=manifests,
        state=state,
        variables=given | _settings(setting or []),
        given=given,
        namespace=namespace,
        images=image or [],
        mounts=mounts,
        goal=_goal(once, rounds),
    )
    console = Console(stderr=as_json)
    with JobTerminal(console) as terminal:
        ended = run_manifests(plan, terminal)
    if as_json:
        typer.echo(json.dumps({"jobs": ended.jobs}, indent=2))
    else:
        print_jobs(console, ended.jobs)
    _raise_unless_done(ended)


def _goal(once: bool, rounds: int | None) -> Goal:
    if once and rounds is not None:
        raise BadInput("--once and --rounds exclude each other: one says when nothing is left, the other how much")
    if rounds is not None and rounds < 1:
        raise BadInput(f"--rounds {rounds} must be at least 1")
    return Goal(once=once, rounds=rounds)


def _settings(given: list[str]) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in given]
    for name, equals, value in pairs:
        if not (name and equals):
            raise BadInput(f"--set {name + equals + value!r} is no NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _raise_unless_done(ended: Ended) -> None:
    match ended.verdict:
        case Done():
            return
        case Stuck(message=message):
            raise Refused(message)
        case Waits(message=message):
            raise NotYet(message)
        case _:
            assert_never(ended.verdict)
