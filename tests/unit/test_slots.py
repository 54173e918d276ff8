"""Two places for a model: what flies is always whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orbitloop.domain.errors import BadInput, Refused, Untrusted
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_digest, a_model, a_report, some_weights
from orbitloop.wire.model_folder import DETECTOR, WEIGHTS, detector_text, encode_weights
from orbitloop_edge.adapters.slots import Slots

OLD, NEW = some_weights(1), some_weights(2)


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    """A satellite on which the old model was installed before launch."""
    made = Slots(tmp_path / "slots")
    made.install(a_model(OLD))
    return made


def flying(slots: Slots) -> str:
    return weights_digest(slots.active().weights)


def test_before_the_first_install_nothing_flies(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "deep" / "slots")
    assert not slots.installed()
    with pytest.raises(BadInput, match="no model is installed"):
        slots.active()


def test_what_is_installed_flies_also_after_a_restart(slots: Slots) -> None:
    for each in (slots, Slots(slots.folder)):
        assert each.installed()
        model = each.active()
        assert weights_digest(model.weights) == weights_digest(OLD) == each.state().flying
        assert model.graph == a_model().graph
        assert model.spec == a_model().spec


def test_a_staged_model_does_not_fly_until_it_is_activated(slots: Slots) -> None:
    staged = slots.stage(NEW)
    assert weights_digest(staged.weights) == weights_digest(NEW)
    assert flying(slots) == flying(Slots(slots.folder)) == weights_digest(OLD)
    slots.activate(a_report(NEW))
    assert flying(slots) == flying(Slots(slots.folder)) == weights_digest(NEW)
    assert Slots(slots.folder).state().last == a_report(NEW)


def test_updates_alternate_between_the_slots(slots: Slots) -> None:
    for number in range(3, 8):
        weights = some_weights(number)
        slots.stage(weights)
        slots.activate(a_report(weights))
        assert flying(Slots(slots.folder)) == weights_digest(weights)
        assert slots.state().active == ("b" if number % 2 else "a")


def test_the_report_of_an_update_that_does_not_fly_is_remembered(slots: Slots) -> None:
    slots.stage(NEW)
    slots.remember(a_report(OLD, outcome=Outcome.ROLLED_BACK))
    again = Slots(slots.folder)
    assert again.state().last == a_report(OLD, outcome=Outcome.ROLLED_BACK)
    assert flying(again) == weights_digest(OLD)


def test_a_second_install_replaces_what_flew(slots: Slots) -> None:
    slots.install(a_model(NEW))
    assert flying(Slots(slots.folder)) == weights_digest(NEW)


def test_a_second_install_brings_its_own_graph_and_leaves_the_one_that_flies_until_then(slots: Slots) -> None:
    before = the_graph(slots)
    slots.install(replace(a_model(NEW), graph=b"a newer graph"))
    assert Slots(slots.folder).active().graph == b"a newer graph"
    assert the_graph(slots) != before


def test_a_report_about_another_model_than_the_staged_one_activates_nothing(slots: Slots) -> None:
    slots.stage(NEW)
    with pytest.raises(Untrusted, match="stage it again"):
        slots.activate(a_report(some_weights(9)))
    assert flying(slots) == weights_digest(OLD)


def test_activating_without_staging_is_refused(slots: Slots) -> None:
    with pytest.raises(BadInput, match="no such file"):
        slots.activate(a_report(NEW))
    assert flying(slots) == weights_digest(OLD)


def tamper_with_weights(slots: Slots) -> None:
    (slots.folder / "a" / WEIGHTS).write_bytes(encode_weights(NEW))


def tamper_with_weights_and_digest(slots: Slots) -> None:
    tamper_with_weights(slots)
    (slots.folder / "a" / DETECTOR).write_text(detector_text(a_model().spec, weights_digest(NEW)))


def tamper_with_digest(slots: Slots) -> None:
    (slots.folder / "a" / DETECTOR).write_text(detector_text(a_model().spec, a_digest()))


def tamper_with_specification(slots: Slots) -> None:
    other = replace(a_model().spec, classes=("ship",))
    (slots.folder / "a" / DETECTOR).write_text(detector_text(other, weights_digest(OLD)))


def tamper_with_graph(slots: Slots) -> None:
    the_graph(slots).write_bytes(b"another graph")


def lose_graph(slots: Slots) -> None:
    the_graph(slots).unlink()


def the_graph(slots: Slots) -> Path:
    (path,) = slots.folder.glob("*.onnx")
    return path


def cut_weights(slots: Slots) -> None:
    path = slots.folder / "a" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-9])


def lose_weights(slots: Slots) -> None:
    (slots.folder / "a" / WEIGHTS).unlink()


def empty_state(slots: Slots) -> None:
    (slots.folder / "state.json").write_bytes(b"")


def invent_a_slot(slots: Slots) -> None:
    path = slots.folder / "state.json"
    path.write_text(path.read_text().replace('"a"', '"c"'))


@pytest.mark.parametrize(
    "damage",
    [
        tamper_with_weights,
        tamper_with_weights_and_digest,
        tamper_with_digest,
        tamper_with_specification,
        tamper_with_graph,
        lose_graph,
        cut_weights,
        lose_weights,
        empty_state,
        invent_a_slot,
    ],
)
def test_a_damaged_model_never_flies_and_can_be_installed_again(slots: Slots, damage: object) -> None:
    damage(slots)  # type: ignore[operator]  # one of the functions above
    again = Slots(slots.folder)
    with pytest.raises(Refused, match=str(slots.folder)) as refusal:
        again.active()
    assert len(str(refusal.value).splitlines()) == 1
    again.install(a_model(NEW))
    assert flying(Slots(slots.folder)) == weights_digest(NEW)


def test_what_a_killed_write_left_is_swept_up(slots: Slots) -> None:
    leftovers = [place / ".half.unfinished" for place in (slots.folder, slots.folder / "a", slots.folder / "b")]
    for path in leftovers:
        path.write_bytes(b"half")
    Slots(slots.folder)
    assert not any(path.exists() for path in leftovers)
