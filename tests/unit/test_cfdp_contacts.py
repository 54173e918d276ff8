"""A CFDP entity on the ground rests between passes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orbitloop.adapters.plans import write_plan
from orbitloop.domain.contacts import ContactWindow
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


@pytest.mark.parametrize(
    ("minute", "heard"),
    [(-1, False), (0, True), (9, True), (10, False), (15, True), (25, False), (31, False)],
    ids=["before", "at AOS", "within", "at LOS", "of another satellite of ours", "after", "of a stranger"],
)
def test_it_is_heard_while_one_of_its_satellites_is(tmp_path: Path, minute: int, heard: bool) -> None:
    plan = tmp_path / "plan.csv"
    passes = [("sat-1", 0), ("sat-2", 15), ("stranger", 30)]
    write_plan(
        plan,
        [
            ContactWindow(
                aos=START + timedelta(minutes=begin),
                los=START + timedelta(minutes=begin + 10),
                station="here",
                satellite=satellite,
            )
            for satellite, begin in passes
        ],
    )
    entity = Entity()
    clock = VirtualClock(START + timedelta(minutes=minute))
    with FollowedContacts(entity, plan, {"sat-1", "sat-2"}, clock):
        assert entity.heard is heard
