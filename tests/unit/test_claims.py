"""Bundles shared by the senders of one contact."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.units import BitsPerSecond, Bytes, Digest
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.testing.spool import MemorySpool
from orbitloop_edge.usecases.claims import Claims, bundle_size

PLENTY = Bytes(2**30)


def a_spool(count: int, size: int = 2_000) -> MemorySpool:
    spool = MemorySpool("sat-1", VirtualClock(LAUNCH), budget=PLENTY)
    for number in range(count):
        spool.add(*a_sample(number, size=size))
    return spool


def claimed(claims: Claims) -> list[Digest]:
    found = []
    while (claim := claims.claim()) is not None:
        found.append(claim[0])
    return found


def test_no_bundle_is_handed_out_twice_however_many_senders_there_are() -> None:
    claims = Claims(a_spool(40), PLENTY, Bytes(8_000))
    with ThreadPoolExecutor(4) as senders:
        parts = [senders.submit(claimed, claims) for _ in range(4)]
    bundles = [bundle for part in parts for bundle in part.result()]
    assert len(bundles) == len(set(bundles)) > 5


def test_a_bundle_that_is_to_be_sent_again_may_be_claimed_again() -> None:
    claims = Claims(a_spool(1), PLENTY, PLENTY)
    first = claims.claim()
    assert first is not None
    assert claims.claim() is None
    claims.again(first[0])
    assert claims.claim() == first


@given(budget=st.integers(0, 10_000), wishes=st.lists(st.integers(0, 5_000), max_size=20))
def test_all_that_is_granted_together_never_exceeds_the_budget(budget: int, wishes: list[int]) -> None:
    claims = Claims(a_spool(0), Bytes(budget), PLENTY)
    granted = [claims.grant(Bytes(wish)) for wish in wishes]
    assert sum(granted) == min(budget, sum(wishes))
    assert all(0 <= part <= wish for part, wish in zip(granted, wishes, strict=True))


def test_nothing_is_sealed_once_the_budget_is_used_up() -> None:
    spool = a_spool(3)
    claims = Claims(spool, Bytes(5_000), PLENTY)
    claims.grant(Bytes(5_000))
    assert claims.claim() is None
    assert spool.unfinished() == ()


def test_bundles_become_smaller_towards_the_end_of_a_pass() -> None:
    claims = Claims(a_spool(60, size=50_000), Bytes(2_400_000), Bytes(2**21))
    sizes = []
    while (claim := claims.claim()) is not None:
        sizes.append(len(claim[1]))
        claims.grant(Bytes(len(claim[1])))
    assert max(sizes) <= 600_000
    assert sizes[0] > 1.5 * sizes[-1]
    assert 2_100_000 < sum(sizes) <= 2_400_000


@pytest.mark.parametrize(("rate", "size"), [(1_000, 2**18), (8_000_000, 1_000_000), (100_000_000, 12_500_000)])
def test_a_bundle_takes_a_second_of_the_link(rate: int, size: int) -> None:
    assert bundle_size(BitsPerSecond(rate)) == size
