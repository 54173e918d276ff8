"""``orbitloop transform`` and ``profile``: an application fitted to the computer that flies, and how fast that is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

from orbitloop_mission.cli.commands import MODEL, app


@app.command()
def transform(
    application: Annotated[str, typer.Argument(help="ships, airplanes, clouds, or your own: package.module:function.")],
    target: Annotated[
        str, typer.Option(help="one-core, raspberry-pi-4, jetson-15w, or a file of `profile`.")
    ] = "one-core",
    data: Annotated[
        Path | None, typer.Option(help="COCO annotations (for clouds a table of chips); the bundled ones without it.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of the detector that is the reference (airplanes).")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of selection.ols, report.json and report.html.")] = Path(
        "build/transform"
    ),
    key: Annotated[Path, typer.Option(help="The ground's signing key; made if there is none.")] = Path(
        "build/transform/ground.key"
    ),
    capacity: Annotated[
        float | None,
        typer.Option(help="Share of the frames that the link carries; half of what is of value without it."),
    ] = None,
    deadline: Annotated[float | None, typer.Option(help="Seconds a frame; by orbit and swath without it.")] = None,
    context: Annotated[
        list[str] | None, typer.Option(help="Expert rule, the first that fits: water=ndwi:0.1:1; repeatable.")
    ] = None,
    version: Annotated[int, typer.Option(help="Version of the artefact.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    effort: Annotated[float, typer.Option(help="Factor on the training steps.")] = 1.0,
) -> None:
    """Fit an application to a computer: contexts, their engine, small networks, and what becomes of which tile."""
    from orbitloop.adapters.signatures import SigningKey
    from orbitloop_mission.transformation.making import PAGE, Wish, expert_rules, transform
    from orbitloop_mission.transformation.own import application_given
    from orbitloop_mission.transformation.profiles import effort_of, read_target

    console = Console()
    wish = Wish(
        target=read_target(target),
        capacity=capacity,
        deadline=deadline,
        version=version,
        effort=effort_of(effort, seed),
        rules=expert_rules(context or []),
    )
    given = application_given(application, data, model=model, seed=seed)
    columns = SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        chosen = transform(
            given,
            wish,
            out,
            SigningKey(key).sign,
            told=lambda line: console.print(line, highlight=False),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for note in chosen.notes:
        console.print(f"note: {note}", highlight=False)
    peers = chosen.peers
    console.print(
        f"expected density {chosen.point.density:.3f} (bent pipe {peers.bent_pipe:.3f}, direct deploy "
        f"{peers.direct_deploy:.3f}, oracle {peers.oracle:.3f}) in {chosen.point.seconds:.4g} s of "
        f"{chosen.link.deadline:.4g} s a frame: {out / PAGE}",
        highlight=False,
    )


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="How this computer is called.")],
    source: Annotated[str, typer.Option(help="What it is, in words.")],
    watts: Annotated[float, typer.Option(help="What it draws while it works.")],
    memory: Annotated[int, typer.Option(help="Bytes that loaded networks may take.")] = 2**30,
    model: Annotated[Path, typer.Option(help="Folder of a detector to time.")] = MODEL,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("build/target.json"),
    also: Annotated[
        Path | None,
        typer.Option(help="Folder for the computers that are scaled from this one by published figures."),
    ] = None,
) -> None:
    """Time this computer, one thread, for `transform --target FILE`; nothing else should run meanwhile."""
    from orbitloop_mission.transformation.profiles import profile, scaled, write_target

    measured, published = profile(name, source, model=model, watts=watts, memory=memory)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_target(out, measured)
    if also is not None:
        also.mkdir(parents=True, exist_ok=True)
        for computer in scaled(measured, published):
            write_target(also / f"{computer.name}.json", computer)
    Console().print_json(out.read_text())
