"""``orbitloop quantise``: a model folder whose graph computes in 8-bit integers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.model_files import read_model, write_model
from orbitloop.domain.detection import mean_average_precision
from orbitloop.domain.errors import BadInput
from orbitloop.domain.tiling import cut, windows
from orbitloop.domain.versions import Weights
from orbitloop.ports.trainer import Lesson
from orbitloop.wire.model_folder import Model
from orbitloop.wire.onnx_integers import integers_of
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_ground.adapters.coco import CocoImage, read_coco
from orbitloop_ground.adapters.yolo.integers import calibrated, integer_graph
from orbitloop_mission.embedded.scenery import lesson_of

FIGURES = "integers.json"


def quantise_model(annotations: Path, folder: Path, out: Path, *, tiles: int, weight_bits: int) -> None:
    """Calibrate the model in ``folder`` on about ``tiles`` tiles of the split train; write the same weights with a
    graph of integers to ``out``, and what both find in the split val to ``integers.json`` beside it.

    Raises:
        BadInput: the model or the set cannot be used, an argument is out of range, or ``out`` is the model's folder.
    """
    if tiles < 1:
        raise BadInput(f"tiles {tiles} must be at least 1")
    if weight_bits not in (7, 8):
        raise BadInput(f"weight bits {weight_bits} must be 7 or 8")
    model, annotated = read_model(folder), read_coco(annotations)
    if out.resolve() == folder.resolve():
        raise BadInput(f"{out}: is the model's own folder, whose graph of float32 would be lost; give another --out")
    if _in_integers(model, folder):
        raise BadInput(f"{folder}: computes in integers already; give the model of float32 that it was made of")
    train = annotated.where(split="train").images
    if not train:
        raise BadInput(f"{annotations}: no image has split 'train'; a model is calibrated on those")
    try:
        calibration = calibrated(model, some_tiles(list(train), model.spec.tile, tiles))
        made = Model(
            spec=model.spec, weights=model.weights, graph=integer_graph(model, calibration, weight_bits=weight_bits)
        )
    except (RuntimeError, ValueError) as error:  # torch's, of tensors that do not fit
        first = str(error).splitlines()[0]
        raise BadInput(f"{folder}: is no network that can be calibrated ({first}); give one of ours") from error
    lessons = [lesson_of(image) for image in annotated.where(split="val").images]
    found = {name: _precision(each, lessons) for name, each in (("float32", model), ("integers", made))}
    digest = write_model(out, made, half=_fits_half(model.weights))
    figures = {"digest": digest, "weight_bits": weight_bits, "tiles": tiles, "map50_val": found}
    write_durably(out / FIGURES, (json.dumps(figures, indent=2) + "\n").encode())
    Console().print_json(json.dumps(figures))


def some_tiles(images: list[CocoImage], side: int, count: int) -> Iterator[NDArray[np.uint8]]:
    """``count`` tiles, or as many as there are, spread evenly over pictures and over each."""
    chosen = [images[index] for index in np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))]
    for number, image in enumerate(chosen):
        pixels = lesson_of(image).pixels
        cover = windows(pixels.shape[1], pixels.shape[0], tile=side, overlap=side // 4)
        wanted = (number + 1) * count // len(chosen) - number * count // len(chosen)
        for index in np.unique(np.linspace(0, len(cover) - 1, wanted + 2).round().astype(int)[1:-1]):
            yield cut(pixels, cover[index])


def _in_integers(model: Model, folder: Path) -> bool:
    try:
        return integers_of(model.graph) is not None
    except BadInput as error:
        raise BadInput(f"{folder}: {error}") from error


def _precision(model: Model, lessons: list[Lesson]) -> float | None:
    """mAP@0.5 by the runtime on board; ``None``: there is nothing to measure on."""
    if not lessons:
        return None
    detector = OnnxDetector(model.graph, model.weights, model.spec)
    found = [detector.detect(lesson.pixels) for lesson in lessons]
    classes = len(model.spec.classes)
    return round(mean_average_precision(found, [lesson.truth for lesson in lessons], classes=classes), 4)


def _fits_half(weights: Weights) -> bool:
    with np.errstate(over="ignore"):
        return all(np.array_equal(tensor.astype(np.float16).astype(np.float32), tensor) for tensor in weights.values())
