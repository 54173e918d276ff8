"""Satellites: what they said last, and when they can be heard."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.handler_world import NOON, ORBITLOOP, World, a_node, an_object, condition, message

from orbitloop.testing.builders import a_digest
from orbitloop_operators.handlers.changes import Changes
from orbitloop_operators.handlers.conditions import stamp
from orbitloop_operators.handlers.satellite import Satellites


def a_satellite(name: str = "bupt-1", **spec: Any) -> dict[str, Any]:
    return an_object(ORBITLOOP, "Satellite", name, {"nodeName": "sat-1"} | spec)


def a_plan(*minutes: tuple[int, int], satellite: str = "bupt-1") -> dict[str, Any]:
    """Windows by their minutes from noon."""
    windows = [
        {
            "satellite": satellite,
            "station": "beijing",
            "aos": stamp(NOON + timedelta(minutes=aos)),
            "los": stamp(NOON + timedelta(minutes=los)),
        }
        for aos, los in minutes
    ]
    return {**an_object(ORBITLOOP, "ContactPlan", "plan", {}), "status": {"windows": windows}}


def at(minutes: float) -> str:
    return stamp(NOON + timedelta(minutes=minutes))


def a_world(*more: dict[str, Any]) -> World:
    world = World(Satellites())
    world.put(a_satellite(), *more)
    return world


def status(changes: Changes) -> dict[str, Any]:
    assert changes.status is not None
    return dict(changes.status)


def test_what_it_said_is_shown() -> None:
    world = a_world(a_node("sat-1"))
    said = {"flying": a_digest(1), "queuedSamples": 4, "queuedBytes": 4096}
    world.report("sat-1", lastContact=at(-1), satellite=said)
    shown = status(world.reconcile(a_satellite()))
    assert {name: shown[name] for name in said} == said
    assert shown["lastContact"] == at(-1)
    assert condition(world.ask(a_satellite())) == ("True", "Heard")


def test_the_selection_logic_that_its_frames_go_by_is_shown_and_stays() -> None:
    world = a_world(a_node("sat-1"))
    flying = {"flying": a_digest(1), "version": 3, "application": "ships"}
    world.report("sat-1", lastContact=at(-1), selection={"onBoard": flying})
    shown = {"digest": a_digest(1), "version": 3, "application": "ships"}
    assert status(world.reconcile(a_satellite()))["selection"] == shown
    world.report("sat-1", lastContact=at(-1), selection={"onBoard": None})
    assert status(world.reconcile(a_satellite()))["selection"] == shown, "it has not said anything else"
    world.report("sat-1", selection={"onBoard": flying | {"refused": a_digest(2), "reason": "too old"}})
    assert status(world.reconcile(a_satellite()))["selection"] == shown | {"refused": a_digest(2), "reason": "too old"}
    world.report("sat-1", selection={"onBoard": {"flying": None, "application": ""}})
    assert "selection" not in status(world.reconcile(a_satellite()))


def test_what_the_bridge_says_of_it_is_no_word_of_its_own() -> None:
    world = a_world(a_node("sat-1"))
    world.report("sat-1", selection={"putOff": "the gateway is away"})
    assert condition(world.ask(a_satellite())) == ("Unknown", "WaitingForContact")


def test_what_it_said_stays_while_there_is_no_report() -> None:
    world = a_world()
    world.report("sat-1", lastContact=at(-60), satellite={"flying": a_digest(1), "queuedSamples": 4})
    before = status(world.reconcile(a_satellite()))
    restarted = World(Satellites())
    restarted.put({**a_satellite(), "status": before})
    assert status(restarted.reconcile(a_satellite())) == before


@given(st.permutations(range(4)))
def test_reports_are_taken_in_any_order_and_the_last_one_stays(order: list[int]) -> None:
    reports: list[dict[str, Any]] = [
        {"lastContact": at(-9)},
        {"lastContact": at(-6), "satellite": {"queuedSamples": 9}},
        {"lastContact": at(-3), "satellite": {"queuedSamples": 0}},
        {"lastContact": at(-3), "satellite": {"flying": a_digest(2)}},
    ]
    world = a_world()
    for number in (*order, 3):
        world.report("sat-1", **reports[number])
        world.reconcile(a_satellite())
    shown = status(world.reconcile(a_satellite()))
    assert shown["lastContact"] == at(-3)
    assert shown["flying"] == a_digest(2)


IN_PASS = a_plan((-2, 8), (90, 100))
CONTACT: dict[str, tuple[dict[str, Any] | None, float | None, tuple[str, str], float | None]] = {
    "heard in this pass": (IN_PASS, -1, ("True", "Heard"), 8),
    "heard at its beginning, and silent since": (a_plan((-9, 8)), -8, ("True", "Heard"), 8),
    "not heard in this pass": (IN_PASS, -60, ("Unknown", "PassBegan"), 8),
    "never heard": (IN_PASS, None, ("Unknown", "PassBegan"), 8),
    "between passes": (a_plan((-20, -10), (90, 100)), -10, ("False", "BetweenPasses"), 90),
    "after the last pass": (a_plan((-20, -10)), -10, ("False", "BetweenPasses"), None),
    "heard without a window": (a_plan((90, 100)), -1, ("True", "Heard"), 1),
    "heard without a plan": (None, -1, ("True", "Heard"), 1),
    "silent without a plan": (None, -10, ("False", "NoPlan"), None),
}


@pytest.mark.parametrize(("plan", "heard", "says", "again"), CONTACT.values(), ids=CONTACT.keys())
def test_whether_it_is_in_contact_is_said_and_asked_again_when_that_may_change(
    plan: dict[str, Any] | None, heard: float | None, says: tuple[str, str], again: float | None
) -> None:
    world = a_world(*filter(None, (plan, a_node("sat-1"))))
    if heard is not None:
        world.report("sat-1", lastContact=at(heard))
    changes = world.reconcile(a_satellite())
    assert condition(changes, "InContact") == says
    assert changes.again == (None if again is None else timedelta(minutes=again))
    assert changes.notices == ()


def test_the_next_contact_is_the_first_window_that_begins_after_now_in_any_plan() -> None:
    second = {**a_plan((50, 60)), "metadata": an_object(ORBITLOOP, "ContactPlan", "second", {})["metadata"]}
    world = a_world(IN_PASS, second)
    assert status(world.reconcile(a_satellite()))["nextContact"] == at(50)
    world.pass_by(minutes=55)
    assert status(world.reconcile(a_satellite()))["nextContact"] == at(90)
    world.pass_by(minutes=90)
    assert "nextContact" not in status(world.reconcile(a_satellite()))


def test_windows_of_another_satellite_do_not_count() -> None:
    world = a_world(a_plan((10, 20), satellite="other"))
    assert "nextContact" not in status(world.reconcile(a_satellite()))


@given(st.lists(st.integers(0, 90), min_size=1, max_size=30))
def test_however_often_it_is_heard_the_time_of_contact_is_written_once_a_minute(seconds: list[int]) -> None:
    world, written = a_world(), list[datetime]()
    for step in seconds:
        world.pass_by(seconds=step)
        world.report("sat-1", lastContact=stamp(world.now))
        shown = datetime.fromisoformat(status(world.reconcile(a_satellite()))["lastContact"])
        if not written or shown != written[-1]:
            written.append(shown)
    gaps = [later - earlier for earlier, later in itertools.pairwise(written)]
    assert all(gap >= timedelta(minutes=1) for gap in gaps)


@given(st.integers(0, 59))
def test_the_last_time_of_contact_is_written_in_the_end(seconds: int) -> None:
    world = a_world()
    world.report("sat-1", lastContact=stamp(world.now))
    world.reconcile(a_satellite())
    world.pass_by(seconds=seconds)
    last = stamp(world.now)
    world.report("sat-1", lastContact=last)
    changes = world.reconcile(a_satellite())
    for _ in range(5):
        if changes.again is None:
            break
        world.now += changes.again
        changes = world.reconcile(a_satellite())
    assert changes.again is None, "at rest until something changes"
    assert status(changes)["lastContact"] == last


NOT_READY: dict[str, tuple[dict[str, Any], tuple[dict[str, Any], ...], str, str]] = {
    "no such node": ({}, (), "UnknownNode", "no node sat-1"),
    "a node with two satellites": (
        {},
        (a_node("sat-1"), a_satellite("bupt-2")),
        "NodeTaken",
        "Satellite lab/bupt-2 has node sat-1 too",
    ),
    "no such policy": ({"linkPolicy": "thrifty"}, (a_node("sat-1"),), "MissingLinkPolicy", "no LinkPolicy thrifty"),
    "no elements": ({"elements": ["1 x", "2 y"]}, (a_node("sat-1"),), "Invalid", "69 characters"),
    "no rate": ({"radio": {"uplinkBitsPerSecond": 0}}, (a_node("sat-1"),), "Invalid", "uplinkBitsPerSecond"),
}


@pytest.mark.parametrize(("spec", "others", "reason", "says"), NOT_READY.values(), ids=NOT_READY.keys())
def test_a_satellite_that_is_not_ready_says_why(
    spec: dict[str, Any], others: tuple[dict[str, Any], ...], reason: str, says: str
) -> None:
    world = World(Satellites())
    world.put(a_satellite(**spec), *others)
    changes = world.reconcile(a_satellite())
    assert condition(changes) == ("False", reason)
    assert says in message(changes)
    assert [notice.reason for notice in changes.notices] == [reason]


def test_a_satellite_that_is_no_node_of_the_cluster_is_ready_once_it_is_heard() -> None:
    world = a_world()
    world.report("sat-1", lastContact=at(0))
    assert condition(world.reconcile(a_satellite())) == ("True", "Heard")


def test_a_satellite_is_looked_at_again_when_something_about_it_changes() -> None:
    world = World(Satellites())
    world.put(a_satellite("bupt-1", linkPolicy="thrifty"), a_satellite("bupt-2", nodeName="sat-2"))
    policy = an_object(ORBITLOOP, "LinkPolicy", "thrifty", {})
    assert world.related(IN_PASS) == {"bupt-1", "bupt-2"}
    assert world.related(policy) == {"bupt-1"}
    assert world.related(a_node("sat-2")) == {"bupt-2"}
    assert world.related(a_satellite("bupt-3", nodeName="sat-2")) == {"bupt-2"}
    assert world.related(a_satellite("bupt-2", nodeName="sat-2")) == set()
