"""A teacher: many views of a picture, fused and calibrated."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from orbitloop.domain.calibration import Calibration
from orbitloop.domain.detection import Detections, Floats
from orbitloop.domain.errors import BadInput
from orbitloop.domain.tiling import PAD
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.trainer import Lesson
from orbitloop.testing.builders import a_spec, boxes_of, plain_ground, some_truth, with_squares
from orbitloop.wire.model_folder import Model
from orbitloop_ground.adapters.teacher import Look, Teacher, Views, calibrate, teacher_of, where_seen
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.export import export_graph
from orbitloop_ground.adapters.yolo.network import YoloTiny, weights_of

BRIGHT = 200


class Bright:
    """Sees one object: all that is bright; is asked about pictures of the sizes that it remembers."""

    def __init__(self, score: float = 0.8) -> None:
        self.score = score
        self.sizes: list[tuple[int, int]] = []

    def __call__(self, pixels: NDArray[np.uint8]) -> Detections:
        self.sizes.append((pixels.shape[0], pixels.shape[1]))
        rows, columns = np.nonzero(pixels[..., 0] > BRIGHT)
        if not len(rows):
            return Detections.none()
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        return Detections(
            boxes=boxes_of([box]), scores=np.array([self.score], np.float32), labels=np.zeros(1, np.int64)
        )


def a_teacher(look: Look, *, scales: tuple[float, ...] = (0.5, 1.0)) -> Teacher:
    return Teacher(name="one", detect=look, views=Views(scales=scales), calibration=Calibration.none())


def test_every_view_speaks_of_the_same_place() -> None:
    look = Bright()
    found = a_teacher(look).look(with_squares(plain_ground(160), (20, 40, 60, 100)))
    assert look.sizes == [(80, 80), (80, 80), (160, 160), (160, 160)]
    np.testing.assert_allclose(found.boxes, [[20, 40, 60, 100]], atol=2)
    assert found.scores.tolist() == pytest.approx([0.8])


class Sharp(Bright):
    """Sees the object only in large pictures."""

    def __call__(self, pixels: NDArray[np.uint8]) -> Detections:
        return super().__call__(pixels) if len(pixels) > 100 else Detections.none()


@pytest.mark.parametrize(("look", "share"), [(Bright(), 1.0), (Sharp(), 0.5)], ids=["all", "half"])
def test_an_opinion_says_how_many_views_saw_each_box(look: Look, share: float) -> None:
    opinion = a_teacher(look).opinion(with_squares(plain_ground(160), (20, 40, 60, 100)))
    assert opinion.agreement.tolist() == [share]
    assert a_teacher(look).opinion(plain_ground(160)).agreement.shape == (0,)


def test_a_calibrated_teacher_says_what_its_scores_are_worth() -> None:
    lessons = [
        Lesson(pixels=with_squares(plain_ground(64), (8, 8, 24, 24)), truth=truth)
        for truth in [some_truth((8, 8, 24, 24)), some_truth()] * 4
    ]
    fitted = calibrate(a_teacher(Bright(0.9)), lessons, scale=2.0)
    assert (fitted.pictures, fitted.boxes) == (8, 8)
    assert fitted.calibration(np.array([0.9], np.float32)).tolist() == pytest.approx([0.5])
    assert fitted.error_before == pytest.approx(0.4, abs=0.01)


def test_pictures_in_which_nothing_is_seen_cannot_calibrate() -> None:
    with pytest.raises(BadInput, match="sees nothing"):
        calibrate(a_teacher(Bright()), [Lesson(pixels=plain_ground(64), truth=some_truth())], scale=1.0)


@pytest.mark.parametrize("scales", [(), (0.0,), (9.0,)])
def test_impossible_views_are_refused(scales: tuple[float, ...]) -> None:
    with pytest.raises(BadInput, match="scales"):
        Views(scales=scales)


def test_where_nothing_came_down_a_teacher_does_not_look() -> None:
    spec = a_spec(tile=64)
    shown: list[int] = []

    def forward(images: Floats) -> list[Floats]:
        shown.append(len(images))
        return [np.ones((len(images), 18, 64 // head.stride, 64 // head.stride), np.float32) for head in spec.heads]

    images = np.full((3, 3, 64, 64), PAD / 255, np.float32)
    assert all((output == -60).all() for output in where_seen(forward, spec, images))
    images[1, 0, 5, 5] = 0.9
    outputs = where_seen(forward, spec, images)
    assert shown == [1]
    assert all((output[1] == 1).all() and (output[[0, 2]] == -60).all() for output in outputs)


def test_a_model_becomes_a_teacher_by_its_weights() -> None:
    spec = a_spec(tile=64)
    model = Model(spec=spec, weights=weights_of(YoloTiny(spec, normalised=False)), graph=export_graph(spec))
    made = teacher_of(model, Compute.best(), Views(), Calibration.none())
    assert made.name == weights_digest(model.weights)
    assert len(made.look(np.full((64, 64, 3), PAD, np.uint8))) == 0
