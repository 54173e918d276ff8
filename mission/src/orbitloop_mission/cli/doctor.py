"""``orbitloop doctor``: what a cluster, or a satellite's node, lacks."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, assert_never

import typer
from rich.console import Console
from rich.text import Text

from orbitloop.domain.findings import Finding, Grade, in_words, is_whole, told
from orbitloop_mission.cli.commands import app
from orbitloop_mission.cluster_reader import ClusterReader
from orbitloop_mission.doctor.checks import examined
from orbitloop_mission.doctor.looking import seen

_LACKING = 1
_COLOURS = {Grade.OK: "green", Grade.WARNING: "yellow", Grade.MISSING: "red"}


class What(StrEnum):
    """What is looked at."""

    CLUSTER = "cluster"
    NODE = "node"


@app.command()
def doctor(
    what: Annotated[What, typer.Argument(help="An installation, or the satellite's node that this runs on.")] = (
        What.CLUSTER
    ),
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Cluster: where orbitloop is installed.")] = (
        "orbitloop-system"
    ),
    kubeconfig: Annotated[Path | None, typer.Option(help="Cluster: default KUBECONFIG, or ~/.kube/config.")] = None,
    context: Annotated[str | None, typer.Option(help="Cluster: of the kubeconfig; default its current one.")] = None,
    reach: Annotated[bool, typer.Option(help="Cluster: call the gateway from here, by TCP.")] = True,
    config: Annotated[Path | None, typer.Option(help="Node: satellite.toml; without it, only KubeEdge.")] = None,
    kubeedge: Annotated[bool, typer.Option("--kubeedge", help="Node: there has to be a KubeEdge.")] = False,
    root: Annotated[Path, typer.Option(help="Node: where its files are seen, in a container.")] = Path("/"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a cluster, or a satellite's node, lacks, and what to do; exits 1 if anything is missing."""
    match what:
        case What.CLUSTER:
            findings = examined(seen(ClusterReader(kubeconfig, context), namespace, reach=reach))
        case What.NODE:
            from orbitloop_edge.doctor import Asked, Places
            from orbitloop_edge.doctor import examined as examined_on_board

            findings = examined_on_board(Asked(config=config, places=Places(root=root), kubeedge=kubeedge))
        case _:
            assert_never(what)
    _say(findings, as_json=as_json)


def _say(findings: tuple[Finding, ...], *, as_json: bool) -> None:
    console = Console()
    if as_json:
        typer.echo(json.dumps(told(findings), indent=2))
    elif console.is_terminal:
        text = Text(in_words(findings))
        for grade, colour in _COLOURS.items():
            text.highlight_regex(rf"(?m)^{grade.value}\b", colour)
        console.print(text, soft_wrap=True, end="")
    else:
        typer.echo(in_words(findings), nl=False)
    if not is_whole(findings):
        raise typer.Exit(_LACKING)
