"""What waiting things are worth."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.ranking import LEAST, by_density, effective_value, effective_values
from orbitloop.domain.samples import Reason
from orbitloop.domain.traffic import TrafficClass

POLICY = LinkPolicy(priorities={Reason.MISS: 250, TrafficClass.UPDATE: 50}, doubling=timedelta(hours=6))
VALUES = st.floats(0, 1e6)
WAITS = st.integers(0, 10**7)


@pytest.mark.parametrize(
    ("value", "reason", "hours", "worth"),
    [
        (2.0, Reason.HARD, 0, 2.0),
        (2.0, Reason.HARD, 6, 4.0),
        (2.0, Reason.HARD, 12, 6.0),
        (2.0, Reason.MISS, 0, 5.0),
        (2.0, TrafficClass.UPDATE, 6, 2.0),
        (2.0, None, -3, 2.0),
        (0.0, Reason.AUDIT, 0, LEAST),
    ],
    ids=["fresh", "doubled", "tripled", "wanted more", "wanted less", "clock stepped back", "worth nothing"],
)
def test_worth_is_value_times_priority_times_age(
    value: float, reason: Reason | TrafficClass | None, hours: int, worth: float
) -> None:
    waited = timedelta(hours=hours)
    assert effective_value(value, reason=reason, waited=waited, policy=POLICY) == pytest.approx(worth)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_value_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(BadInput, match="must be a number of 0 or more"):
        effective_value(value, reason=None, waited=timedelta(0), policy=POLICY)


@given(rows=st.lists(st.tuples(VALUES, st.sampled_from([*Reason]), WAITS), min_size=1, max_size=20))
def test_all_at_once_is_each_by_itself(rows: list[tuple[float, Reason, int]]) -> None:
    values, reasons, waits = zip(*rows, strict=True)
    together = effective_values(
        np.array(values),
        factors=np.array([POLICY.factor(reason) for reason in reasons]),
        waited=np.array(waits, np.float64),
        policy=POLICY,
    )
    alone = [effective_value(v, reason=r, waited=timedelta(seconds=w), policy=POLICY) for v, r, w in rows]
    assert together == pytest.approx(alone)


@given(old=VALUES, fresh=VALUES)
def test_whatever_waits_is_one_day_worth_more_than_what_is_fresh(old: float, fresh: float) -> None:
    days = 1 + fresh / max(old, LEAST)
    waited = np.array([days * POLICY.doubling.total_seconds(), 0.0])
    aged, new = effective_values(np.array([old, fresh]), factors=np.ones(2), waited=waited, policy=POLICY)
    assert aged > new


@given(worth=st.lists(st.integers(0, 3), min_size=1, max_size=9), order=st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_before(worth: list[int], order: object) -> None:
    named = [(f"{number:02}", value) for number, value in enumerate(worth)]
    shuffled = sorted(named, key=lambda _: order.random())  # type: ignore[attr-defined]  # hypothesis's Random

    def ranked(rows: list[tuple[str, int]]) -> list[str]:
        names = [name for name, _ in rows]
        sizes = np.full(len(rows), 10, np.int64)
        return [names[at] for at in by_density(np.array([float(v) for _, v in rows]), sizes, names)]

    assert ranked(shuffled) == ranked(named) == [name for name, _ in sorted(named, key=lambda row: (-row[1], row[0]))]
