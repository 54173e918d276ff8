"""From frames to results and to the samples worth sending down."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import NoSpace
from orbitloop.domain.mining import mining_rule
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.rollout import is_canary
from orbitloop.domain.samples import Reason
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Bytes, Digest
from orbitloop.testing.builders import Box, a_digest, plain_ground, some_detections, with_squares
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.testing.spool import MemorySpool
from orbitloop.wire.bundle import Bundle, unpack
from orbitloop_edge.adapters.imagery import decode_picture, encode_picture, read_picture
from orbitloop_edge.adapters.results import FrameResults
from orbitloop_edge.adapters.shelf import Shelf
from orbitloop_edge.usecases.observe import (
    SAMPLE_SIDE,
    FrameResult,
    Imagery,
    Mining,
    ObserveFrames,
    inside_of,
    sample_windows,
)

LARGE = Bytes(2**30)


class Sees:
    """A detector that sees the same in every frame."""

    def __init__(self, *boxes: Box, name: str = "model", score: float = 0.5) -> None:
        self.version: Digest = a_digest(name)
        self._found = some_detections(*boxes, scores=[score] * len(boxes))
        self.meanwhile: Callable[[], None] = lambda: None

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        self.meanwhile()
        return self._found


class Board:
    """A satellite that observes, with a real disk for all but the spool."""

    def __init__(self, folder: Path, *, share: float = 1.0, budget: Bytes = LARGE) -> None:
        clock = VirtualClock(LAUNCH)
        self.folder = folder
        self.spool = MemorySpool("sat-1", clock, budget=budget)
        self.results = FrameResults(folder / "results.db", "sat-1")
        self.shelf = Shelf(folder / "canaries")
        self.detector = Sees((40, 40, 80, 80), (400, 300, 440, 350))
        chance = np.random.default_rng(4)
        self.observe_frames = ObserveFrames(
            satellite="sat-1",
            detector=self.detector,
            policy=LinkPolicy(downlink_share=share, codec="webp", quality=30),
            mining=Mining(rule=mining_rule("CloudOnly"), uniform=lambda: float(chance.random())),
            imagery=Imagery(read=read_picture, encode=encode_picture, decode=decode_picture),
            spool=self.spool,
            results=self.results,
            canaries=self.shelf,
            clock=clock,
        )

    def frame(self, name: str, pixels: NDArray[np.uint8] | None = None, *, seed: int = 0) -> Path:
        path = self.folder / name
        path.write_bytes(encode_picture(a_scene(seed) if pixels is None else pixels, "png", 100))
        return path

    def observe(self, path: Path) -> FrameResult:
        return self.observe_frames.observe(path)

    def sent(self) -> Bundle:
        """What the ground would receive."""
        sealed = self.spool.seal(LARGE)
        assert sealed is not None
        return unpack(sealed[1])


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def a_scene(seed: int, side: int = 640) -> NDArray[np.uint8]:
    """Rough ground, another for each seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 200, (side // 8, side // 8, 3), np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def test_a_frame_gives_a_result_and_samples(board: Board) -> None:
    path = board.frame("0001.png")
    result = board.observe(path)
    assert (result.frame, result.error, len(result.found)) == ("0001.png", "", 2)
    assert (result.captured, result.model, result.size) == (LAUNCH, board.detector.version, path.stat().st_size)
    assert result.samples == board.spool.state().samples > 0
    assert board.results.telemetry().samples_spooled == result.samples


def test_a_sample_says_where_it_was_cut_and_what_was_seen_in_it(board: Board) -> None:
    pixels = a_scene(0)
    board.observe_frames.swap(Sees((40, 40, 80, 80), (400, 330, 440, 350)))
    board.observe(board.frame("0001.png", pixels))
    found = {sample.window.box: sample for sample, _ in board.sent() if sample.reason is Reason.HARD}
    assert set(found) == {(0, 0, 320, 320), (320, 320, 640, 640)}
    first = found[0, 0, 320, 320]
    assert first.found.boxes.tolist() == [[40, 40, 80, 80]]
    assert (first.frame, first.model, first.captured) == ("0001.png", board.detector.version, LAUNCH)
    tile = decode_picture({sample.id: data for sample, data in board.sent()}[first.id], "tile")
    assert np.abs(tile.astype(int) - pixels[:320, :320]).mean() < 25


@pytest.mark.parametrize("share", [0.05, 0.1, 0.4], ids=str)
def test_samples_never_take_more_than_their_share_of_the_captured_bytes(tmp_path: Path, share: float) -> None:
    board = Board(tmp_path, share=share)
    captured = 0
    for number in range(8):
        path = board.frame(f"{number}.png", seed=number)
        board.observe(path)
        captured += path.stat().st_size
        assert board.spool.state().bytes <= share * captured
    assert board.spool.state().samples > 0


def test_bytes_that_one_frame_does_not_need_are_there_for_the_next(tmp_path: Path) -> None:
    board = Board(tmp_path, share=0.25)
    for number in range(6):
        board.frame(f"plain-{number}.png", plain_ground(640))
    board.observe_frames.swap(Sees())
    assert sum(board.observe(board.folder / f"plain-{number}.png").samples for number in range(6)) <= 6
    board.observe_frames.swap(board.detector)
    assert board.observe(board.frame("busy.png")).samples >= 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"noise", "cannot be read"), (None, "cannot be read")],
    ids=["empty", "corrupt", "gone"],
)
def test_a_frame_that_cannot_be_read_is_recorded_and_the_next_is_unaffected(
    board: Board, data: bytes | None, reason: str
) -> None:
    path = board.folder / "0001.png"
    if data is not None:
        path.write_bytes(data)
    failed = board.observe(path)
    assert reason in failed.error
    assert (len(failed.found), failed.samples, failed.size) == (0, 0, len(data or b""))
    after = board.observe(board.frame("0002.png"))
    assert (after.error, after.samples > 0) == ("", True)
    assert board.results.telemetry().frames_processed == 2


