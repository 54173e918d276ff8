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
