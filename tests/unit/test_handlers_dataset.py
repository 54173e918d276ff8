"""Datasets: counts are what their node said last."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tests.handler_world import ORBITLOOP, SEDNA, World, a_node, an_object, condition, message

from orbitloop_operators.handlers.dataset import Datasets
from orbitloop_operators.handlers.desired_state import desired_state

SATELLITE = an_object(ORBITLOOP, "Satellite", "bupt-1", {"nodeName": "sat-1"})
COUNT = {"numberOfSamples": 7, "updateTime": "2026-03-01T11:00:00Z"}


def a_dataset(**spec: Any) -> dict[str, Any]:
    return an_object(SEDNA, "Dataset", "frames", {"url": "/data/x.txt", "format": "txt", "nodeName": "sat-1"} | spec)


def a_world(*more: dict[str, Any]) -> World:
    world = World(Datasets())
    world.put(a_dataset(), *more)
    return world


def test_a_count_is_taken_from_the_report_of_the_datasets_node() -> None:
    world = a_world(a_node("sat-1"))
    world.report("sat-1", datasets={"lab/frames": COUNT})
    world.report("sat-2", datasets={"lab/frames": {"numberOfSamples": 99}})
    changes = world.reconcile(a_dataset())
    assert changes.status is not None
    assert changes.status["numberOfSamples"] == 7
    assert changes.status["updateTime"] == "2026-03-01T11:00:00Z"
    assert condition(changes) == ("True", "Counted")


@pytest.mark.parametrize("known", [a_node("sat-1"), SATELLITE], ids=["node", "satellite"])
def test_a_dataset_on_a_known_node_waits_for_it(known: dict[str, Any]) -> None:
    changes = a_world(known).reconcile(a_dataset())
    assert condition(changes) == ("Unknown", "WaitingForNode")
    assert changes.notices == ()


def test_a_dataset_on_an_unknown_node_says_what_to_do() -> None:
    changes = a_world(a_node("sat-2")).reconcile(a_dataset())
    assert condition(changes) == ("False", "UnknownNode")
    assert "spec.nodeName: there is no node sat-1" in message(changes)
    assert [notice.reason for notice in changes.notices] == ["UnknownNode"]


@pytest.mark.parametrize("said", [COUNT, {"error": "there is no such file"}], ids=["a count", "an error"])
def test_what_was_said_is_kept_while_there_is_no_report(said: dict[str, Any]) -> None:
    world = a_world(SATELLITE)
    world.report("sat-1", datasets={"lab/frames": said})
    before = world.reconcile(a_dataset()).status
    assert before is not None
    restarted = a_world(SATELLITE)
    restarted.put({**a_dataset(), "status": before})
    restarted.pass_by(hours=5)
    assert restarted.reconcile(a_dataset()).status == before


def test_what_a_node_says_of_the_file_of_before_does_not_count() -> None:
    world = a_world(SATELLITE)
    world.report("sat-1", datasets={"lab/frames": COUNT | {"url": "/data/x.txt"}})
    world.reconcile(a_dataset())
    moved = a_dataset(url="/data/y.txt")
    world.put({**moved, "metadata": {**moved["metadata"], "generation": 2}})
    changes = world.reconcile(a_dataset())
    assert condition(changes) == ("Unknown", "WaitingForNode")
    assert changes.status is not None
    assert "numberOfSamples" not in changes.status, "a job would take the old count for the new file's"
    world.report("sat-1", datasets={"lab/frames": COUNT | {"url": "/data/y.txt"}})
    assert condition(world.reconcile(a_dataset())) == ("True", "Counted")


def test_a_dataset_that_was_pointed_elsewhere_waits_for_its_node_again() -> None:
    world = a_world(SATELLITE)
    world.report("sat-1", datasets={"lab/frames": COUNT})
    counted = world.reconcile(a_dataset()).status
    restarted = a_world(SATELLITE)
    moved = a_dataset(url="/data/y.txt")
    restarted.put({**moved, "metadata": {**moved["metadata"], "generation": 2}, "status": counted})
    assert condition(restarted.reconcile(a_dataset())) == ("Unknown", "WaitingForNode")


def test_a_file_that_is_gone_is_named_and_the_last_count_stays() -> None:
    world = a_world(a_node("sat-1"))
    world.report("sat-1", datasets={"lab/frames": COUNT})
    world.reconcile(a_dataset())
    world.report("sat-1", datasets={"lab/frames": {"error": "there is no such file; put it there"}})
    changes = world.reconcile(a_dataset())
    assert condition(changes) == ("False", "FileMissing")
    assert message(changes) == "/data/x.txt on node sat-1: there is no such file; put it there"
    assert changes.status is not None
    assert changes.status["numberOfSamples"] == 7


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a format that nobody reads": ({"format": "coco"}, "UnsupportedFormat", "txt or csv"),
    "no path": ({"url": "data/x.txt"}, "Invalid", "absolute path"),
    "a node that can have no such name": ({"nodeName": "Sat 1"}, "Invalid", "kubectl get nodes"),
    "a field that there is not": ({"colour": "red"}, "Invalid", "colour"),
}


@pytest.mark.parametrize(("spec", "reason", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_spec_that_cannot_be_worked_with_is_named(spec: dict[str, Any], reason: str, says: str) -> None:
    world = a_world(a_node("sat-1"))
    world.put(a_dataset(**spec))
    changes = world.reconcile(a_dataset())
    assert condition(changes) == ("False", reason)
    assert says in message(changes)


@pytest.mark.parametrize("written", ["txt", "TXT", "csv", "Csv"])
def test_formats_are_read_as_sedna_does_whatever_their_case(written: str) -> None:
    world = a_world(a_node("sat-1"))
    world.put(a_dataset(format=written))
    world.report("sat-1", datasets={"lab/frames": COUNT})
    assert condition(world.reconcile(a_dataset())) == ("True", "Counted")


def test_a_report_that_cannot_be_read_names_the_node() -> None:
    world = a_world(a_node("sat-1"))
    world.report("sat-1", datasets={"lab/frames": {"numberOfSamples": "seven"}})
    changes = world.reconcile(a_dataset())
    assert condition(changes) == ("False", "Invalid")
    assert "node sat-1" in message(changes)


def test_the_order_in_which_things_are_seen_does_not_matter() -> None:
    seen = set()
    for order in itertools.permutations(range(3)):
        world = World(Datasets())
        world.put(a_dataset())
        for step in order:
            if step == 0:
                world.put(a_node("sat-1"))
            elif step == 1:
                world.put(SATELLITE)
            else:
                world.report("sat-1", datasets={"lab/frames": COUNT})
            world.reconcile(a_dataset())
        status = world.reconcile(a_dataset()).status
        assert status is not None
        seen.add((status["numberOfSamples"], status["updateTime"], status["conditions"][0]["reason"]))
    assert seen == {(7, "2026-03-01T11:00:00Z", "Counted")}


def test_a_dataset_is_looked_at_again_when_its_node_changes_or_speaks() -> None:
    world = a_world()
    world.report("sat-1")
    report = world.store.all("observed.orbitloop.io/v1", "NodeReport")[0]
    assert [world.related(one) for one in (a_node("sat-1"), SATELLITE, report)] == [{"frames"}] * 3
    assert [world.related(one) for one in (a_node("sat-2"), a_dataset())] == [set()] * 2


def test_annotations_are_not_counted_and_no_node_is_asked_to() -> None:
    world = a_world(a_node("sat-1"))
    dataset = a_dataset(url="/data/ships/annotations.json", format="JSON")
    world.put(dataset)
    assert condition(world.reconcile(dataset)) == ("True", "Annotations")
    assert desired_state("sat-1", world.store)["datasets"] == {}