@pytest.mark.parametrize("name", ["scene 1.png", "\u56fe.png", "-1.png"], ids=["a space", "chinese", "a dash"])
def test_a_frame_whose_name_cannot_cross_space_is_recorded_with_its_error(board: Board, name: str) -> None:
    assert "cannot be sent" in board.observe(board.frame(name)).error
    assert board.spool.state().samples == 0
    assert board.observe(board.frame("0002.png", seed=2)).samples > 0


@pytest.mark.parametrize(("height", "width"), [(5, 5), (640, 9), (1, 1)], ids=str)
def test_a_frame_too_small_to_be_judged_is_recorded_with_its_error(board: Board, height: int, width: int) -> None:
    assert "too small" in board.observe(board.frame("0001.png", a_scene(0)[:height, :width])).error


@pytest.mark.parametrize(("height", "width"), [(300, 330), (325, 200), (320, 320), (100, 700)], ids=str)
def test_frames_of_any_other_size_are_looked_at(board: Board, height: int, width: int) -> None:
    assert board.observe(board.frame("0001.png", a_scene(0, 800)[:height, :width])).error == ""


def test_observing_a_frame_again_spools_nothing_twice(board: Board) -> None:
    path = board.frame("0001.png")
    first = board.observe(path)
    for _ in range(4):
        board.observe(path)
    bundle = board.sent()
    assert len({sample.id for sample, _ in bundle}) == len(bundle)
    assert len({sample.window for sample, _ in bundle}) == len(bundle)
    assert board.spool.state().bytes <= path.stat().st_size
    telemetry = board.results.telemetry()
    assert (telemetry.frames_captured, telemetry.captured_bytes) == (1, path.stat().st_size)
    assert telemetry.samples_spooled >= first.samples


def test_observing_a_frame_again_earns_no_more_bytes(tmp_path: Path) -> None:
    board = Board(tmp_path, share=0.1)
    path = board.frame("0001.png")
    for _ in range(10):
        board.observe(path)
    assert board.spool.state().bytes <= 0.1 * path.stat().st_size


