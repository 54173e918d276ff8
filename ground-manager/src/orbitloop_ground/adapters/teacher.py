"""A detector that labels on the ground, where it may take its time: many views of each picture, calibrated.

The views are the picture at several scales and mirrored (test-time augmentation); what they see is fused to one
opinion, in which a box that only some of them saw counts for less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orbitloop.domain.calibration import Calibration, calibration_error, right_boxes
from orbitloop.domain.detection import Detections, DetectorSpec, Floats, Truth, suppress
from orbitloop.domain.errors import BadInput
from orbitloop.domain.fusion import Fused, agreement, fuse
from orbitloop.domain.tiling import Suppression, detect
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.trainer import Lesson
from orbitloop.wire.model_folder import Model
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.torch_detector import TorchDetector

Look = Callable[[NDArray[np.uint8]], Detections]
"""From ``(h, w, 3)`` uint8 RGB to detections in its pixels."""

_NOTHING = -60.0
"""A logit of no chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """How a picture is looked at.

    Args:
        scales: factors on its resolution.
        mirrored: look at each of them left to right and right to left.
        floor: score below which a view has not seen a box.

    Raises:
        BadInput: there is no view, or a scale is none.
    """

    scales: tuple[float, ...] = (0.5, 0.7, 1.0)
    mirrored: bool = True
    floor: float = 0.05

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= 4 for scale in self.scales):
            raise BadInput(f"scales {self.scales} of a teacher's views must be above 0 and at most 4")

    def through(self, look: Look, pixels: NDArray[np.uint8]) -> list[Detections]:
        """What ``look`` sees in each view, in pixels of the picture."""
        height, width = pixels.shape[:2]
        seen = []
        for scale in self.scales:
            view = resized(pixels, scale)
            back = np.array([width / view.shape[1], height / view.shape[0]] * 2, np.float32)
            for mirrored in (False, True) if self.mirrored else (False,):
                found = look(np.ascontiguousarray(view[:, ::-1]) if mirrored else view)
                found = found.take(found.scores >= self.floor)
                boxes = _mirrored(found.boxes, view.shape[1]) if mirrored else found.boxes
                seen.append(Detections(boxes=boxes * back, scores=found.scores, labels=found.labels))
        return seen


def _mirrored(boxes: Floats, width: int) -> Floats:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def resized(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """A picture at ``scale`` times its resolution, by bicubic filtering."""
    if scale == 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Teacher:
    """Who labels.

    Args:
        name: of its weights: two with one name see the same.
        detect: one view of it.
        views: how it looks.
        calibration: what its fused scores are worth.
    """

    name: str
    detect: Look
    views: Views
    calibration: Calibration

    def look(self, pixels: NDArray[np.uint8]) -> Detections:
        """What is to be seen in a picture, each box scored by its calibrated confidence."""
        return self.opinion(pixels).found

    def opinion(self, pixels: NDArray[np.uint8]) -> Fused:
        """The same, with how far its views agree."""
        views = self.views.through(self.detect, pixels)
        found = _joined(views)
        calibrated = Detections(boxes=found.boxes, scores=self.calibration(found.scores), labels=found.labels)
        return Fused(found=calibrated, agreement=agreement(views, found))

    def scored(self, pixels: NDArray[np.uint8]) -> Detections:
        """What is to be seen, before calibration."""
        return _joined(self.views.through(self.detect, pixels))


def _joined(views: list[Detections]) -> Detections:
    rule = Suppression()
    fused = fuse(views).found
    return suppress(fused.take(fused.scores >= rule.floor), overlap=rule.overlap, contained=rule.contained)


def detector_of(model: Model, compute: Compute) -> Look:
    """A model as one view: like on board, but without looking where nothing came down.

    Raises:
        RuntimeError: the tensors do not fit the network.
    """
    forward = partial(where_seen, TorchDetector(model, compute).forward, model.spec)
    return lambda pixels: detect(pixels, forward, model.spec)


def teacher_of(model: Model, compute: Compute, views: Views, calibration: Calibration) -> Teacher:
    """A model as a teacher; raises ``RuntimeError`` when its tensors do not fit the network."""
    return Teacher(
        name=weights_digest(model.weights), detect=detector_of(model, compute), views=views, calibration=calibration
    )


def where_seen(forward: Callable[[Floats], list[Floats]], spec: DetectorSpec, images: Floats) -> list[Floats]:
    """Raw outputs; those of tiles of a single grey, of which nothing came down, are "nothing" without a look."""
    seen = np.ptp(images.reshape(len(images), -1), axis=1) > 0
    if seen.all():
        return forward(images)
    rows, columns = images.shape[2:]
    outputs = [
        np.full(
            (len(images), len(head.anchors) * spec.channels, rows // head.stride, columns // head.stride),
            _NOTHING,
            np.float32,
        )
        for head in spec.heads
    ]
    if seen.any():
        for output, part in zip(outputs, forward(images[seen]), strict=True):
            output[seen] = part
    return outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A calibration and how good it is.

    Args:
        calibration: fitted on all boxes.
        boxes: how many there were, over ``pictures``.
        error_before: expected calibration error of the bare scores.
        error_after: the same of the calibrated ones, each half of the pictures by what the other half taught.
    """

    calibration: Calibration
    pictures: int
    boxes: int
    error_before: float
    error_after: float


def calibrate(teacher: Teacher, lessons: Iterable[Lesson], *, scale: float) -> Fitted:
    """Learn what a teacher's scores are worth from labelled pictures that it was not trained on.

    Args:
        teacher: its own calibration is left aside.
        lessons: labelled pictures of the old sensor.
        scale: factor on their resolution that makes objects as large as the new sensor shows them.

    Raises:
        BadInput: the teacher sees nothing in any of them.
    """
    scores, hits = [], []
    for lesson in lessons:
        found = teacher.scored(resized(lesson.pixels, scale))
        scores.append(found.scores)
        hits.append(right_boxes(found, Truth(boxes=lesson.truth.boxes * np.float32(scale), labels=lesson.truth.labels)))
    every, right = np.concatenate([np.zeros(0, np.float32), *scores]), np.concatenate([np.zeros(0, bool), *hits])
    if not len(every):
        raise BadInput("the teacher sees nothing in the pictures that it is to be calibrated on; give labelled ones")
    return Fitted(
        calibration=Calibration.fit(every, right),
        pictures=len(scores),
        boxes=len(every),
        error_before=calibration_error(every, right),
        error_after=_error_across(scores, hits),
    )


def _error_across(scores: list[Floats], hits: list[NDArray[np.bool_]]) -> float:
    """Expected calibration error where each half of the pictures is judged by what the other half taught."""
    confidence: list[Floats] = []
    right: list[NDArray[np.bool_]] = []
    for half in (0, 1):
        taught = np.concatenate([np.zeros(0, np.float32), *scores[1 - half :: 2]])
        if not len(taught):
            continue
        calibration = Calibration.fit(taught, np.concatenate(hits[1 - half :: 2]))
        confidence.extend(calibration(part) for part in scores[half::2])
        right.extend(hits[half::2])
    if not confidence:
        return 0.0
    return calibration_error(np.concatenate(confidence), np.concatenate(right))
