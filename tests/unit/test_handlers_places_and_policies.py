"""GroundStations and LinkPolicies: what cannot be used says so, and what to write."""

from __future__ import annotations

from typing import Any

import pytest
from tests.handler_world import ORBITLOOP, World, an_object, condition, message

from orbitloop_operators.handlers.ground_station import GroundStations
from orbitloop_operators.handlers.link_policy import LinkPolicies


def a_station(**spec: Any) -> dict[str, Any]:
    place = {"latitudeMicrodegrees": 39_960_000, "longitudeMicrodegrees": 116_350_000}
    return an_object(ORBITLOOP, "GroundStation", "beijing", place | spec)


def a_policy(**spec: Any) -> dict[str, Any]:
    return an_object(ORBITLOOP, "LinkPolicy", "thrifty", spec)


def test_a_station_that_is_a_place_is_ready() -> None:
    world = World(GroundStations())
    world.put(a_station(minimumElevationMillidegrees=7_500))
    changes = world.reconcile(a_station())
    assert condition(changes) == ("True", "Placed")
    assert message(changes) == "hears satellites at 7.5 degrees and higher"


STATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "beyond the pole": ({"latitudeMicrodegrees": 91_000_000}, "latitudeMicrodegrees"),
    "in degrees": ({"latitudeMicrodegrees": 39.96}, "latitudeMicrodegrees"),
    "above all mountains": ({"altitudeMeters": 20_000}, "altitudeMeters"),
    "that looks at the zenith alone": ({"minimumElevationMillidegrees": 90_000}, "minimumElevationMillidegrees"),
    "with a field that there is not": ({"latitude": 40}, "latitude"),
}


@pytest.mark.parametrize(("spec", "names"), STATIONS.values(), ids=STATIONS.keys())
def test_a_station_that_is_no_place_names_the_field(spec: dict[str, Any], names: str) -> None:
    world = World(GroundStations())
    world.put(a_station(**spec))
    changes = world.reconcile(a_station())
    assert condition(changes) == ("False", "Invalid")
    assert names in message(changes)
    assert [notice.reason for notice in changes.notices] == ["Invalid"]


def test_a_station_that_was_mended_is_ready_and_tells_so() -> None:
    world = World(GroundStations())
    world.put(a_station(altitudeMeters=20_000))
    world.reconcile(a_station())
    world.put(a_station(altitudeMeters=50))
    changes = world.reconcile(a_station())
    assert condition(changes) == ("True", "Placed")
    assert len(changes.notices) == 1


def test_a_policy_of_defaults_is_accepted() -> None:
    world = World(LinkPolicies())
    world.put(a_policy())
    assert condition(world.reconcile(a_policy())) == ("True", "Accepted")


POLICIES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown codec": ({"codec": "gif"}, "webp"),
    "an unknown priority": ({"priorities": {"selfies": 200}}, "spec.priorities: must be"),
    "a priority of nothing": ({"priorities": {"hard": 0}}, "spec.priorities: must be"),
    "more than all": ({"downlinkSharePercent": 101}, "downlinkSharePercent"),
    "updates of no bytes": ({"updateBudgetBytes": 0}, "updateBudgetBytes"),
}


@pytest.mark.parametrize(("spec", "names"), POLICIES.values(), ids=POLICIES.keys())
def test_a_policy_that_is_not_taken_names_the_field(spec: dict[str, Any], names: str) -> None:
    world = World(LinkPolicies())
    world.put(a_policy(**spec))
    changes = world.reconcile(a_policy())
    assert condition(changes) == ("False", "Invalid")
    assert names in message(changes)
