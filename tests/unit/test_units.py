"""Bytes, rates and how long they take."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.units import MEGABIT, BitsPerSecond, Bytes, capacity, transfer_time

sizes = st.integers(0, 10**12).map(Bytes)
rates = st.integers(1_000, 10**10).map(BitsPerSecond)


@pytest.mark.parametrize(
    ("size", "rate", "seconds"), [(125_000, MEGABIT, 1), (0, MEGABIT, 0), (300_000, MEGABIT, 2.4)], ids=str
)
def test_a_byte_is_eight_bits(size: int, rate: BitsPerSecond, seconds: float) -> None:
    assert transfer_time(Bytes(size), rate) == timedelta(seconds=seconds)
    assert capacity(timedelta(seconds=seconds), rate) == size


def test_nothing_fits_into_no_time() -> None:
    assert capacity(timedelta(0), MEGABIT) == 0
    assert capacity(timedelta(seconds=-5), MEGABIT) == 0


@given(size=sizes, rate=rates)
def test_what_takes_a_time_fits_into_it(size: Bytes, rate: BitsPerSecond) -> None:
    slack = rate / 8 * 1e-6 + size * 1e-12 + 1  # times are whole microseconds
    assert abs(capacity(transfer_time(size, rate), rate) - size) <= slack


@given(seconds=st.floats(0, 10**5), longer=st.floats(0, 10**5), rate=rates)
def test_a_longer_time_never_carries_less(seconds: float, longer: float, rate: BitsPerSecond) -> None:
    assert capacity(timedelta(seconds=seconds), rate) <= capacity(timedelta(seconds=seconds + longer), rate)
