"""One contestant through its rounds: choose, learn, and choose on with what was learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bench.cells import Figures
from bench.selection.scene import (
    Contestant,
    Satellite,
    Sent,
    annotated,
    detector_of,
    frames,
    launched,
    lessons_of,
    pixels_of,
    shuffled,
)

from orbitloop.domain.detection import mean_average_precision
from orbitloop.ports.trainer import Lessons
from orbitloop.wire.model_folder import Model
from orbitloop_ground.adapters.coco import CocoImage
from orbitloop_ground.adapters.yolo.finetune import FineTuning, TorchTrainer
from orbitloop_mission.embedded.scenery import lesson_of, resized

OLD_SCALE = 0.5


def precision(model: Model, images: Sequence[CocoImage]) -> float:
    """mAP@0.5 over frames, seen as on board."""
    detector = detector_of(model)
    found = [detector.detect(np.asarray(image.load())) for image in images]
    return mean_average_precision(found, [image.truth for image in images])


def run(contestant: Contestant, *, seed: int, rounds: int, steps: int) -> Figures:
    """Bytes, labels and mAP@0.5 on the test frames after each round, every weight free in training."""
    old = [resized(lesson_of(image), OLD_SCALE) for image in frames("val")]
    trainer = TorchTrainer(FineTuning(steps=steps // rounds, seed=seed))
    order = shuffled(frames("train"), seed)
    satellite, model, sent = Satellite(contestant, seed), launched(), list[Sent]()
    figures: Figures = {}
    for number in range(rounds):
        detector = detector_of(model)
        for image in order[number::rounds]:
            sent += satellite.observe(image.path.name, pixels_of(image.path), detector.detect)
        new = lessons_of(sent)
        weights = trainer.train_fully(model, Lessons(new=new, old=old), lambda step, of, loss: None)
        model = Model(spec=model.spec, weights=weights, graph=model.graph)
        figures[f"bytes_{number + 1}"] = sum(len(entry.data) for entry in sent)
        figures[f"labels_{number + 1}"] = sum(len(lesson.truth.labels) for lesson in new)
        figures[f"map50_{number + 1}"] = precision(model, frames("test"))
    figures["captured"] = satellite.captured
    return figures


def launched_precision() -> Figures:
    """What the model that is launched reaches on the test frames."""
    return {"map50": precision(launched(), annotated().where(split="test").images)}
