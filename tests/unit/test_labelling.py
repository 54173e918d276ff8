"""Labels of tiles: people before annotations, annotations before a teacher, a teacher where it does not doubt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from orbitloop.domain.detection import Truth
from orbitloop.domain.digests import digest_of
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Digest
from orbitloop.ports.reviews import Proposal
from orbitloop.ports.sample_store import ReceivedSample
from orbitloop.testing.blobs import MemoryBlobs
from orbitloop.testing.builders import some_truth
from orbitloop.testing.reviews import MemoryReviews
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop_ground.adapters.labels import certain
from orbitloop_ground.usecases.labelling import Teaching, TileLabeller, Tiles

SIDE = 32


class Sees:
    """A teacher that sees an object in the middle of every tile, and doubts those in columns that it is told of."""

    def __init__(self, *doubted: int) -> None:
        self.doubted = doubted
        self.looks: list[str] = []

    def label(self, frame: str, pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> Proposal:
        self.looks.append(frame)
        columns = [x for x in range(known.shape[1] // SIDE) if known[0, x * SIDE]]
        boxes = np.array([[x * SIDE + 8, 8, x * SIDE + 24, 24] for x in columns], np.float32).reshape(-1, 4)
        proposal = certain(Truth(boxes=boxes, labels=np.zeros(len(columns), np.int64)))
        return replace(proposal, doubtful=np.isin(columns, self.doubted))


def a_tile(column: int, frame: str = "one.png") -> ReceivedSample:
    window = Window(x0=SIDE * column, y0=0, width=SIDE, height=SIDE)
    sample = replace(a_sample()[0], id=digest_of(f"{frame} {column}".encode()), frame=frame, window=window)
    blob = digest_of(bytes([column]))
    return ReceivedSample(sample=sample, satellite="sat-1", blob=blob, bundle=blob, received=LAUNCH, round=None)


def square(data: bytes, source: str) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), data[0], np.uint8)


TILES = [a_tile(0), a_tile(1), a_tile(2), a_tile(0, "two.png")]


def taught(desk: MemoryReviews, eye: Sees, name: str = "large") -> TileLabeller:
    blobs = MemoryBlobs()
    blobs.put({digest_of(bytes([n])): bytes([n]) for n in range(3)})
    return TileLabeller(desk=desk, teacher=Teaching(name=name, labeler=eye, tiles=Tiles(blobs=blobs, decode=square)))


def names(told: dict[Digest, Truth]) -> list[int]:
    return [number for number, tile in enumerate(TILES) if tile.sample.id in told]


def test_a_teacher_labels_each_tile_in_its_own_pixels_and_looks_once_at_each_frame() -> None:
    desk, eye = MemoryReviews(), Sees()
    told = taught(desk, eye).label(TILES, TILES)
    assert names(told) == [0, 1, 2, 3]
    assert told[TILES[1].sample.id].boxes.tolist() == [[8, 8, 24, 24]]
    assert taught(desk, eye).label(TILES, TILES).keys() == told.keys()
    assert sorted(eye.looks) == ["one.png", "two.png"]


def test_a_tile_with_a_doubt_waits_for_a_person_whose_word_then_counts() -> None:
    desk, eye = MemoryReviews(), Sees(1)
    assert names(taught(desk, eye).label(TILES, TILES)) == [0, 2, 3]
    (waiting,) = desk.pending()
    assert waiting.sample == TILES[1].sample.id
    desk.decide(waiting.sample, some_truth((1.0, 2.0, 9.0, 9.0)), "ana", LAUNCH)
    told = taught(desk, eye).label(TILES, TILES)
    assert told[waiting.sample].boxes.tolist() == [[1, 2, 9, 9]]
    desk.decide(waiting.sample, None, "ana", LAUNCH)
    assert names(taught(desk, eye).label(TILES, TILES)) == [0, 2, 3]
    assert len(eye.looks) == 2


def test_people_go_before_annotations_and_annotations_before_the_teacher() -> None:
    desk, eye = MemoryReviews(), Sees()
    annotated = some_truth((3.0, 3.0, 5.0, 5.0))
    labeller = replace(taught(desk, eye), archive=lambda frame, window: annotated if frame == "one.png" else None)
    desk.propose(TILES[2].sample.id, "one.png", TILES[2].sample.window, certain(annotated))
    desk.decide(TILES[2].sample.id, some_truth((1.0, 1.0, 2.0, 2.0)), "ana", LAUNCH)
    told = labeller.label(TILES, TILES)
    assert [told[tile.sample.id].boxes[0, 0] for tile in TILES] == [3, 3, 1, 8]
    assert eye.looks == ["two.png"]


def test_another_teacher_looks_anew_at_what_waits() -> None:
    desk = MemoryReviews()
    assert names(taught(desk, Sees(1)).label(TILES, TILES)) == [0, 2, 3]
    assert names(taught(desk, Sees(), "larger").label(TILES, TILES)) == [0, 1, 2, 3]


def test_what_came_down_of_a_frame_besides_shows_the_teacher_more_of_it() -> None:
    desk, eye = MemoryReviews(), Sees()
    assert names(taught(desk, eye).label([TILES[2]], TILES)) == [2]
    assert desk.opinions([tile.sample.id for tile in TILES]).keys() == {TILES[2].sample.id}
    assert eye.looks == ["one.png"]


@pytest.mark.parametrize(("believed", "expected"), [(True, [0, 2, 3]), (False, [])])
def test_who_does_not_look_itself_believes_what_was_thought_if_told_to(believed: bool, expected: list[int]) -> None:
    desk = MemoryReviews()
    taught(desk, Sees(1)).label(TILES, TILES)
    assert names(TileLabeller(desk=desk, believed=believed).label(TILES, TILES)) == expected


def test_a_tile_that_is_no_picture_keeps_the_others_from_nothing(caplog: pytest.LogCaptureFixture) -> None:
    desk, bad = MemoryReviews(), replace(a_tile(1), blob=digest_of(b"missing"))
    tiles = [a_tile(0), bad, a_tile(2)]
    told = taught(desk, Sees()).label(tiles, tiles)
    assert told.keys() == {tiles[0].sample.id, tiles[2].sample.id}
    assert "sample_unusable" in caplog.text
