"""The frame deadline is met on average."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.pace import Pace


def test_saved_time_is_spent_on_a_slow_frame() -> None:
    pace = Pace(deadline=1.0).after(0.2).after(0.2).after(2.4)
    assert pace.has_time
    assert pace.balance == pytest.approx(0.2)


def test_time_is_not_saved_for_ever() -> None:
    pace = Pace(deadline=1.0, patience=2)
    for _ in range(100):
        pace = pace.after(0.0)
    assert pace.balance == 2.0


def test_who_owes_too_much_has_no_time() -> None:
    pace = Pace(deadline=1.0, patience=2).after(3.5)
    assert not pace.has_time or pace.balance > -2.0
    assert not pace.after(1.0).after(1.5).has_time


def test_frames_are_not_let_go_raw_where_that_takes_longer() -> None:
    pace = Pace(deadline=1.0, patience=1).after(3.0)
    assert not pace.has_time
    pace = pace.after(5.0, processed=False)
    assert pace.raw > pace.looked
    assert pace.has_time
    for _ in range(50):
        pace = pace.after(3.0)
    assert pace.has_time
    assert pace.balance >= -3.0
    for _ in range(20):
        pace = pace.after(0.1)
    assert pace.balance == 1.0


def test_who_is_too_slow_even_for_raw_frames_looks_at_some() -> None:
    pace, looked = Pace(deadline=1.0), 0
    for _ in range(100):
        looked += pace.has_time
        pace = pace.after(6.0, processed=True) if pace.has_time else pace.after(2.0, processed=False)
    assert 5 <= looked <= 50


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=200), st.floats(0, 0.5))
def test_what_is_looked_at_or_not_meets_the_deadline_on_average(frames: list[float], raw: float) -> None:
    """As long as raw frames take at most half of it."""
    pace, taken = Pace(deadline=1.0), 0.0
    for seconds in frames:
        processed = pace.has_time
        spent = seconds if processed else min(raw, seconds)
        taken += spent
        pace = pace.after(spent, processed=processed)
        assert taken <= len(frames) + 4 + 5 or pace.raw > pace.looked


@given(st.lists(st.floats(0, 5), min_size=1, max_size=200), st.integers(1, 8))
def test_what_is_processed_meets_the_deadline_on_average(frames: list[float], patience: int) -> None:
    pace, taken = Pace(deadline=1.0, patience=patience), 0.0
    for seconds in frames:
        spent = seconds if pace.has_time else 0.0
        taken += spent
        pace = pace.after(spent)
    assert taken <= len(frames) + patience + max(frames)


@pytest.mark.parametrize(("deadline", "patience"), [(0.0, 4), (1.0, 0)])
def test_a_pace_without_time_is_refused(deadline: float, patience: int) -> None:
    with pytest.raises(BadInput, match="no time to process"):
        Pace(deadline=deadline, patience=patience)
