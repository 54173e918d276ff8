"""A new model beside the old one, before it serves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.shadow import Compared, ShadowRule, compare, is_through, objection
from orbitloop.testing.builders import some_detections

RULE = ShadowRule(one_in=3, frames=4, agreement=0.7, slower=1.5)
PLANE, SHIP, BOAT = (0, 0, 20, 20), (40, 0, 60, 20), (80, 80, 90, 90)


@pytest.mark.parametrize(
    ("new", "found"),
    [
        (some_detections(PLANE, SHIP, scores=[0.9, 0.9]), 2),
        (some_detections(PLANE, SHIP, BOAT, scores=[0.3, 0.26, 0.9]), 2),
        (some_detections((4, 4, 22, 22), scores=[0.9]), 1),
        (some_detections(PLANE, SHIP, scores=[0.24, 0.1]), 0),
        (some_detections(BOAT, scores=[0.9]), 0),
    ],
    ids=["the same", "less sure, and one more", "one of them, a little off", "hardly", "something else"],
)
def test_what_the_old_model_is_sure_of_is_looked_for(new: object, found: int) -> None:
    old = some_detections(PLANE, SHIP, BOAT, scores=[0.9, 0.6, 0.59])
    told = compare(old, new, RULE, old_s=1, new_s=2)  # type: ignore[arg-type]
    assert told == Compared(frames=1, sure=2, found=found, old_s=1, new_s=2)


def test_another_class_is_not_the_same_object() -> None:
    old, new = some_detections(PLANE), some_detections(PLANE)
    new.labels[:] = 1
    assert compare(old, new, RULE, old_s=1, new_s=1).found == 0


@pytest.mark.parametrize(
    ("compared", "said"),
    [
        (Compared(frames=4, sure=10, found=7, old_s=4, new_s=6), None),
        (Compared(frames=4, old_s=4, new_s=4), None),
        (
            Compared(frames=4, sure=10, found=6, old_s=4, new_s=4),
            "in shadow it found 6 of the 10 objects that the old model was sure of on 4 frames, 60%; 70% is asked for",
        ),
        (
            Compared(frames=4, sure=10, found=10, old_s=4, new_s=6.4),
            "in shadow it took 1.60 s a frame, the old model 1.00 s; at most 1.5 times that is asked for",
        ),
    ],
    ids=["just good enough", "nothing was there", "does not agree", "slower"],
)
def test_what_a_shadow_objects_to(compared: Compared, said: str | None) -> None:
    assert objection(compared, RULE) == said


@pytest.mark.parametrize(
    "wrong",
    [{"one_in": -1}, {"frames": 0}, {"agreement": 1.1}, {"faint": 0.7}, {"faint": 0}, {"slower": 0}],
    ids=str,
)
def test_a_rule_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="shadow"):
        ShadowRule(**wrong)  # type: ignore[arg-type]


seen = st.builds(
    Compared,
    frames=st.integers(1, 9),
    sure=st.integers(9, 50),
    found=st.integers(0, 9),
    old_s=st.floats(0.01, 9),
    new_s=st.floats(0.01, 9),
)


@given(compared=seen)
def test_a_model_that_finds_more_or_is_faster_never_meets_more_objections(compared: Compared) -> None:
    better = compared + Compared(sure=1, found=1)
    faster = compared + Compared(old_s=1)
    if objection(compared, RULE) is None:
        assert objection(better, RULE) is None
        assert objection(faster, RULE) is None
    assert is_through(compared, RULE) is (compared.frames >= 4)
