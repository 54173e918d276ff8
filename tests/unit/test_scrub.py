"""What looks at frames is what was proved: damage is found, made good, and never believed."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from orbitloop.domain.boots import BootRule, Choice, choose
from orbitloop.domain.detection import Detections
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import NotYet
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_digest, a_model, a_report, plain_ground, some_detections, some_weights
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.model_folder import WEIGHTS, Model
from orbitloop_edge.adapters.slot_state import REPAIRS
from orbitloop_edge.adapters.slots import Slots
from orbitloop_edge.adapters.starts import FileStarts, FileTrust
from orbitloop_edge.usecases.scrub import Scrubber, ScrubRule

OLD = some_weights(1)
NEW = {**OLD, "head.bias": some_weights(2)["head.bias"]}
RULE = ScrubRule(look=Bytes(100), boots=BootRule(deaths=3, frames=2, again=timedelta(hours=1)))
FRAME = plain_ground(8)


class Packed:
    """A detector that looks with a copy of its own, as a session of onnxruntime does."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.version = weights_digest(model.weights)
        self.rest()
        self.slip = False

    def rest(self) -> None:
        self.packed = {name: tensor.copy() for name, tensor in self.model.weights.items()}

    def detect(self, _: NDArray[np.uint8]) -> Detections:
        return some_detections((0, 0, 9, 9), scores=(float(abs(self.packed["head.bias"][0])) % 1,))

    def answer(self) -> Digest:
        return digest_of(weights_digest(self.packed).encode())


class Board:
    """A satellite's models on a real disk; each ``boot`` is a new process."""

    def __init__(self, folder: Path, rule: ScrubRule = RULE) -> None:
        self.folder, self.rule, self.clock = folder / "slots", rule, VirtualClock(LAUNCH)
        self.slots = Slots(self.folder)
        self.slots.install(a_model(OLD))

    def boot(self) -> Scrubber:
        self.slots = Slots(self.folder)
        self.starts = FileStarts(self.folder / "starts.json")
        return Scrubber(
            satellite="sat-1",
            slots=self.slots,
            load=Packed,
            starts=self.starts,
            record=FileTrust(self.folder / "trust.json"),
            rule=self.rule,
            engine="packed",
            clock=self.clock,
        )

    def update(self, scrubber: Scrubber) -> None:
        """An update is proved and flies."""
        staged = self.slots.stage(NEW)
        self.slots.activate(a_report(NEW))
        scrubber.adopt(Packed(staged))

    def hurt(self, tensor: str, slot: str | None = None) -> None:
        """Flip a bit of a tensor in the slot that flies, or another."""
        path = self.folder / (slot or self.slots.state().active) / WEIGHTS
        data = bytearray(path.read_bytes())
        weights = NEW if tensor == "head.bias" and self.slots.state().flying == weights_digest(NEW) else OLD
        data[data.index(weights[tensor].tobytes())] ^= 4
        path.write_bytes(data)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def loaded(scrubber: Scrubber) -> Packed:
    found = scrubber.current.loaded
    assert isinstance(found, Packed)
    return found


def looked_over(scrubber: Scrubber) -> None:
    rounds = scrubber.trust().rounds
    for _ in range(200):
        scrubber.look()
        if scrubber.trust().rounds > rounds:
            return
    raise AssertionError("no look comes to an end")


def test_looks_go_over_everything_in_slices(board: Board) -> None:
    scrubber = board.boot()
    scrubber.look()
    first = scrubber.trust().scrubbed
    assert 0 < first < 5_000
    looked_over(scrubber)
    trust = scrubber.trust()
    assert trust.scrubbed > 3 * sum(tensor.nbytes for tensor in OLD.values())  # memory, and two copies on the disk
    assert (trust.found, trust.repaired, trust.serving, trust.last) == (0, 0, weights_digest(OLD), None)


