"""The data of a mission: frames to fly over, an archive on the ground, test frames of both domains."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput
from orbitloop.ports.trainer import Lesson
from orbitloop.wire.bundle import FRAME_NAME
from orbitloop.wire.model_folder import Model
from orbitloop_ground.adapters.coco import CocoImage, CocoSet, read_coco

LONGEST_NAME = 200
"""Characters of a frame's name that a bundle takes."""


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


def load_scenery(
    annotations: Path, *, rounds: int, old_scale: float, seed: int, archive: Path | None = None
) -> Scenery:
    """Read a COCO set whose images carry ``split`` train, val or test.

    Raises:
        BadInput: the set is malformed, two images have one file name or one has a name that cannot be sent, or a
            split is missing or has fewer frames than there are rounds.
    """
    annotated = read_coco(annotations)
    _check_names(annotated, annotations)
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
        archive=[resized(lesson_of(image), old_scale) for image in split["val"]] + _archived(archive),
        test_new=[lesson_of(image) for image in split["test"]],
        test_old=[resized(lesson_of(image), old_scale) for image in split["test"]],
    )


def check_classes(scenery: Scenery, model: Model, source: Path) -> None:
    """Refuse annotations of other classes than the model's, or in another order: labels are indices into them.

    Args:
        scenery, source: what was loaded, and from which annotations.
        model: the one that is launched.

    Raises:
        BadInput: the classes differ.
    """
    given, wanted = scenery.annotated.classes, model.spec.classes
    if given != wanted:
        raise BadInput(
            f"{source}: categories by id are {', '.join(given)}, the model detects {', '.join(wanted)}; "
            "give exactly the model's, in its order"
        )


def _check_names(annotated: CocoSet, source: Path) -> None:
    """On their way down frames are known by file name only: each needs its own, and one that a bundle takes."""
    first: dict[str, int] = {}
    for image in annotated.images:
        name = image.path.name
        if len(name) > LONGEST_NAME or not re.fullmatch(FRAME_NAME, name):
            raise BadInput(
                f"{source}: image {image.id}: file name {name!r} cannot be sent; use at most {LONGEST_NAME} letters, "
                "digits, dots, underscores and hyphens, and begin with a letter, digit or underscore"
            )
        if name in first:
            raise BadInput(
                f"{source}: images {first[name]} and {image.id} are both named {name!r}; frames are told apart by file "
                "name, whatever their folder: rename one"
            )
        first[name] = image.id


def _archived(annotations: Path | None) -> list[Lesson]:
    """The training images of the set that the launched model comes from."""
    if annotations is None:
        return []
    return [lesson_of(image) for image in read_coco(annotations).where(split="train").images]


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
