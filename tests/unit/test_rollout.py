"""Held-out tiles, and when they object to an update."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.rollout import CANARY_SHARE, CanaryResult, CanaryRule, ClassScore, Outcome, is_canary, objection
from orbitloop.domain.units import Digest
from orbitloop.testing.builders import a_digest


def test_about_one_sample_in_six_is_held_out() -> None:
    held_out = sum(is_canary(a_digest(number)) for number in range(6_000))
    assert held_out / 6_000 == pytest.approx(1 / CANARY_SHARE, rel=0.1)


@pytest.mark.parametrize(
    ("ending", "held_out"),
    [("00000000", True), ("00000001", False), ("00000006", True), ("fffffffc", True), ("ffffffff", False)],
)
def test_whether_a_sample_is_held_out_never_changes(ending: str, held_out: bool) -> None:
    """Satellites in orbit decide by this rule: a change of it would train on what they keep."""
    assert is_canary(Digest("sha256:" + "a" * 56 + ending)) is held_out


@pytest.mark.parametrize(
    ("tiles", "before", "after", "objects"),
    [
        (10, 0.8, 0.9, False),
        (10, 0.8, 0.8, False),
        (10, 0.8, 0.78, False),
        (10, 0.8, 0.7, True),
        (3, 0.8, 0.0, True),
        (2, 0.8, 0.9, True),
        (0, 0.0, 0.0, True),
    ],
    ids=[
        "better",
        "as good",
        "worse within tolerance",
        "worse",
        "just enough tiles",
        "proved on too few tiles",
        "proved on no tile at all",
    ],
)
def test_canaries_object_to_an_update_that_is(tiles: int, before: float, after: float, objects: bool) -> None:
    said = objection(CanaryResult(tiles=tiles, before=before, after=after), CanaryRule(tolerance=0.03, least=3))
    assert (said is not None) is objects


def test_an_objection_says_what_was_measured() -> None:
    said = objection(CanaryResult(tiles=7, before=0.8, after=0.5), CanaryRule())
    assert said == "worse on 7 canary tiles: average precision 0.500 after, 0.800 before, tolerance 0.030"


@pytest.mark.parametrize(
    ("objects", "after", "lost"),
    [(8, 0.5, True), (8, 0.71, False), (7, 0.0, False), (8, 0.9, False)],
    ids=["lost", "a little worse", "too few to tell", "better"],
)
def test_a_class_that_is_lost_objects_though_the_mean_rises(objects: int, after: float, lost: bool) -> None:
    classes = (
        ClassScore(name="ship", objects=90, before=0.6, after=0.95),
        ClassScore(name="buoy", objects=objects, before=0.8, after=after),
    )
    said = objection(CanaryResult(tiles=9, before=0.7, after=0.72, classes=classes), CanaryRule())
    assert (said is not None) is lost
    assert said is None or said == (
        f"worse at buoy, {objects} of which are on the canary tiles: average precision {after:.3f} after, "
        "0.800 before, tolerance 0.100"
    )


@given(before=st.floats(0, 1), after=st.floats(0, 1), gain=st.floats(0, 1), tiles=st.integers(0, 9))
def test_a_better_model_never_meets_more_objections(before: float, after: float, gain: float, tiles: int) -> None:
    rule = CanaryRule()
    if objection(CanaryResult(tiles=tiles, before=before, after=after), rule) is None:
        assert objection(CanaryResult(tiles=tiles, before=before, after=after + gain), rule) is None


def test_outcomes_keep_their_names_on_the_wire() -> None:
    assert [outcome.value for outcome in Outcome] == ["applied", "rolled_back", "refused"]
