"""Contact plans: given or computed, and computed only when that is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.handler_world import NOON, ORBITLOOP, World, an_object, condition, message

from orbitloop.adapters.orbits import contact_windows
from orbitloop.domain.contacts import ContactWindow, Station
from orbitloop.domain.elements import TwoLine, checksum
from orbitloop.domain.errors import BadInput
from orbitloop_operators.handlers.changes import Changes
from orbitloop_operators.handlers.contact_plan import ContactPlans, windows_of_satellite


def _line(text: str) -> str:
    return f"{text}{checksum(text + '0')}"


ELEMENTS = (
    _line("1 25544U 98067A   26060.50000000  .00016717  00000-0  10270-3 0  900"),
    _line("2 25544  51.6400 208.9163 0006317  69.9862  25.2906 15.5013770040000"),
)


def a_satellite(name: str = "bupt-1", elements: tuple[str, ...] = ELEMENTS) -> dict[str, Any]:
    return an_object(ORBITLOOP, "Satellite", name, {"nodeName": name, "elements": list(elements)})


def a_station(name: str = "beijing", **spec: Any) -> dict[str, Any]:
    place = {"latitudeMicrodegrees": 39_960_000, "longitudeMicrodegrees": 116_350_000}
    return an_object(ORBITLOOP, "GroundStation", name, place | spec)


def a_plan(generation: int = 1, **spec: Any) -> dict[str, Any]:
    return an_object(ORBITLOOP, "ContactPlan", "plan", spec, generation=generation)


class EveryTwoHours:
    """Ten minutes over every station, every two hours; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.refused: set[str] = set()

    def __call__(self, orbit: TwoLine, station: Station, start: datetime, days: float) -> tuple[ContactWindow, ...]:
        self.asked += 1
        if orbit.name in self.refused:
            raise BadInput(f"the elements of {orbit.name} are too old; get newer")
        first = datetime(2026, 1, 1, len(orbit.name + station.name) % 2, tzinfo=UTC)
        gone = -((first - start) // timedelta(hours=2))
        begins = (first + timedelta(hours=2 * number) for number in range(gone, gone + int(12 * days) + 1))
        within = [begin for begin in begins if start <= begin < start + timedelta(days=days)]
        return tuple(
            ContactWindow(aos=aos, los=aos + timedelta(minutes=10), station=station.name, satellite=orbit.name)
            for aos in within
        )


def a_world(*documents: dict[str, Any]) -> tuple[World, EveryTwoHours]:
    predict = EveryTwoHours()
    world = World(ContactPlans(predict=predict))
    world.put(*documents)
    return world, predict


def windows(changes: Changes) -> list[dict[str, str]]:
    assert changes.status is not None
    found: list[dict[str, str]] = changes.status["windows"]
    return found


def test_windows_are_computed_to_the_horizon_for_all_satellites_and_stations() -> None:
    world, _ = a_world(a_plan(), a_satellite(), a_station(), a_station("weilheim"))
    changes = world.reconcile(a_plan())
    assert condition(changes) == ("True", "Computed")
    assert {one["station"] for one in windows(changes)} == {"beijing", "weilheim"}
    assert changes.status is not None
    assert changes.status["computedAt"] == "2026-03-01T12:00:00Z"
    assert changes.status["validUntil"] == "2026-03-03T12:00:00Z"
    assert changes.again == timedelta(hours=24)


def test_a_real_orbit_over_a_real_station_is_heard_some_times_a_day() -> None:
    world = World(ContactPlans(predict=contact_windows))
    world.put(a_plan(horizonHours=24), a_satellite(), a_station())
    found = windows(world.reconcile(a_plan()))
    assert 3 <= len(found) <= 8
    assert found == sorted(found, key=lambda one: one["aos"])
    assert {(one["satellite"], one["station"]) for one in found} == {("bupt-1", "beijing")}


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_windows_are_computed_anew_only_when_less_than_half_of_them_is_left(hours: list[int]) -> None:
    world, predict = a_world(a_plan(), a_satellite(), a_station())
    world.reconcile(a_plan())
    computed, asked = NOON, predict.asked
    for step in hours:
        world.pass_by(hours=step)
        due = world.now - computed >= timedelta(hours=24)
        world.reconcile(a_plan())
        assert (predict.asked > asked) == due
        computed, asked = (world.now if due else computed), predict.asked


CHANGES: dict[str, dict[str, Any]] = {
    "a station moves": a_station(latitudeMicrodegrees=48_000_000),
    "a station's horizon changes": a_station(minimumElevationMillidegrees=10_000),
    "there is another satellite": a_satellite("bupt-2"),
    "the spec changes": a_plan(2, horizonHours=24),
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES.keys())
def test_windows_are_computed_anew_when_what_they_depend_on_changes(changed: dict[str, Any]) -> None:
    world, predict = a_world(a_plan(), a_satellite(), a_station())
    world.reconcile(a_plan())
    asked = predict.asked
    world.put(changed)
    world.reconcile(a_plan())
    assert predict.asked > asked


def test_what_a_satellite_says_of_itself_does_not_change_its_windows() -> None:
    world, predict = a_world(a_plan(), a_satellite(), a_station())
    before = world.reconcile(a_plan()).status
    asked = predict.asked
    world.put({**a_satellite(), "status": {"queuedSamples": 4}})
    assert world.reconcile(a_plan()).status == before
    assert predict.asked == asked


def test_a_clock_that_was_set_back_computes_anew() -> None:
    world, predict = a_world(a_plan(), a_satellite(), a_station())
    world.reconcile(a_plan())
    asked = predict.asked
    world.pass_by(hours=-3)
    world.reconcile(a_plan())
    assert predict.asked > asked


def test_a_plan_holds_two_hundred_windows_and_says_how_far_they_reach() -> None:
    satellites = [a_satellite(f"sat-{number}") for number in range(20)]
    stations = [a_station(f"gs-{number}") for number in range(20)]
    world, _ = a_world(a_plan(horizonHours=240), *satellites, *stations)
    changes = world.reconcile(a_plan())
    assert len(windows(changes)) == 200
    assert changes.status is not None
    assert windows(changes)[-1]["aos"] <= changes.status["validUntil"] < "2026-03-11"
    assert changes.again is not None
    assert changes.again >= timedelta(minutes=1)


def test_too_many_pairs_are_refused_with_what_to_do() -> None:
    satellites = [a_satellite(f"sat-{number}") for number in range(21)]
    world, predict = a_world(a_plan(), *satellites, *(a_station(f"gs-{number}") for number in range(20)))
    changes = world.reconcile(a_plan())
    assert condition(changes) == ("False", "Invalid")
    assert "420 pairs, and a plan takes 400" in message(changes)
    assert predict.asked == 0


def test_an_antenna_serves_one_satellite_at_a_time() -> None:
    world, _ = a_world(a_plan(), a_satellite("sat-1"), a_satellite("sat-3"), a_station())
    found = windows(world.reconcile(a_plan()))
    assert len({one["aos"] for one in found}) == len(found)


def test_names_that_are_not_there_are_named_and_the_others_are_computed() -> None:
    world, _ = a_world(a_plan(satellites=["bupt-1", "ghost"], stations=["beijing", "atlantis"]))
    world.put(a_satellite(), a_station())
    changes = world.reconcile(a_plan())
    assert condition(changes) == ("False", "Missing")
    assert "no Satellite ghost, no GroundStation atlantis" in message(changes)
    assert windows(changes)


INCOMPLETE: dict[str, tuple[tuple[dict[str, Any], ...], str]] = {
    "no satellite": ((a_station(),), "no Satellite"),
    "no station": ((a_satellite(),), "no GroundStation"),
    "no elements": ((a_satellite(elements=()), a_station()), "Satellite bupt-1 has no elements"),
    "elements with a wrong checksum": (
        (a_satellite(elements=(ELEMENTS[0][:-1] + "x", ELEMENTS[1])), a_station()),
        "spec.elements",
    ),
    "a station on no mountain": ((a_satellite(), a_station(altitudeMeters=90_000)), "altitudeMeters"),
}


@pytest.mark.parametrize(("documents", "says"), INCOMPLETE.values(), ids=INCOMPLETE.keys())
def test_what_cannot_be_computed_says_why(documents: tuple[dict[str, Any], ...], says: str) -> None:
    world, _ = a_world(a_plan(), *documents)
    changes = world.reconcile(a_plan())
    assert condition(changes) == ("False", "Incomplete")
    assert says in message(changes)


def test_elements_that_are_too_old_stop_one_satellite_and_no_other() -> None:
    world, predict = a_world(a_plan(), a_satellite("sat-1"), a_satellite("sat-22"), a_station())
    predict.refused.add("sat-1")
    changes = world.reconcile(a_plan())
    assert message(changes) == "the elements of sat-1 are too old; get newer"
    assert {one["satellite"] for one in windows(changes)} == {"sat-22"}


def test_a_station_that_hears_nobody_is_told_of() -> None:
    world = World(ContactPlans(predict=lambda orbit, station, start, days: ()))
    world.put(a_plan(), a_satellite(), a_station())
    assert condition(world.reconcile(a_plan())) == ("False", "NoContact")


def a_window(aos: str, los: str, satellite: str = "bupt-1", station: str = "beijing") -> dict[str, str]:
    day = "2026-03-01T"
    return {"satellite": satellite, "station": station, "aos": f"{day}{aos}:00Z", "los": f"{day}{los}:00Z"}


def test_given_windows_are_taken_in_order_and_nothing_is_computed() -> None:
    later, sooner = a_window("15:00", "15:10"), a_window("13:00", "13:10")
    world, predict = a_world(a_plan(windows=[later, sooner]), a_satellite(), a_station())
    changes = world.reconcile(a_plan())
    assert condition(changes) == ("True", "Given")
    assert windows(changes) == [sooner, later]
    assert predict.asked == 0
    assert changes.again is None


REFUSED: dict[str, tuple[list[dict[str, str]], str]] = {
    "that ends before it begins": ([a_window("13:10", "13:00")], "must end after it begins"),
    "that overlaps another": (
        [a_window("13:00", "13:10"), a_window("13:05", "13:15", "bupt-2")],
        "antenna beijing cannot serve two passes at once",
    ),
}


@pytest.mark.parametrize(("given_windows", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_given_window_is_refused(given_windows: list[dict[str, str]], says: str) -> None:
    world, _ = a_world(a_plan(windows=given_windows), a_satellite(), a_station())
    changes = world.reconcile(a_plan())
    assert condition(changes) == ("False", "Invalid")
    assert says in message(changes)


def test_given_windows_of_what_is_not_there_are_shown_and_told_of() -> None:
    world, _ = a_world(a_plan(windows=[a_window("13:00", "13:10", "ghost", "atlantis")]))
    changes = world.reconcile(a_plan())
    assert condition(changes) == ("False", "Missing")
    assert "no Satellite ghost, no GroundStation atlantis" in message(changes)
    assert len(windows(changes)) == 1


def test_a_plan_is_looked_at_again_when_a_satellite_or_station_that_it_may_name_changes() -> None:
    world, _ = a_world(a_plan(satellites=["bupt-1"]))
    changed = (a_satellite(), a_satellite("other"), a_station(), a_plan())
    assert [world.related(one) for one in changed] == [{"plan"}, set(), {"plan"}, set()]


def test_the_windows_of_a_satellite_are_those_of_all_plans_each_once() -> None:
    shared, own = a_window("13:00", "13:10"), a_window("15:00", "15:10")
    world, _ = a_world(
        {**a_plan(), "status": {"windows": [shared, own, a_window("14:00", "14:10", "other")]}},
        {**an_object(ORBITLOOP, "ContactPlan", "second", {}), "status": {"windows": [shared]}},
    )
    found = windows_of_satellite(world.store, "lab", "bupt-1")
    assert [one.aos.hour for one in found] == [13, 15]
