"""The data of a mission: frames to fly over, an archive on the ground, test frames of both domains."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput
from orbitloop.ports.trainer import Lesson
from orbitloop_ground.adapters.coco import CocoImage, CocoSet, read_coco


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenery:
    """What a mission sees and is measured on.

    Args:
        annotated: the whole set, for labels by ground truth.
        flown: frames in the order of capture, dealt to the rounds.
        archive: old-domain pictures that the ground replays.
        test_new: test frames as the satellite sees them.
        test_old: the same frames in the old domain.
    """

    annotated: CocoSet
    flown: tuple[tuple[Path, ...], ...]
    archive: list[Lesson]
    test_new: list[Lesson]
    test_old: list[Lesson]


def load_scenery(annotations: Path, *, rounds: int, old_scale: float, seed: int) -> Scenery:
    """Read a COCO set whose images carry ``split`` train, val or test.

    Raises:
        BadInput: the set is malformed, or a split is missing or has fewer frames than there are rounds.
    """
    annotated = read_coco(annotations)
    split = {name: annotated.where(split=name).images for name in ("train", "val", "test")}
    for name, images in split.items():
        if not images:
            raise BadInput(f"{annotations}: no image has split {name!r}; a mission needs train, val and test")
    flown = list(split["train"])
    if len(flown) < rounds:
        raise BadInput(f"{annotations}: {len(flown)} train frames are too few for {rounds} rounds")
    random.Random(seed).shuffle(flown)  # noqa: S311  # chance, not secrecy
    return Scenery(
        annotated=annotated,
        flown=tuple(tuple(image.path for image in flown[index::rounds]) for index in range(rounds)),
        archive=[resized(lesson_of(image), old_scale) for image in split["val"]],
        test_new=[lesson_of(image) for image in split["test"]],
        test_old=[resized(lesson_of(image), old_scale) for image in split["test"]],
    )


def lesson_of(image: CocoImage) -> Lesson:
    """An annotated image with its pixels."""
    return Lesson(pixels=np.asarray(image.load()), truth=image.truth)


def resized(lesson: Lesson, scale: float) -> Lesson:
    """The same scene at ``scale`` times the resolution, by bicubic filtering."""
    picture = Image.fromarray(lesson.pixels)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
    boxes = (lesson.truth.boxes * scale).astype(np.float32)
    return Lesson(pixels=pixels, truth=Truth(boxes=boxes, labels=lesson.truth.labels))
