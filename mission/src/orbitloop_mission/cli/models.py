"""``orbitloop pretrain``, ``quantise``, ``teacher``, ``calibrate``: what flies first, and what labels on the ground."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Annotated

import typer

from orbitloop_mission.cli.commands import MODEL, app

Data = Annotated[Path, typer.Option(help="Folder with annotations.json (COCO), images with split train, val and test.")]
ShownAt = Annotated[
    float,
    typer.Option(
        help="Resolution to show the split val at: as many pixels to a metre as the new sensor has, by its own."
    ),
]


@app.command()
def pretrain(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")] = Path("build/model"),
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 1200,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 7,
    width: Annotated[
        int, typer.Option(help="Factor on the channels: 1 is what flies, 2 a teacher for the ground.")
    ] = 1,
    largest: Annotated[
        float, typer.Option(help="Leave out images with an object longer than this, in pixels: not a 1 m view.")
    ] = 80.0,
) -> None:
    """Train a base detector from scratch; on a GPU if there is one."""
    from orbitloop_ground.adapters.yolo.pretrain import Recipe
    from orbitloop_mission.cli.pretraining import train_base

    train_base(data / "annotations.json", out, recipe=Recipe(steps=steps, width=width, seed=seed), largest=largest)


@app.command()
def teacher(
    data: Data,
    start: Annotated[Path, typer.Option(help="Folder of the model to widen and train on.")] = MODEL,
    out: Annotated[Path, typer.Option(help="Folder to write the teacher to.")] = Path("build/teacher"),
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 600,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 7,
    width: Annotated[int, typer.Option(help="Factor on the channels.")] = 2,
    minutes: Annotated[float, typer.Option(help="Stop after so many; the same command goes on. 0: to the end.")] = 0.0,
    shown_at: ShownAt = 2.0,
) -> None:
    """Train a larger detector that labels on the ground, out of the launched one, and calibrate it."""
    from orbitloop_ground.adapters.teacher import Views
    from orbitloop_ground.adapters.yolo.pretrain import TEACHER
    from orbitloop_mission.cli.pretraining import calibrate_teacher, train_base

    annotations = data / "annotations.json"
    recipe = replace(TEACHER, steps=steps, seed=seed, width=width)
    train_base(annotations, out, recipe=recipe, largest=inf, start=start, minutes=minutes)
    calibrate_teacher(annotations, out, views=Views(), shown_at=shown_at)


@app.command()
def calibrate(
    data: Data,
    model: Annotated[Path, typer.Option(help="Folder of the model; teacher.json is written into it.")],
    shown_at: ShownAt = 2.0,
) -> None:
    """Learn what a model's scores are worth when it labels on the ground."""
    from orbitloop_ground.adapters.teacher import Views
    from orbitloop_mission.cli.pretraining import calibrate_teacher

    calibrate_teacher(data / "annotations.json", model, views=Views(), shown_at=shown_at)


@app.command()
def quantise(
    data: Data,
    model: Annotated[Path, typer.Option(help="Folder of the model, computing in float32.")] = MODEL,
    out: Annotated[Path, typer.Option(help="Folder to write the model to that computes in integers.")] = Path(
        "build/model-int8"
    ),
    tiles: Annotated[int, typer.Option(help="Tiles of the split train to calibrate on.")] = 64,
    weight_bits: Annotated[
        int, typer.Option(help="8, or 7 for x86 processors without VNNI, whose sums would overflow.")
    ] = 8,
) -> None:
    """Let a model compute in 8-bit integers on board: faster, same weights, same updates."""
    from orbitloop_mission.cli.quantising import quantise_model

    quantise_model(data / "annotations.json", model, out, tiles=tiles, weight_bits=weight_bits)