def test_a_bit_that_flips_in_memory_is_made_good_by_a_fresh_detector(board: Board) -> None:
    scrubber = board.boot()
    before = loaded(scrubber)
    before.model.weights["head.bias"].view(np.uint32)[0] ^= 1
    for _ in range(200):
        scrubber.look()
    assert loaded(scrubber) is not before
    assert weights_digest(loaded(scrubber).model.weights) == weights_digest(OLD)
    trust = scrubber.trust()
    assert (trust.found, trust.repaired, trust.last) == (1, 1, board.clock.now())


def test_a_wrong_answer_is_not_believed(board: Board) -> None:
    scrubber = board.boot()
    good = scrubber.current.detect(FRAME)
    loaded(scrubber).packed["head.bias"].view(np.uint32)[0] ^= 1 << 22
    seen = scrubber.current.detect(FRAME)
    np.testing.assert_array_equal(seen.scores, good.scores)
    assert (scrubber.trust().found, scrubber.trust().repaired) == (1, 1)


def test_a_detector_that_rested_is_made_of_what_was_looked_at_again(board: Board) -> None:
    scrubber = board.boot()
    good = scrubber.current.detect(FRAME)
    loaded(scrubber).model.weights["head.bias"].view(np.uint32)[0] ^= 1 << 22
    scrubber.rest()  # packs the damaged tensor
    np.testing.assert_array_equal(scrubber.current.detect(FRAME).scores, good.scores)
    assert (scrubber.trust().found, scrubber.trust().repaired) == (1, 1)


def test_a_disk_is_made_good_out_of_memory(board: Board) -> None:
    scrubber = board.boot()
    before = loaded(scrubber)
    for slot in ("a", "b"):
        board.hurt("head.bias", slot)
    for _ in range(200):
        scrubber.look()
    assert loaded(scrubber) is before
    assert scrubber.trust().found == scrubber.trust().repaired == 2
    assert all(good for _, good in board.slots.looks())


def test_counts_outlive_the_worker(board: Board) -> None:
    scrubber = board.boot()
    board.hurt("head.bias")
    for _ in range(200):
        scrubber.look()
    scrubber.end()
    assert board.boot().trust().found == 1


def test_the_last_good_model_stands_in_until_the_ground_has_sent_the_chunk(board: Board) -> None:
    board.update(board.boot())
    board.hurt("head.bias")
    scrubber = board.boot()
    assert scrubber.current.version == weights_digest(OLD) == scrubber.trust().serving
    assert "stands in" in scrubber.trust().reason
    assert board.slots.standing()[0] == weights_digest(NEW)  # for which the ground is asked
    with pytest.raises(NotYet, match="damaged on board; the update waits"):
        scrubber.demand()
    (missing,) = scrubber.missing
    (board.folder / REPAIRS / hexadecimal(missing.digest)).write_bytes(NEW["head.bias"].tobytes())
    scrubber.current.detect(FRAME)
    assert scrubber.current.version == weights_digest(NEW)
    assert (scrubber.missing, scrubber.trust().reason) == ((), "")
    assert scrubber.trust().found == scrubber.trust().repaired == 1
    scrubber.demand()


def test_the_last_good_model_takes_over_when_nobody_makes_the_damage_good(board: Board) -> None:
    board.update(board.boot())
    board.hurt("head.bias")
    scrubber = board.boot()
    board.clock.advance(timedelta(hours=25))
    scrubber.look()
    last = board.slots.last()
    assert last is not None
    assert (last.outcome, last.late, last.flying) == (Outcome.ROLLED_BACK, True, weights_digest(OLD))
    assert last.update == a_report(NEW).update
    assert board.slots.standing() == (weights_digest(OLD), None)
    assert scrubber.trust().fallen_back == 1
    scrubber.current.detect(FRAME)
    scrubber.demand()


def test_nothing_serves_where_no_model_is_whole_and_the_ground_is_asked(board: Board) -> None:
    for slot in ("a", "b"):
        board.hurt("head.bias", slot)
    scrubber = board.boot()
    assert scrubber.trust().serving is None
    with pytest.raises(NotYet, match="chunks of it are asked of the ground"):
        scrubber.current.detect(FRAME)
    assert scrubber.current.version == weights_digest(OLD)
    (missing,) = scrubber.missing
    (board.folder / REPAIRS / hexadecimal(missing.digest)).write_bytes(OLD["head.bias"].tobytes())
    scrubber.look()
    assert scrubber.trust().serving == weights_digest(OLD)


