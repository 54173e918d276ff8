"""An update of which only a beginning is here: its whole steps fly if they pass, and the rest goes on from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.cut_updates import EYE, OLD, Cut, Satellite, a_move

from orbitloop.domain.delta import Shift, apply
from orbitloop.domain.errors import NotYet
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_report, some_weights
from orbitloop.wire.model_folder import Model

BLINDED = Shift(tensor=EYE, exponent=0, quanta=np.array([-2, 0, 0, 0, 0, 0], np.int8))
SEEING = Shift(tensor=EYE, exponent=0, quanta=np.array([3, 0, 0, 0, 0, 0], np.int8))


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def satellite(tmp_path: Path) -> Satellite:
    return Satellite(tmp_path)


def test_wherever_an_update_is_cut_its_whole_steps_fly_and_then_the_rest(satellite: Satellite) -> None:
    cut = Cut()
    said = [satellite.hear(cut, length) for length in range(len(cut.data))]
    assert [flies for flies in said if flies is not None] == cut.results[:2] == satellite.swapped
    assert satellite.flying() == cut.results[1]
    assert satellite.slots.last() is None  # nothing is told of it as of an update that has come to its end
    report = satellite.finish(cut)
    assert (report.outcome, report.flying) == (Outcome.APPLIED, cut.results[2])
    assert satellite.flying() == cut.results[2]


@pytest.mark.parametrize("steps", [1, 2])
def test_the_last_report_stays_and_what_flew_is_the_last_good_model(satellite: Satellite, steps: int) -> None:
    satellite.slots.remember(a_report(OLD, outcome=Outcome.REFUSED))
    cut = Cut()
    assert satellite.hear(cut, cut.length(steps)) == cut.results[steps - 1]
    assert satellite.slots.last() == a_report(OLD, outcome=Outcome.REFUSED)
    assert satellite.slots.standing() == (cut.results[steps - 1], weights_digest(OLD))


def test_the_rest_flies_from_the_base_too_where_the_beginning_does_not_any_more(satellite: Satellite) -> None:
    cut = Cut()
    satellite.hear(cut, cut.length(2))
    satellite.slots.fall_back(None)
    assert satellite.hear(cut, cut.length(2)) is None  # it is not tried again, here or after a restart
    assert Satellite(satellite.folder).hear(cut, cut.length(2)) is None
    assert satellite.flying() == weights_digest(OLD)
    assert satellite.finish(cut).flying == satellite.flying() == cut.results[2]


def test_a_beginning_that_does_not_pass_is_proved_once_and_says_nothing_against_the_rest(satellite: Satellite) -> None:
    cut = Cut(steps=((BLINDED,), (SEEING,), (a_move(1),)))
    assert satellite.hear(cut, cut.length(1)) is None
    proofs = len(satellite.loaded)
    assert satellite.hear(cut, cut.length(2) - 1) is None
    assert len(satellite.loaded) == proofs
    assert (satellite.flying(), satellite.swapped) == (weights_digest(OLD), [])
    assert satellite.hear(cut, cut.length(2)) == cut.results[1]
    assert satellite.finish(cut).outcome is Outcome.APPLIED


def test_the_rest_may_be_rolled_back_and_the_beginning_goes_on_flying(satellite: Satellite) -> None:
    cut = Cut(steps=((a_move(1),), (BLINDED,)))
    satellite.hear(cut, cut.length(1))
    report = satellite.finish(cut)
    assert (report.outcome, report.flying) == (Outcome.ROLLED_BACK, cut.results[0])
    assert satellite.flying() == cut.results[0]


def test_a_later_update_builds_on_a_beginning(satellite: Satellite) -> None:
    first = Cut()
    satellite.hear(first, first.length(1))
    later = Cut(steps=((a_move(4),),), onto=apply(OLD, first.steps[0]))
    assert later.base == first.results[0]
    assert satellite.finish(later).flying == satellite.flying() == later.results[0]
    assert satellite.finish(first).outcome is Outcome.REFUSED  # it was made for what flew before


@pytest.mark.parametrize(
    ("cut", "kept", "shadow"),
    [
        (Cut(key=Ed25519PrivateKey.from_private_bytes(b"s" * 32)), 5, False),
        (Cut(onto=some_weights(3)), 5, False),
        (Cut(), 2, False),
        (Cut(), 5, True),
    ],
    ids=["a stranger's", "for another model", "too few canaries", "new models fly in shadow first"],
)
def test_a_beginning_that_must_not_fly_leaves_the_satellite_as_it_was(
    tmp_path: Path, cut: Cut, kept: int, shadow: bool
) -> None:
    satellite = Satellite(tmp_path, kept=kept, shadow=shadow)
    state = satellite.slots.state()
    assert satellite.hear(cut, cut.length(2)) is None
    assert satellite.slots.state() == state
    assert satellite.swapped == []


def test_a_flipped_bit_ends_the_beginning_before_its_step(satellite: Satellite) -> None:
    cut = Cut()
    cut.data = cut.data[: cut.length(1)] + bytes([cut.data[cut.length(1)] ^ 1]) + cut.data[cut.length(1) + 1 :]
    assert satellite.hear(cut, len(cut.data)) == cut.results[0]


def test_an_update_of_which_every_byte_is_here_waits_to_be_proved_whole(satellite: Satellite) -> None:
    cut = Cut()
    assert satellite.hear(cut, len(cut.data)) is None
    assert satellite.loaded == []


def test_olu1_has_no_beginnings(satellite: Satellite) -> None:
    golden = Path(__file__).parents[1] / "golden" / "delta" / "olu1.olu"
    cut = Cut()
    cut.data = golden.read_bytes()
    assert [satellite.hear(cut, length) for length in range(0, len(cut.data), 7)].count(None) == -(-len(cut.data) // 7)
    assert satellite.loaded == []


def test_a_full_disk_leaves_the_beginning_to_be_tried_again(
    satellite: Satellite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> Model:
        raise NotYet("the disk is full")

    cut = Cut()
    with monkeypatch.context() as patch:
        patch.setattr(satellite.slots, "stage", full)
        with pytest.raises(NotYet, match="full"):
            satellite.hear(cut, cut.length(1))
    assert satellite.hear(cut, cut.length(1)) == cut.results[0]


def dies(before: bool, act: Callable[..., object]) -> Callable[..., object]:
    def acts(*args: object) -> object:
        if not before:
            act(*args)
        raise Killed

    return acts


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("moment", ["note", "stage", "advance", "swap"])
@pytest.mark.parametrize("steps", [1, 2])
def test_killed_at_any_moment_a_good_model_flies_and_the_rest_after_it(
    satellite: Satellite, monkeypatch: pytest.MonkeyPatch, moment: str, before: bool, steps: int
) -> None:
    cut = Cut()
    if steps == 2:
        satellite.hear(cut, cut.length(1))
    owner: object = satellite.tried if moment == "note" else satellite.slots
    name = moment
    if moment == "swap":
        owner, name = satellite.prove, "_swap"
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dies(before, getattr(owner, name)))
        with pytest.raises(Killed):
            satellite.hear(cut, cut.length(steps))
    again = Satellite(satellite.folder)
    known = [weights_digest(OLD), *cut.results]
    flew = moment == "swap" or (moment == "advance" and not before)
    assert again.flying() == known[steps if flew else steps - 1]
    tried = again.hear(cut, cut.length(steps))
    assert tried == (cut.results[steps - 1] if moment == "note" and before else None)  # else it may kill again
    assert again.finish(cut).flying == again.flying() == cut.results[2]


def test_a_damaged_note_of_what_was_tried_begins_anew(satellite: Satellite) -> None:
    cut = Cut()
    satellite.hear(cut, cut.length(1))
    (satellite.folder / "slots" / "tried.json").write_bytes(b"{damaged")
    assert satellite.hear(cut, cut.length(1)) is None  # it flies
    assert satellite.hear(cut, cut.length(2)) == cut.results[1]
