"""Labels by what models on the ground agree on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from orbitloop.domain.calibration import Calibration
from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import BadInput
from orbitloop.ports.reviews import Proposal
from orbitloop.testing.builders import some_detections
from orbitloop_ground.adapters.pseudo_labels import PseudoLabels, Trust
from orbitloop_ground.adapters.teacher import Teacher, Views

PICTURE = np.zeros((20, 20, 3), np.uint8)
KNOWN = np.ones((20, 20), bool)


class Sees:
    """A teacher's eye that sees the same in every picture, and counts how often it looks."""

    def __init__(self, found: Detections) -> None:
        self.found = found
        self.looks = 0

    def __call__(self, pixels: NDArray[np.uint8]) -> Detections:
        self.looks += 1
        return self.found


def a_teacher(eye: Sees, name: str = "one") -> Teacher:
    views = Views(scales=(1.0,), mirrored=False)
    return Teacher(name=name, detect=eye, views=views, calibration=Calibration.none())


def label(labels: PseudoLabels, known: NDArray[np.bool_] = KNOWN, pixels: NDArray[np.uint8] = PICTURE) -> Proposal:
    proposal = labels.label("any.jpg", pixels, known)
    assert proposal is not None
    return proposal


def test_confident_boxes_are_objects_weak_ones_background_and_those_between_doubtful() -> None:
    eye = Sees(some_detections((0, 0, 8, 8), (0, 10, 8, 18), (10, 10, 19, 19), scores=[0.9, 0.4, 0.1]))
    proposal = label(PseudoLabels(lambda: [a_teacher(eye)], Trust(object=0.7, background=0.2)))
    assert proposal.confidence.tolist() == pytest.approx([0.9, 0.4])
    assert proposal.doubtful.tolist() == [False, True]


def test_a_teacher_labels_only_what_it_can_see() -> None:
    known = np.zeros((20, 20), bool)
    known[:, :10] = True
    eye = Sees(some_detections((0, 0, 8, 8), (12, 0, 19, 8)))
    assert label(PseudoLabels(lambda: [a_teacher(eye)]), known).boxes.tolist() == [[0, 0, 8, 8]]


def test_a_box_that_another_model_does_not_see_is_believed_less_and_one_that_it_sees_is_not() -> None:
    teacher = a_teacher(Sees(some_detections((0, 0, 8, 8), (12, 0, 19, 8), scores=[0.8, 0.8])))
    pupil = a_teacher(Sees(some_detections((0, 0, 8, 8), scores=[0.9])), "two")
    proposal = label(PseudoLabels(lambda: [teacher, pupil]))
    assert proposal.confidence.tolist() == pytest.approx([0.85, 0.4])
    assert proposal.agreement is not None
    assert proposal.agreement.tolist() == [1.0, 0.5]
    assert proposal.doubtful.tolist() == [False, True]


def test_each_model_looks_at_a_picture_once() -> None:
    first, second = Sees(some_detections((0, 0, 8, 8))), Sees(some_detections((0, 0, 8, 8)))
    asked = [a_teacher(first)]
    labels = PseudoLabels(lambda: asked)
    for _ in range(2):
        label(labels)
    asked.append(a_teacher(second, "two"))
    label(labels)
    assert (first.looks, second.looks) == (1, 1)
    label(labels, pixels=np.ones((20, 20, 3), np.uint8))
    assert (first.looks, second.looks) == (2, 2)


@pytest.mark.parametrize(("sure", "background"), [(0.2, 0.7), (1.1, 0.2), (0.5, -0.1), (float("nan"), 0.1)])
def test_impossible_trust_is_refused(sure: float, background: float) -> None:
    with pytest.raises(BadInput, match="trust"):
        Trust(object=sure, background=background)
