"""The token bucket: honest to the nanosecond, however it is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.token_bucket import TokenBucket
from orbitloop.domain.units import BitsPerSecond, Bytes

A_SECOND_NS = 1_000_000_000

asks = st.lists(st.tuples(st.integers(0, 10 * A_SECOND_NS), st.integers(0, 5_000)), max_size=60)
rates = st.integers(1, 200_000_000).map(BitsPerSecond)
depths = st.integers(1, 100_000).map(Bytes)


@given(rate=rates, depth=depths, asks=asks)
def test_no_more_passes_a_bucket_than_its_rate_and_depth_allow_in_any_span(
    rate: BitsPerSecond, depth: Bytes, asks: list[tuple[int, int]]
) -> None:
    bucket = TokenBucket(rate=rate, depth=depth, now=0)
    now, taken = 0, []
    for pause, wanted in asks:
        now += pause
        taken.append((now, bucket.take(Bytes(wanted), now)))
    for first, (begin, _) in enumerate(taken):
        passed = 0
        for end, granted in taken[first:]:
            passed += granted
            assert passed * 8 * A_SECOND_NS <= rate * (end - begin) + depth * 8 * A_SECOND_NS


@given(
    rate=rates, depth=depths, wanted=st.integers(0, 10**9), shorter=st.integers(0, 10**12), more=st.integers(0, 10**12)
)
def test_a_longer_time_never_carries_less(
    rate: BitsPerSecond, depth: Bytes, wanted: int, shorter: int, more: int
) -> None:
    def carried(after: int) -> int:
        bucket = TokenBucket(rate=rate, depth=depth, now=0)
        return bucket.take(depth, 0) + bucket.take(Bytes(wanted), after)

    assert carried(shorter) <= carried(shorter + more)


@given(rate=rates, depth=depths, asks=asks)
def test_a_bucket_that_is_asked_often_enough_wastes_nothing(
    rate: BitsPerSecond, depth: Bytes, asks: list[tuple[int, int]]
) -> None:
    """Whoever waits as long as the bucket says gets all that was wanted, at the very nanosecond that the rate gives."""
    bucket = TokenBucket(rate=rate, depth=depth, now=0)
    assert bucket.take(depth, 0) == depth
    now, passed = 0, 0
    for _, wanted in asks:
        size = Bytes(min(wanted, depth))
        now += bucket.wait(size, now)
        assert bucket.take(size, now) == size
        passed += size
        assert now - 1 < passed * 8 * A_SECOND_NS / rate + len(asks)


@given(rate=rates, depth=depths, now=st.integers(1, 10**12))
def test_a_wait_is_never_a_nanosecond_too_long(rate: BitsPerSecond, depth: Bytes, now: int) -> None:
    bucket = TokenBucket(rate=rate, depth=depth, now=now)
    bucket.take(depth, now)
    wait = bucket.wait(depth, now)
    assert bucket.take(depth, now + wait - 1) < depth


@given(rate=rates, depth=depths, earlier=st.integers(0, 10**9))
def test_a_clock_that_goes_back_gains_nothing(rate: BitsPerSecond, depth: Bytes, earlier: int) -> None:
    bucket = TokenBucket(rate=rate, depth=depth, now=10**9)
    bucket.take(depth, 10**9)
    assert bucket.take(depth, 10**9 - earlier) == 0
    assert bucket.take(depth, 10**9) == 0


def test_a_bucket_refuses_what_can_never_pass() -> None:
    bucket = TokenBucket(rate=BitsPerSecond(8), depth=Bytes(10), now=0)
    with pytest.raises(BadInput, match="take them in parts"):
        bucket.wait(Bytes(11), 0)
    with pytest.raises(BadInput, match="carries nothing"):
        TokenBucket(rate=BitsPerSecond(0), depth=Bytes(10), now=0)


@given(rate=rates, depth=depths, asks=asks)
def test_what_is_reserved_passes_no_faster_than_rate_and_depth_allow(
    rate: BitsPerSecond, depth: Bytes, asks: list[tuple[int, int]]
) -> None:
    bucket = TokenBucket(rate=rate, depth=depth, now=0)
    now, passed = 0, 0
    for pause, size in asks:
        now += pause
        wait = bucket.reserve(Bytes(size), now)
        passed += size
        assert passed * 8 * A_SECOND_NS <= rate * (now + wait) + depth * 8 * A_SECOND_NS


@given(rate=rates, depth=depths, size=st.integers(0, 10**7), cut=st.integers(0, 10**7))
def test_reserving_in_parts_takes_as_long_as_reserving_at_once(
    rate: BitsPerSecond, depth: Bytes, size: int, cut: int
) -> None:
    at_once, in_parts = (TokenBucket(rate=rate, depth=depth, now=0) for _ in range(2))
    first = min(size, cut)
    in_parts.reserve(Bytes(first), 0)
    assert in_parts.reserve(Bytes(size - first), 0) == at_once.reserve(Bytes(size), 0)


def test_what_is_forgiven_holds_nobody_up_and_gives_nothing_away() -> None:
    bucket = TokenBucket(rate=BitsPerSecond(8_000), depth=Bytes(100), now=0)
    bucket.reserve(Bytes(1_100), 0)
    bucket.forgive(A_SECOND_NS // 2)
    assert bucket.take(Bytes(1), A_SECOND_NS // 2) == 0
    assert bucket.reserve(Bytes(100), A_SECOND_NS // 2) == A_SECOND_NS // 10


def test_a_changed_rate_holds_from_then_on() -> None:
    bucket = TokenBucket(rate=BitsPerSecond(8_000), depth=Bytes(100), now=0)
    bucket.reserve(Bytes(100), 0)
    bucket.change(BitsPerSecond(16_000), Bytes(100), 0)
    assert bucket.reserve(Bytes(1_000), 0) == A_SECOND_NS // 2
    with pytest.raises(BadInput, match="carries nothing"):
        bucket.change(BitsPerSecond(0), Bytes(100), 0)
