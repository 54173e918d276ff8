"""A CFDP entity on the ground rests between passes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orbitloop.adapters.plans import write_plan
from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import BadInput
from orbitloop.testing.clocks import VirtualClock
from orbitloop_ground.adapters.cfdp_contacts import FollowedContacts

START = datetime(2024, 3, 29, tzinfo=UTC)


class Entity:
    def __init__(self) -> None:
        self.heard = True

    def suspend(self) -> None:
        self.heard = False

    def resume(self) -> None:
        self.heard = True


def a_plan(folder: Path, passes: list[tuple[str, int]]) -> Path:
    """Passes of ten minutes, by satellite and the minute of their AOS."""
    path = folder / "plan.csv"
    windows = [
        ContactWindow(
            aos=START + timedelta(minutes=begin),
            los=START + timedelta(minutes=begin + 10),
            station="here",
            satellite=satellite,
        )
        for satellite, begin in passes
    ]
    write_plan(path, windows)
    return path


@pytest.mark.parametrize(
    ("minute", "heard"),
    [(-1, False), (0, True), (9, True), (10, False), (15, True), (25, False), (31, False)],
    ids=["before", "at AOS", "within", "at LOS", "of another satellite of ours", "after", "of a stranger"],
)
def test_it_is_heard_while_one_of_its_satellites_is(tmp_path: Path, minute: int, heard: bool) -> None:
    plan = a_plan(tmp_path, [("sat-1", 0), ("sat-2", 15), ("stranger", 30)])
    entity = Entity()
    clock = VirtualClock(START + timedelta(minutes=minute))
    with FollowedContacts(entity, plan, {"sat-1", "sat-2"}, clock):
        assert entity.heard is heard


def test_a_plan_of_other_satellites_is_refused(tmp_path: Path) -> None:
    plan = a_plan(tmp_path, [("stranger", 0)])
    with pytest.raises(BadInput, match="no window of sat-1"):
        FollowedContacts(Entity(), plan, {"sat-1"}, VirtualClock(START))
