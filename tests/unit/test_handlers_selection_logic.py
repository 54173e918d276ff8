"""SelectionLogics: how far each has come at each satellite, whose it is where two want one, and what is in the way."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.handler_world import ORBITLOOP, World, an_object, condition, message

from orbitloop.testing.builders import a_digest
from orbitloop_operators.handlers.changes import Changes
from orbitloop_operators.handlers.logic_claims import claimed
from orbitloop_operators.handlers.selection_logic import SelectionLogics

SOURCE, SIGNED, OTHER = a_digest("source"), a_digest("signed"), a_digest("other")
OFFERED = {"source": SOURCE, "digest": SIGNED, "version": 3, "application": "ships", "target": "one-core"}
NAMES = ("sat-1", "sat-2")


def a_satellite(name: str, node: str = "", **more: Any) -> dict[str, Any]:
    return {**an_object(ORBITLOOP, "Satellite", name, {"nodeName": node or f"node-of-{name}"}), **more}


def a_logic(name: str = "ships", *, at: int = 1, generation: int = 1, **spec: Any) -> dict[str, Any]:
    written = {"satellites": ["sat-1"], "url": "/data/selection.ols", "digest": SOURCE} | spec
    since = f"2026-01-0{at}T00:00:00Z"
    return an_object(ORBITLOOP, "SelectionLogic", name, written, creationTimestamp=since, generation=generation)


def a_world(*documents: dict[str, Any]) -> World:
    world = World(SelectionLogics())
    world.put(*(a_satellite(name) for name in NAMES), *(documents or (a_logic(),)))
    return world


def shown(changes: Changes) -> list[dict[str, Any]]:
    assert changes.status is not None
    return list(changes.status["satellites"])


def on_board(**said: Any) -> dict[str, Any]:
    return {"application": "", "reason": "", **said}


# What the gateway and the satellite say; state and what the condition says of it, status and reason; and the message.
PROGRESS: dict[str, tuple[dict[str, Any] | None, str, tuple[str, str], str]] = {
    "nothing": (None, "Waiting", ("Unknown", "Waiting"), "the gateway has not offered it yet"),
    "nothing is on offer": ({"fetched": OTHER}, "Waiting", ("Unknown", "Waiting"), "has not offered it yet"),
    "another is on offer": (
        {"offered": OFFERED | {"source": OTHER}},
        "Waiting",
        ("Unknown", "Waiting"),
        "has not offered it yet",
    ),
    "the gateway is away": ({"putOff": "is it running"}, "Waiting", ("Unknown", "Waiting"), "is it running"),
    "the gateway refuses": (
        {"refused": {SOURCE: "selection.ols: no such file"}},
        "Waiting",
        ("False", "NotOffered"),
        "selection.ols: no such file",
    ),
    "it refused another": ({"refused": {OTHER: "no such file"}}, "Waiting", ("Unknown", "Waiting"), "not offered it"),
    "offered": ({"offered": OFFERED}, "Offered", ("Unknown", "Offered"), "version 3 goes up in the next contacts"),
    "another was fetched": ({"offered": OFFERED, "fetched": OTHER}, "Offered", ("Unknown", "Offered"), "goes up"),
    "another flies": (
        {"offered": OFFERED, "fetched": OTHER, "onBoard": on_board(flying=OTHER, version=2)},
        "Offered",
        ("Unknown", "Offered"),
        "goes up",
    ),
    "fetched by one that says no more": (
        {"offered": OFFERED, "fetched": SIGNED},
        "Fetched",
        ("Unknown", "Fetched"),
        "whether it flies is not said",
    ),
    "fetched": (
        {"offered": OFFERED, "fetched": SIGNED, "onBoard": on_board(flying=OTHER, version=2)},
        "Fetched",
        ("Unknown", "Fetched"),
        "flies once it has proved good",
    ),
    "flying": (
        {"offered": OFFERED, "fetched": SIGNED, "onBoard": on_board(flying=SIGNED, version=3)},
        "Flying",
        ("True", "Flying"),
        "frames go by version 3",
    ),
    "flying by hand": (
        {"offered": OFFERED, "onBoard": on_board(flying=SIGNED, version=3)},
        "Flying",
        ("True", "Flying"),
        "frames go by version 3",
    ),
    "refused": (
        {"offered": OFFERED, "fetched": SIGNED, "onBoard": on_board(refused=SIGNED, reason="network 'tiny' fails")},
        "Refused",
        ("False", "Refused"),
        "network 'tiny' fails",
    ),
    "another was refused": (
        {"offered": OFFERED, "fetched": SIGNED, "onBoard": on_board(refused=OTHER, reason="too old")},
        "Fetched",
        ("Unknown", "Fetched"),
        "flies once it has proved good",
    ),
}


@pytest.mark.parametrize(("said", "state", "found", "told"), PROGRESS.values(), ids=PROGRESS.keys())
def test_how_far_it_is_at_a_satellite(
    said: dict[str, Any] | None, state: str, found: tuple[str, str], told: str
) -> None:
    world = a_world()
    if said is not None:
        world.report("node-of-sat-1", selection=said)
    changes = world.reconcile(a_logic())
    (entry,) = shown(changes)
    assert (entry["name"], entry["node"], entry["state"]) == ("sat-1", "node-of-sat-1", state)
    assert condition(changes) == found
    assert told in entry["message"]
    assert message(changes) == f"sat-1: {entry['message']}"
    assert changes.status is not None
    assert changes.status["state"] == state
    if state != "Waiting":
        assert {name: changes.status[name] for name in ("application", "target", "version")} == {
            "application": "ships",
            "target": "one-core",
            "version": 3,
        }
        assert entry["digest"] == SIGNED


def test_what_cannot_be_read_is_said_and_harms_no_other_satellite() -> None:
    world = a_world(a_logic(satellites=[*NAMES]))
    world.report("node-of-sat-1", selection={"offered": "yes"})
    world.report("node-of-sat-2", selection={"offered": OFFERED, "onBoard": on_board(flying=SIGNED)})
    changes = world.reconcile(a_logic())
    assert [entry["state"] for entry in shown(changes)] == ["Waiting", "Flying"]
    assert "node node-of-sat-1 says of its selection logic what cannot be read" in message(changes)


def test_the_state_is_that_of_the_satellite_that_it_has_come_least_far_to() -> None:
    world = a_world(a_logic(satellites=["sat-2", "sat-1", "sat-2"]))
    world.report("node-of-sat-1", selection={"offered": OFFERED, "onBoard": on_board(flying=SIGNED)})
    world.report("node-of-sat-2", selection={"offered": OFFERED | {"version": 5}, "fetched": OTHER})
    changes = world.reconcile(a_logic())
    assert [entry["name"] for entry in shown(changes)] == ["sat-2", "sat-1"], "each once, as they were written"
    assert changes.status is not None
    assert (changes.status["state"], changes.status["version"]) == ("Offered", 5)
    assert condition(changes) == ("Unknown", "Offered")
    assert message(changes) == "sat-2: version 5 goes up in the next contacts"
    refused = {"offered": OFFERED | {"version": 5}, "onBoard": on_board(refused=SIGNED, reason="damaged")}
    world.report("node-of-sat-2", selection=refused)
    changes = world.reconcile(a_logic())
    assert condition(changes) == ("False", "Refused")
    assert [notice.message for notice in changes.notices] == ["sat-2: damaged"]


@pytest.mark.parametrize(
    ("satellite", "told"),
    [
        (None, "its namespace has no Satellite sat-9; create it, or name another"),
        ({"spec": {}}, "Satellite sat-9 has no node"),
        ({"spec": None}, "Satellite sat-9 has no node"),
    ],
    ids=["missing", "without a node", "malformed"],
)
def test_a_satellite_that_is_not_there_is_named_and_the_others_go_on(
    satellite: dict[str, Any] | None, told: str
) -> None:
    world = a_world(a_logic(satellites=["sat-9", "sat-1"]))
    if satellite is not None:
        world.put(a_satellite("sat-9", **satellite))
    world.report("node-of-sat-1", selection={"offered": OFFERED, "onBoard": on_board(flying=SIGNED)})
    changes = world.reconcile(a_logic())
    assert condition(changes) == ("False", "MissingSatellite")
    assert told in message(changes)
    assert [entry["state"] for entry in shown(changes)] == ["Waiting", "Flying"]
    assert set(claimed(world.store)) == {"node-of-sat-1"}
    world.put(a_satellite("sat-9"))
    assert world.related(a_satellite("sat-9")) == {"ships"}
    assert condition(world.reconcile(a_logic())) == ("Unknown", "Waiting")


def test_of_two_that_name_one_satellite_the_older_keeps_it_until_it_goes() -> None:
    older, newer = a_logic("zebra", at=1), a_logic("ant", at=2, satellites=["sat-2", "sat-1"])
    world = a_world(newer, older)
    assert condition(world.reconcile(newer)) == ("False", "SatelliteTaken")
    assert "SelectionLogic lab/zebra, which is older, names it too" in message(world.ask(newer))
    assert condition(world.reconcile(older)) == ("Unknown", "Waiting")
    assert {node: claim.logic.name for node, claim in claimed(world.store).items()} == {
        "node-of-sat-1": "zebra",
        "node-of-sat-2": "ant",
    }
    narrowed = a_logic("zebra", at=1, satellites=["sat-2"])
    world.put(narrowed)
    assert world.related(narrowed) == {"ant"}, "though they share sat-2 now, and shared sat-1 before"
    world.drop(narrowed)
    assert world.related(narrowed) == {"ant"}
    assert condition(world.reconcile(newer)) == ("Unknown", "Waiting")


def test_of_two_as_old_the_first_by_name_keeps_it() -> None:
    world = a_world(a_logic("b"), a_logic("a"))
    assert claimed(world.store)["node-of-sat-1"].logic.name == "a"


@given(st.permutations(["a", "b", "c"]))
def test_the_order_in_which_they_are_seen_changes_nothing(order: list[str]) -> None:
    world = a_world(*(a_logic(name, at=2) for name in order))
    assert {condition(world.ask(a_logic(name, at=2))) for name in "bc"} == {("False", "SatelliteTaken")}
    assert condition(world.ask(a_logic("a", at=2))) == ("Unknown", "Waiting")


@pytest.mark.parametrize(
    "spoilt",
    [{"digest": "abc"}, {"satellites": []}, {"url": "selection.ols"}, {"satellites": ["sat-1", "NO"]}, {"more": 1}],
    ids=str,
)
def test_one_that_breaks_a_rule_says_so_and_claims_nothing(spoilt: dict[str, Any]) -> None:
    world = a_world(a_logic("older", at=1, **spoilt), a_logic("newer", at=2))
    changes = world.reconcile(a_logic("older"))
    assert condition(changes) == ("False", "Invalid")
    assert next(iter(spoilt)) in message(changes)
    assert claimed(world.store)["node-of-sat-1"].logic.name == "newer"


def test_one_that_is_being_deleted_claims_nothing() -> None:
    going = a_logic()
    going["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    assert claimed(a_world(going).store) == {}


def test_what_was_said_stays_while_nobody_says_anything_else() -> None:
    world = a_world()
    world.report("node-of-sat-1", selection={"offered": OFFERED, "onBoard": on_board(refused=SIGNED, reason="damaged")})
    before = world.reconcile(a_logic()).status
    restarted = World(SelectionLogics())
    restarted.put(a_satellite("sat-1"), {**a_logic(), "status": before})
    assert restarted.reconcile(a_logic()).status == before
    restarted.put({**a_logic(digest=OTHER, generation=2), "status": before})
    assert condition(restarted.reconcile(a_logic())) == ("Unknown", "Waiting"), "that was of another spec"


def test_a_refusal_of_the_gateway_stays_a_refusal_while_nobody_says_anything_else() -> None:
    world = a_world()
    world.report("node-of-sat-1", selection={"refused": {SOURCE: "no such file"}})
    before = world.reconcile(a_logic()).status
    restarted = World(SelectionLogics())
    restarted.put(a_satellite("sat-1"), {**a_logic(), "status": before})
    assert restarted.reconcile(a_logic()).status == before


def test_it_is_shown_when_the_satellite_was_heard_last() -> None:
    world = a_world()
    world.put(a_satellite("sat-1", status={"lastContact": "2026-03-01T11:00:00Z"}))
    assert shown(world.reconcile(a_logic()))[0]["lastHeard"] == "2026-03-01T11:00:00Z"


def test_it_is_looked_at_when_its_satellite_or_its_node_says_something() -> None:
    world = a_world(a_logic(), a_logic("other", satellites=["sat-2"]))
    assert world.related(a_satellite("sat-1")) == {"ships"}
    for node, names in (("node-of-sat-1", {"ships"}), ("node-of-sat-2", {"other"}), ("node-3", set())):
        world.report(node)
        key = next(key for key in world.store.keys("observed.orbitloop.io/v1", "NodeReport") if key.name == node)
        report = world.store.get(key)
        assert report is not None
        assert world.related(report) == names
    assert world.related(an_object(ORBITLOOP, "LinkPolicy", "thrifty", {})) == set()


def test_every_step_is_told_once() -> None:
    world = a_world()
    steps: list[dict[str, Any]] = [said for said, *_ in PROGRESS.values() if said is not None]
    for said in itertools.chain(steps, reversed(steps)):
        world.report("node-of-sat-1", selection=said)
        world.reconcile(a_logic())
        assert world.reconcile(a_logic()).notices == ()
