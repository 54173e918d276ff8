"""Lessons from samples: frames put together again, labelled where they are known, held-out tiles kept apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from orbitloop.domain.detection import Truth
from orbitloop.domain.rollout import is_canary
from orbitloop.domain.tiling import PAD, Window
from orbitloop.domain.units import Digest
from orbitloop.ports.reviews import Proposal
from orbitloop.ports.sample_store import ReceivedSample
from orbitloop.testing.builders import a_digest, some_truth
from orbitloop.testing.reviews import MemoryReviews
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop_ground.adapters.coco import CocoSet
from orbitloop_ground.adapters.labels import ArchiveLabels, certain, known_share
from orbitloop_ground.usecases.school import School


class OneTile:
    """A blob store in which every blob is the same byte."""

    def put(self, blobs: Mapping[Digest, bytes]) -> None:
        raise AssertionError("lessons only read")

    def get(self, digest: Digest) -> bytes:
        return b"\x07"


def grey(data: bytes, source: str) -> NDArray[np.uint8]:
    return np.full((320, 320, 3), data[0], np.uint8)


class Shown:
    """Remembers what it was shown and labels it with fixed objects."""

    def __init__(self, truth: Truth | None, *, doubtful: tuple[bool, ...] = ()) -> None:
        self.opinion = None if truth is None else certain(truth)
        if self.opinion is not None and doubtful:
            self.opinion = replace(self.opinion, doubtful=np.array(doubtful))
        self.shown: list[tuple[str, NDArray[np.uint8], NDArray[np.bool_]]] = []

    def label(self, frame: str, pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> Proposal | None:
        self.shown.append((frame, pixels, known))
        return self.opinion


def received(x: int, y: int, *, held_out: bool, frame: str = "one.jpg") -> ReceivedSample:
    name = next(a_digest((x, y, n)) for n in range(1000) if is_canary(a_digest((x, y, n))) == held_out)
    sample = replace(a_sample()[0], id=name, frame=frame, window=Window(x0=x, y0=y, width=320, height=320))
    return ReceivedSample(
        sample=sample, satellite="sat-1", blob=a_digest(), bundle=a_digest(), received=LAUNCH, round=None
    )


def test_tiles_of_one_frame_make_one_lesson_with_grey_where_nothing_came_down() -> None:
    labeler = Shown(some_truth((10.0, 10.0, 40.0, 40.0)))
    school = School(OneTile(), labeler, grey)
    lessons = school.lessons([received(0, 0, held_out=False), received(640, 0, held_out=False)])
    assert len(lessons) == 1
    pixels = lessons[0].pixels
    assert pixels.shape == (320, 960, 3)
    assert (pixels[:, :320] == 7).all()
    assert (pixels[:, 320:640] == PAD).all()
    assert labeler.shown[0][2].sum() == 2 * 320 * 320


def test_held_out_tiles_are_lessons_of_their_own_and_in_no_other() -> None:
    school = School(OneTile(), Shown(some_truth((650.0, 10.0, 990.0, 40.0))), grey)
    samples = [received(0, 0, held_out=False), received(640, 0, held_out=True)]
    assert school.lessons(samples)[0].pixels.shape == (320, 320, 3)
    (tile,) = school.held_out(samples)
    assert tile.pixels.shape == (320, 320, 3)
    assert tile.truth.boxes.tolist() == [[10, 10, 320, 40]]  # in its own pixels, cut at its edge


def test_canaries_say_what_the_satellite_should_find_in_the_tiles_it_kept() -> None:
    school = School(OneTile(), Shown(some_truth((650.0, 10.0, 700.0, 40.0))), grey)
    sample = received(640, 0, held_out=True)
    (canary,) = school.canaries([sample, received(0, 0, held_out=False)])
    assert canary.sample == sample.sample.id
    assert canary.truth.boxes.tolist() == [[10, 10, 60, 40]]


def test_frames_that_nobody_can_label_teach_nothing() -> None:
    school = School(OneTile(), Shown(None), grey)
    assert school.lessons([received(0, 0, held_out=False)]) == []
    assert school.held_out([received(0, 0, held_out=True)]) == []


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((0.0, 0.0, 10.0, 10.0), 1.0),
        ((5.0, 0.0, 15.0, 10.0), 0.5),
        ((10.0, 0.0, 20.0, 10.0), 0.0),
        ((-5.0, 0.0, 5.0, 10.0), 0.5),
    ],
    ids=["inside", "half", "beside", "leaving the frame"],
)
def test_the_known_share_of_a_box_is_counted_in_pixels(box: tuple[float, float, float, float], share: float) -> None:
    known = np.zeros((20, 20), bool)
    known[:, :10] = True
    assert known_share(some_truth(box).boxes, known).tolist() == pytest.approx([share])


def test_doubtful_boxes_are_neither_objects_nor_background_and_wait_for_people() -> None:
    reviews = MemoryReviews()
    labeler = Shown(some_truth((10, 10, 40, 40), (700, 10, 740, 50)), doubtful=(False, True))
    samples = [received(0, 0, held_out=False), received(640, 0, held_out=False)]
    (lesson,) = School(OneTile(), labeler, grey, reviews).lessons(samples)
    assert lesson.truth.boxes.tolist() == [[10, 10, 40, 40]]
    assert (lesson.pixels[7:53, 697:743] == PAD).all()
    assert (lesson.pixels[0:7, 640:960] == 7).all()
    (waiting,) = reviews.pending()
    assert waiting.sample == samples[1].sample.id
    assert waiting.frame == "one.jpg"
    assert waiting.proposal.boxes.tolist() == [[60, 10, 100, 50]]
    assert waiting.proposal.doubtful.tolist() == [True]


def test_what_people_decided_goes_before_what_the_labeller_thinks() -> None:
    reviews = MemoryReviews()
    labeler = Shown(some_truth((10, 10, 40, 40), (700, 10, 740, 50)), doubtful=(False, True))
    samples = [received(0, 0, held_out=False), received(640, 0, held_out=False)]
    school = School(OneTile(), labeler, grey, reviews)
    school.lessons(samples)
    reviews.decide(samples[1].sample.id, some_truth((100, 100, 130, 130)), "Ada", LAUNCH)
    (lesson,) = school.lessons(samples)
    assert lesson.truth.boxes.tolist() == [[10, 10, 40, 40], [740, 100, 770, 130]]
    assert (lesson.pixels[0:320, 640:960] == 7).all()
    assert not reviews.pending()


def test_nothing_is_learned_from_a_tile_that_people_rejected() -> None:
    reviews = MemoryReviews()
    labeler = Shown(some_truth((10, 10, 40, 40), (700, 10, 740, 50)), doubtful=(False, True))
    samples = [received(0, 0, held_out=False), received(640, 0, held_out=False)]
    school = School(OneTile(), labeler, grey, reviews)
    school.lessons(samples)
    reviews.decide(samples[1].sample.id, None, "Ada", LAUNCH)
    (lesson,) = school.lessons(samples)
    assert lesson.truth.boxes.tolist() == [[10, 10, 40, 40]]
    assert (lesson.pixels[0:320, 640:960] == PAD).all()


def test_people_know_frames_that_no_labeller_knows() -> None:
    reviews, samples = MemoryReviews(), [received(0, 0, held_out=False), received(640, 0, held_out=False)]
    School(OneTile(), Shown(some_truth((10, 10, 40, 40)), doubtful=(True,)), grey, reviews).lessons(samples)
    reviews.decide(samples[0].sample.id, some_truth((20, 20, 60, 60)), "Ada", LAUNCH)
    (lesson,) = School(OneTile(), Shown(None), grey, reviews).lessons(samples)
    assert lesson.truth.boxes.tolist() == [[20, 20, 60, 60]]
    assert (lesson.pixels[:, 640:] == PAD).all()


def test_a_held_out_tile_with_a_doubtful_box_judges_no_model_until_people_decide() -> None:
    reviews, held_out = MemoryReviews(), received(0, 0, held_out=True)
    school = School(OneTile(), Shown(some_truth((10, 10, 40, 40)), doubtful=(True,)), grey, reviews)
    assert school.held_out([held_out]) == []
    assert school.canaries([held_out]) == []
    reviews.decide(held_out.sample.id, some_truth((20, 20, 60, 60)), "Ada", LAUNCH)
    (canary,) = school.canaries([held_out])
    assert canary.truth.boxes.tolist() == [[20, 20, 60, 60]]
    reviews.decide(held_out.sample.id, None, "Ada", LAUNCH)
    assert school.canaries([held_out]) == []


def test_the_archive_knows_only_its_own_frames() -> None:
    labels = ArchiveLabels(CocoSet(classes=("airplane",), images=()))
    assert labels.label("stranger.jpg", np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool)) is None


@pytest.mark.parametrize(
    ("x", "side"), [(0, 400), (0, 10), (20_000, 320)], ids=["picture too small", "picture too large", "far away"]
)
def test_a_sample_that_is_not_what_its_header_says_is_left_out_and_the_others_teach(x: int, side: int) -> None:
    school = School(OneTile(), Shown(some_truth((10.0, 10.0, 40.0, 40.0))), grey)
    good, bad = received(320, 320, held_out=False), received(x, 0, held_out=False)
    bad = replace(bad, sample=replace(bad.sample, window=Window(x0=x, y0=0, width=side, height=side)))
    (lesson,) = school.lessons([bad, good])
    assert lesson.pixels.shape == (640, 640, 3)
    assert school.lessons([bad]) == []


@pytest.mark.parametrize("looked", [True, False], ids=["a teacher", "annotations"])
def test_what_a_teacher_thinks_of_each_tile_is_kept_and_annotations_are_no_opinion(looked: bool) -> None:
    reviews, labeler = MemoryReviews(), Shown(some_truth((10.0, 10.0, 40.0, 40.0), (650.0, 10.0, 700.0, 40.0)))
    assert labeler.opinion is not None
    if looked:
        labeler.opinion = replace(labeler.opinion, agreement=np.array([1.0, 0.5], np.float32))
    tiles = [received(0, 0, held_out=False), received(640, 0, held_out=False)]
    School(OneTile(), labeler, grey, reviews).lessons(tiles)
    thought = reviews.opinions([tile.sample.id for tile in tiles])
    agreement = [None if one.agreement is None else one.agreement.tolist() for one in thought.values()]
    assert agreement == ([[1.0], [0.5]] if looked else [])
