"""A mission that cannot be flown is refused before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orbitloop.domain.errors import BadInput
from orbitloop.domain.learning import LearningRule
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.units import Bytes
from orbitloop_mission.embedded.plan import LARGEST_SEED, LEAST_STEPS, LEAST_UPDATE, Labels, MissionPlan


def plan(**fields: Any) -> MissionPlan:
    return MissionPlan(out=Path("out"), data=Path("data"), model=Path("model"), **fields)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"rounds": 0}, "rounds 0 must be at least 1"),
        ({"steps": LEAST_STEPS - 1}, "steps 4 must be at least 5"),
        ({"seed": -1}, "seed -1 must be 0 to 4294967295"),
        ({"seed": LARGEST_SEED + 1}, "seed 4294967296 must be 0 to 4294967295"),
        ({"policy": LinkPolicy(update_budget=Bytes(24_999))}, "update budget 24999 must be at least 25000"),
        ({"gateway_port": 65_536}, "gateway port 65536 must be 0 to 65535"),
        ({"old_scale": 0.0}, "old-scale 0.0 must be above 0"),
        ({"teacher": Path("large")}, "teacher large would label nothing; add --labels teacher"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_flown_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        plan(**fields)


def test_no_samples_start_no_round() -> None:
    with pytest.raises(BadInput, match="least samples 0 must be at least 1"):
        plan(rule=LearningRule(least_samples=0))


def test_the_smallest_mission_is_one() -> None:
    smallest = plan(
        rounds=1,
        steps=LEAST_STEPS,
        seed=LARGEST_SEED,
        rule=LearningRule(least_samples=1),
        policy=LinkPolicy(update_budget=LEAST_UPDATE),
        labels=Labels.TEACHER,
        teacher=Path("large"),
    )
    assert smallest.rounds == 1
