"""``orbitloop pretrain``, ``teacher`` and ``calibrate``: models from public sets, their cards and their figures."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.model_files import read_model, write_model
from orbitloop.domain.calibration import Calibration
from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.trainer import Lesson
from orbitloop.wire.model_folder import Model
from orbitloop_ground.adapters.coco import CocoSet, read_coco
from orbitloop_ground.adapters.teacher import Views, calibrate, teacher_of
from orbitloop_ground.adapters.teacher_files import write_teacher
from orbitloop_ground.adapters.yolo.augment import LabelledImage
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.export import export_graph
from orbitloop_ground.adapters.yolo.finetune import FineTuning, TorchTrainer
from orbitloop_ground.adapters.yolo.network import YoloTiny, network_with, weights_of
from orbitloop_ground.adapters.yolo.pretrain import Recipe, Sitting, pretrain
from orbitloop_mission.embedded.plan import LARGEST_SEED
from orbitloop_mission.embedded.scenery import lesson_of

UNFINISHED = "training.pt"
"""What a training that goes on later leaves in its folder."""
LARGEST_ZOOM = 8
WIDEST = 3
"""Largest factor on the channels: the weights of a wider detector are a larger file than a model may have."""


def train_base(
    annotations: Path, out: Path, *, recipe: Recipe, largest: float, start: Path | None = None, minutes: float = 0.0
) -> None:
    """Train on the split train without images that show objects longer than ``largest`` pixels, write the model.

    Args:
        start: folder of the model to begin with; random weights without one.
        minutes: after how many to stop, to go on when it is called again; 0: train to the end.

    Raises:
        BadInput: an argument is out of range, the set is missing or malformed, nothing is left to train on, or
            ``start`` does not fit.
        NotYet: the minutes are over and the training is not.
    """
    _check(recipe, largest)
    begin = None if start is None else _network_at(start)
    console = Console()
    annotated = read_coco(annotations)
    images = _views(annotated.where(split="train"), largest)
    if not images:
        raise BadInput(f"{annotations}: no image of split 'train' has only objects of at most {largest:g} pixels")
    console.print(f"{len(images)} images, {sum(len(image.boxes) for image in images)} objects", highlight=False)
    begun = time.monotonic()
    with Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ) as progress:
        task = progress.add_task("", total=recipe.steps, note="")
        network = pretrain(
            images,
            annotated.classes,
            recipe,
            lambda step, total, loss: progress.update(task, completed=step, note=f"loss {loss:.2f}"),
            start=begin,
            sitting=_sitting(out, minutes),
        )
    model = Model(spec=network.spec, weights=weights_of(network), graph=export_graph(network.spec, width=network.width))
    digest = write_model(out, model, half=True)
    figures = {
        "digest": digest,
        "images": len(images),
        "objects": sum(len(image.boxes) for image in images),
        "steps": recipe.steps,
        "width": recipe.width,
        "seed": recipe.seed,
        "largest_object_px": largest if math.isfinite(largest) else None,
        "seconds": None if minutes else round(time.monotonic() - begun),  # of one sitting of several they say nothing
        "map50_test": _precision(model, _lessons(annotated.where(split="test"), float("inf"))),
        "map50_test_of_such_views": _precision(model, _lessons(annotated.where(split="test"), largest)),
    }
    write_durably(out / "metrics.json", (json.dumps(figures, indent=2) + "\n").encode())
    (out / UNFINISHED).unlink(missing_ok=True)
    console.print_json(json.dumps(figures))


def calibrate_teacher(annotations: Path, folder: Path, *, views: Views, shown_at: float) -> None:
    """Learn on the split val what a model's scores are worth where it looks in ``views``; write ``teacher.json``.

    Args:
        shown_at: factor on the pictures' resolution that makes objects as large as the new sensor shows them.

    Raises:
        BadInput: model or set cannot be used, or there is nothing to learn from.
    """
    if not 0 < shown_at <= LARGEST_ZOOM:
        raise BadInput(f"shown-at {shown_at:g} must be above 0 and at most {LARGEST_ZOOM}")
    model, annotated = read_model(folder), read_coco(annotations)
    if model.spec.classes != annotated.classes:
        raise BadInput(
            f"{annotations}: has {', '.join(annotated.classes)}, {folder} detects {', '.join(model.spec.classes)}"
        )
    lessons = _lessons(annotated.where(split="val"), float("inf"))
    if not lessons:
        raise BadInput(f"{annotations}: no image has split 'val'; a teacher is calibrated on those")
    teacher = teacher_of(model, Compute.best(), views, Calibration.none())
    fitted = calibrate(teacher, lessons, scale=shown_at)
    text = write_teacher(folder, weights_digest(model.weights), views, fitted, shown_at=shown_at)
    Console().print_json(text.model_dump_json(exclude={"scores", "confidence"}))


def _network_at(folder: Path) -> YoloTiny:
    model = read_model(folder)
    try:
        return network_with(dict(model.weights), model.spec)
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise BadInput(f"{folder}: is no network that training can start from ({first}); give one of ours") from error


def _sitting(out: Path, minutes: float) -> Sitting | None:
    if not minutes >= 0:  # also what is not a number
        raise BadInput(f"minutes {minutes:g} must be 0 or more")
    if not minutes:
        return None
    out.mkdir(parents=True, exist_ok=True)
    return Sitting(file=out / UNFINISHED, seconds=60 * minutes)


def _check(recipe: Recipe, largest: float) -> None:
    if recipe.steps < 1:
        raise BadInput(f"steps {recipe.steps} must be at least 1")
    if not 1 <= recipe.width <= WIDEST:
        raise BadInput(f"width {recipe.width} must be 1 to {WIDEST}")
    if not 0 <= recipe.seed <= LARGEST_SEED:
        raise BadInput(f"seed {recipe.seed} must be 0 to {LARGEST_SEED}")
    if not largest > 0:  # also what is not a number
        raise BadInput(f"largest {largest:g} must be above 0 pixels")


def _longest(lesson: Lesson) -> float:
    sides = lesson.truth.boxes[:, 2:] - lesson.truth.boxes[:, :2]
    return float(sides.max(initial=0.0))


def _lessons(annotated: CocoSet, largest: float) -> list[Lesson]:
    lessons = [lesson_of(image) for image in annotated.images]
    return [lesson for lesson in lessons if _longest(lesson) <= largest]


def _views(annotated: CocoSet, largest: float) -> list[LabelledImage]:
    return [
        LabelledImage(pixels=np.asarray(lesson.pixels), boxes=lesson.truth.boxes, labels=lesson.truth.labels)
        for lesson in _lessons(annotated, largest)
    ]


def _precision(model: Model, lessons: list[Lesson]) -> float | None:
    return round(TorchTrainer(FineTuning()).precision(model, lessons), 4) if lessons else None