def test_what_found_no_room_is_chosen_again_once_there_is_some(tmp_path: Path) -> None:
    for name in ("roomy", "tight"):
        (tmp_path / name).mkdir()
    roomy = Board(tmp_path / "roomy")
    roomy.observe(roomy.frame("0001.png"))
    ids = {sample.id for sample, _ in roomy.sent()}
    most = Bytes(max(sample.size for sample, _ in roomy.sent()))
    tight = Board(tmp_path / "tight", budget=most)
    path = tight.frame("0001.png")
    arrived: set[Digest] = set()
    for _ in range(len(ids)):
        try:
            tight.observe(path)
        except NoSpace:
            bundle = tight.sent()
            arrived |= {sample.id for sample, _ in bundle}
            sealed = tight.spool.seal(LARGE)
            assert sealed is not None
            tight.spool.delivered(sealed[0])
    arrived |= {sample.id for sample, _ in tight.sent()} if tight.spool.state().samples else set()
    assert arrived == ids


def test_held_out_tiles_are_kept_as_the_ground_will_see_them(board: Board) -> None:
    for number in range(12):
        board.observe(board.frame(f"{number}.png", seed=number))
    kept = 0
    for sample, data in board.sent():
        pixels = board.shelf.pixels(sample.id)
        assert (pixels is not None) is is_canary(sample.id)
        if pixels is not None:
            kept += 1
            np.testing.assert_array_equal(pixels, decode_picture(data, "tile"))
    assert kept > 0


def test_the_model_is_swapped_between_two_frames_never_within_one(board: Board) -> None:
    successor = Sees((40, 40, 80, 80), name="successor")
    swapping = threading.Thread(target=board.observe_frames.swap, args=(successor,))
    alive: list[bool] = []

    def try_to_swap() -> None:
        if alive:  # the second look
            return
        swapping.start()
        swapping.join(timeout=0.1)  # it cannot end before this frame does
        alive.append(swapping.is_alive())

    board.detector.meanwhile = try_to_swap
    first = board.observe(board.frame("0001.png"))
    swapping.join()
    second = board.observe(board.frame("0002.png", seed=2))
    assert alive == [True]
    assert (first.model, second.model) == (board.detector.version, successor.version)
    assert {(sample.frame, sample.model) for sample, _ in board.sent()} == {
        ("0001.png", first.model),
        ("0002.png", second.model),
    }


def test_a_total_miss_is_sent_as_a_possible_miss(board: Board) -> None:
    board.observe_frames.swap(Sees())
    scene = plain_ground(640)
    scene[320:, 320:] = with_squares(a_scene(1)[:320, :320], (50, 50, 90, 90))
    board.observe(board.frame("0001.png", scene))
    assert [(sample.window.box, sample.reason) for sample, _ in board.sent()][:1] == [
        ((320, 320, 640, 640), Reason.MISS)
    ]


# Tiles


@given(width=st.integers(1, 2_000), height=st.integers(1, 2_000))
def test_sample_tiles_lie_in_the_frame_do_not_overlap_and_leave_out_only_narrow_strips(width: int, height: int) -> None:
    covered = np.zeros((height, width), np.uint8)
    for window in sample_windows(width, height):
        x0, y0, x1, y1 = window.box
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        covered[y0:y1, x0:x1] += 1
    assert covered.max() == 1
    left_out = np.argwhere(covered == 0)
    if len(left_out):
        strip = SAMPLE_SIDE // 4
        assert ((left_out[:, 0] >= height - strip) | (left_out[:, 1] >= width - strip)).all()


def test_a_detection_belongs_to_the_tile_of_its_centre() -> None:
    found = some_detections((300, 10, 330, 30), (310, 10, 340, 30), (0, 310, 20, 330))
    left, right = (Window(x0=x, y0=0, width=320, height=320) for x in (0, 320))
    assert inside_of(found, left).boxes.tolist() == [[300, 10, 330, 30]]
    assert inside_of(found, right).boxes.tolist() == [[-10, 10, 20, 30]]
