"""Two places for a model: what flies is always whole."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orbitloop.adapters.model_files import write_weights
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, NoSpace, NotYet, Refused, Untrusted
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_digest, a_model, a_report, some_weights
from orbitloop.wire.model_folder import DETECTOR, WEIGHTS, detector_text, encode_weights, spec_digest
from orbitloop_edge.adapters.slot_chunks import CHUNKS, write_slot
from orbitloop_edge.adapters.slot_state import REPAIRS, SECOND, STATE
from orbitloop_edge.adapters.slots import Slots
from orbitloop_edge.usecases.models_on_board import Mending

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


def test_an_update_takes_the_slot_of_neither_what_flies_nor_the_last_good_model(slots: Slots) -> None:
    before = OLD
    for number in range(3, 8):
        weights = some_weights(number)
        slots.stage(weights)
        assert slots.kept().graph == a_model().graph
        slots.activate(a_report(weights))
        assert flying(Slots(slots.folder)) == weights_digest(weights)
        assert slots.standing() == (weights_digest(weights), weights_digest(before))
        assert weights_digest(Slots(slots.folder).kept().weights) == weights_digest(before)
        before = weights


def test_what_a_beginning_makes_flies_and_the_last_report_stays(slots: Slots) -> None:
    slots.remember(a_report(OLD, outcome=Outcome.REFUSED))
    slots.stage(NEW)
    with pytest.raises(Untrusted, match="stage it again"):
        slots.advance(weights_digest(OLD))
    slots.advance(weights_digest(NEW))
    assert flying(Slots(slots.folder)) == weights_digest(NEW)
    assert slots.standing() == (weights_digest(NEW), weights_digest(OLD))
    assert slots.last() == a_report(OLD, outcome=Outcome.REFUSED)


def test_what_is_installed_is_there_twice(slots: Slots) -> None:
    state = slots.state()
    assert state.kept is not None
    assert (state.active, state.kept.slot) == ("a", "b")
    assert slots.standing() == (weights_digest(OLD), None)
    with pytest.raises(BadInput, match="no model to fall back to"):
        slots.fall_back(None)


def test_falling_back_lets_the_last_good_model_fly_and_keeps_the_report(slots: Slots) -> None:
    slots.stage(NEW)
    slots.activate(a_report(NEW))
    late = a_report(OLD, outcome=Outcome.ROLLED_BACK)
    slots.fall_back(late)
    again = Slots(slots.folder)
    assert (flying(again), again.last(), again.standing()) == (weights_digest(OLD), late, (weights_digest(OLD), None))
    assert again.mend(()).whole == {weights_digest(OLD)}
    assert again.state().kept is not None  # a second copy, as after an installation


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


def empty_states(slots: Slots) -> None:
    for name in (STATE, SECOND):
        (slots.folder / name).write_bytes(b"")


def invent_a_slot(slots: Slots) -> None:
    for name in (STATE, SECOND):
        path = slots.folder / name
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
        empty_states,
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


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


BITS = [0, 70, 500, 999, 1_480, 2_000, 4_001, 9_999]


@pytest.mark.parametrize("bit", BITS)
@pytest.mark.parametrize("name", ["a/detector.json", "a/weights.safetensors", "a/chunks.json", "graph", STATE, SECOND])
@pytest.mark.parametrize("source", ["the second copy", "memory"])
def test_one_flipped_bit_is_found_and_made_good(slots: Slots, name: str, bit: int, source: str) -> None:
    model = slots.active()
    if source == "memory" and slots.state().kept is not None:
        shutil.rmtree(slots.folder / "b")
    path = the_graph(slots) if name == "graph" else slots.folder / name
    before = path.read_bytes()
    flip(path, bit)
    if name == "graph" and source == "the second copy":
        return  # the graph is there once: only memory, or the ground, has another
    again = Slots(slots.folder)
    mending = again.mend((model,) if source == "memory" else ())
    assert not mending.open
    assert path.read_bytes() == before or name in (STATE, SECOND)  # which differ in what JSON does not say
    assert flying(again) == weights_digest(OLD)
    assert all(good for _, good in again.looks())


def test_a_description_that_a_flip_made_impossible_is_made_good(slots: Slots) -> None:
    path = slots.folder / slots.state().active / DETECTOR
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"tile": said["tile"] + 1}))  # no multiple of the strides
    assert not all(good for _, good in slots.looks())
    assert slots.mend(()).found
    assert all(good for _, good in slots.looks())
    assert json.loads(path.read_text()) == said


def test_a_bit_that_flipped_in_a_tensor_that_did_not_change_comes_from_the_last_good_model(slots: Slots) -> None:
    new = {**OLD, "head.bias": NEW["head.bias"]}
    slots.stage(new)
    slots.activate(a_report(new))
    folder = slots.folder / slots.state().active

    def mended(name: str) -> Mending:
        """After a bit of a tensor has flipped."""
        flip(folder / WEIGHTS, 8 * (folder / WEIGHTS).read_bytes().index(new[name].tobytes()) + 3)
        mending = Slots(slots.folder).mend(())
        assert [damage.part for damage in mending.found] == [name]
        return mending

    assert weights_digest(new) in mended("backbone.0.conv.weight").whole
    mending = mended("head.bias")
    assert weights_digest(new) not in mending.whole
    (missing,) = mending.missing
    assert (missing.part, missing.index, missing.model) == ("head.bias", 0, weights_digest(new))
    (slots.folder / REPAIRS / hexadecimal(missing.digest)).write_bytes(new["head.bias"].tobytes())  # from the ground
    assert not slots.mend(()).open
    assert flying(Slots(slots.folder)) == weights_digest(new)
    assert not slots.repairs


def test_bytes_that_are_not_the_chunk_that_was_asked_for_make_nothing_good(slots: Slots) -> None:
    shutil.rmtree(slots.folder / "b")
    flip(slots.folder / "a" / WEIGHTS, 8 * 400)
    again = Slots(slots.folder)
    for missing in again.mend(()).missing:
        (slots.folder / REPAIRS / hexadecimal(missing.digest)).write_bytes(b"something else")
    assert weights_digest(OLD) not in again.mend(()).whole
    with pytest.raises(Refused):
        again.active()


def test_slots_of_last_month_are_taken_over(tmp_path: Path) -> None:
    """Two slots, one state without a digest of itself, no lists of chunks."""
    model, folder = a_model(OLD), tmp_path / "slots"
    graph = digest_of(model.graph)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
    digest = write_weights(folder / "b", model.spec, model.weights)
    (folder / f"{hexadecimal(graph)}.onnx").write_bytes(model.graph)
    state = {"active": "b", "flying": digest, "spec": spec_digest(model.spec), "graph": graph, "last": None}
    (folder / STATE).write_text(json.dumps(state))
    slots = Slots(folder)
    mending = slots.mend(())
    assert not mending.found
    assert mending.whole == {digest}
    assert (folder / "b" / CHUNKS).exists()
    assert all(good for _, good in slots.looks())
    assert slots.state().kept is not None


def test_memory_is_looked_at_chunk_by_chunk(slots: Slots) -> None:
    model = slots.active()
    assert all(good for _, good in slots.looks_at(model, weights_digest(OLD)))
    for name, tensor in model.weights.items():
        tensor.view(np.uint32).reshape(-1)[-1] ^= 1
        assert sum(not good for _, good in slots.looks_at(model, weights_digest(OLD))) == 1, name
        tensor.view(np.uint32).reshape(-1)[-1] ^= 1
    for other in (replace(model, graph=b"grapi"), replace(model, spec=replace(model.spec, classes=("ship",)))):
        assert not all(good for _, good in slots.looks_at(other, weights_digest(OLD)))


def test_a_staged_model_that_the_disk_has_damaged_does_not_fly(slots: Slots) -> None:
    slots.stage(NEW)
    flip(slots.folder / "c" / WEIGHTS, 8 * 400)
    with pytest.raises(NotYet, match="staged again"):
        slots.activate(a_report(NEW))
    assert flying(slots) == weights_digest(OLD)


def test_answers_of_models_that_are_gone_are_forgotten(slots: Slots) -> None:
    slots.record(weights_digest(OLD), "engine 1", a_digest(1))
    assert slots.answer(weights_digest(OLD), "engine 1") == a_digest(1)
    assert slots.answer(weights_digest(OLD), "engine 2") is None
    for number in (3, 4):
        slots.stage(some_weights(number))
        slots.activate(a_report(some_weights(number)))
        slots.record(weights_digest(some_weights(number)), "engine 1", a_digest(number))
    assert slots.answer(weights_digest(OLD), "engine 1") is None
    assert slots.answer(weights_digest(some_weights(3)), "engine 1") == a_digest(3)


def test_without_room_for_a_second_copy_there_is_one(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path, model: object) -> object:
        if folder.name == "a":
            raise NoSpace("the disk is full")
        return write_slot(folder, model)  # type: ignore[arg-type]

    monkeypatch.setattr("orbitloop_edge.adapters.slots.write_slot", full)
    slots.install(a_model(NEW))  # into c; the second copy would be in a
    assert slots.state().kept is None
    assert flying(slots) == weights_digest(NEW)