def test_a_model_with_which_the_worker_dies_gives_way_to_the_last_good_one(board: Board) -> None:
    board.update(board.boot())  # and this one was killed, as all that follow
    for _ in range(2):
        assert board.boot().current.version == weights_digest(NEW)
    scrubber = board.boot()
    assert scrubber.current.version == weights_digest(OLD)
    last = board.slots.last()
    assert last is not None
    assert (last.outcome, last.late, last.update) == (Outcome.ROLLED_BACK, True, a_report(NEW).update)
    assert "died 3 times" in last.reason


def test_a_beginning_with_which_the_worker_dies_gives_way_and_nothing_is_said_of_its_update(board: Board) -> None:
    scrubber = board.boot()
    before = a_report(OLD)
    board.slots.remember(before)  # of the update before
    staged = board.slots.stage(NEW)
    board.slots.advance(weights_digest(NEW))
    scrubber.adopt(Packed(staged))
    for _ in range(2):
        assert board.boot().current.version == weights_digest(NEW)
    assert board.boot().current.version == weights_digest(OLD)
    assert board.slots.last() == before


def test_proof_of_life_clears_the_count_and_an_end_in_good_order_is_no_death(board: Board) -> None:
    scrubber = board.boot()
    board.update(scrubber)
    for _ in range(8):
        scrubber = board.boot()
        assert scrubber.current.version == weights_digest(NEW)
        for _ in range(2):
            scrubber.current.detect(FRAME)
            scrubber.served()
    for _ in range(8):
        board.boot().end()
    assert board.boot().current.version == weights_digest(NEW)


def test_the_worker_stays_up_without_a_model_and_tries_it_again_later(board: Board) -> None:
    for _ in range(3):
        board.boot()
    scrubber = board.boot()
    assert scrubber.trust().serving is None
    assert "there is no other model" in scrubber.trust().reason
    with pytest.raises(NotYet, match="died 3 times"):
        scrubber.current.detect(FRAME)
    scrubber.demand()  # a new model is taken
    board.clock.advance(timedelta(hours=1))
    scrubber.look()
    assert scrubber.serves
    board.update(board.boot())
    assert board.boot().serves


def test_a_death_in_the_midst_of_a_proof_is_none_of_the_model_that_flies(board: Board) -> None:
    for number in range(6):
        board.boot()
        assert board.starts.proving(a_digest("update")) == number
    assert board.boot().serves
    board.starts.proved()
    assert board.starts.proving(a_digest("update")) == 0


def test_a_damaged_count_begins_anew(board: Board) -> None:
    for _ in range(3):
        board.boot()
    path = board.folder / "starts.json"
    path.write_text(path.read_text().replace("3", "9"))
    assert board.boot().serves


def test_an_engine_that_computes_otherwise_is_believed_when_it_does_so_twice(board: Board) -> None:
    board.boot()
    board.slots.record(weights_digest(OLD), "packed", a_digest("of another processor"))
    scrubber = board.boot()
    assert scrubber.serves
    assert board.slots.answer(weights_digest(OLD), "packed") == loaded(scrubber).answer()


@pytest.mark.parametrize(
    ("deaths", "kept", "choice"),
    [
        (0, None, Choice.FLY),
        (2, 0, Choice.FLY),
        (3, 0, Choice.FALL_BACK),
        (9, 2, Choice.FALL_BACK),
        (3, 3, Choice.HOLD),
        (3, None, Choice.HOLD),
    ],
)
def test_what_is_tried(deaths: int, kept: int | None, choice: Choice) -> None:
    assert choose(BootRule(), deaths=deaths, kept=kept) is choice


def test_slots_that_are_lost_whole_are_told(board: Board) -> None:
    board.update(board.boot())
    shutil.rmtree(board.folder / board.slots.state().active)
    scrubber = board.boot()
    assert scrubber.trust().serving == weights_digest(OLD)
