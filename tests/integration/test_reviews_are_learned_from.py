"""A doubtful tile is proposed, a person decides on it, and what was said is what is learned."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.reviewing import BOXES, Desk, a_tile, desk, enter

from orbitloop.domain.rollout import is_canary
from orbitloop.ports.reviews import Proposal
from orbitloop.ports.trainer import Lesson
from orbitloop_ground.usecases.school import School

FIXED = [221.0, 181.0, 301.0, 261.0]


class Unsure:
    """Sees two airplanes in every frame, and doubts one of them."""

    def label(self, frame: str, pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> Proposal:
        window = np.argwhere(known)
        y, x = window.min(axis=0)
        return Proposal(
            boxes=np.array(BOXES, np.float32) + np.array([x, y, x, y], np.float32),
            labels=np.zeros(2, np.int64),
            confidence=np.array([0.97, 0.43], np.float32),
            doubtful=np.array([False, True]),
        )


def decoded(data: bytes, source: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.fixture
def reviews(tmp_path: Path, keys: Path) -> Iterator[Desk]:
    with desk(tmp_path, keys, tiles=0) as made:
        yield made


def learned(reviews: Desk) -> list[Lesson]:
    ledger = reviews.parts.ledger
    return School(reviews.parts.blobs, Unsure(), decoded, ledger).lessons(ledger.waiting())


def test_a_persons_word_takes_the_place_of_the_labellers_doubt(reviews: Desk) -> None:
    sample, pixels = next(tile for number in range(30) if not is_canary((tile := a_tile(number))[0].id))
    enter(reviews.parts, [(sample, pixels)])
    corner = np.array([sample.window.x0, sample.window.y0] * 2, np.float32)

    assert len(learned(reviews)[0].truth.boxes) == 1, "the doubtful one is left out"
    with reviews.client() as ana:
        waits = ana.get("/v1/reviews").json()
        assert [tile["sample"] for tile in waits["reviews"]] == [sample.id]
        assert [box["doubtful"] for box in waits["reviews"][0]["boxes"]] == [False, True]
        objects = [{"box": list(BOXES[0]), "label": 0}, {"box": FIXED, "label": 1}]
        said = ana.put(f"/v1/reviews/{sample.id}/verdict", json={"after": 0, "objects": objects})
        assert said.status_code == 200, said.text

    lesson = learned(reviews)[0]
    order = np.argsort(lesson.truth.boxes[:, 0])
    np.testing.assert_allclose(lesson.truth.boxes[order] - corner, [BOXES[0], FIXED])
    assert lesson.truth.labels[order].tolist() == [0, 1]
    assert reviews.parts.ledger.pending() == [], "asked once"

    with reviews.client() as ana:
        assert ana.put(f"/v1/reviews/{sample.id}/verdict", json={"after": 1, "objects": None}).status_code == 200
    lessons = learned(reviews)
    assert [len(lesson.truth.boxes) for lesson in lessons] in ([], [0]), "nothing is learned from a rejected tile"
