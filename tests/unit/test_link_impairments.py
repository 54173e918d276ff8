"""What goes wrong on a link: the same under the same seed, and as often as it was asked for."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop_mission.space_link.impairments import BurstLoss, Fates, Impairments, burst_fates, uniform_fates

MANY = 200_000

models = st.one_of(
    st.floats(0.0, 0.9),
    st.builds(
        BurstLoss,
        p=st.floats(0.0, 1.0),
        r=st.floats(0.001, 1.0),
        good=st.floats(0.0, 0.9),
        bad=st.floats(0.0, 1.0),
    ),
)


def fates(model: float | BurstLoss, seed: int) -> Fates:
    rng = np.random.default_rng(seed)
    return burst_fates(model, rng) if isinstance(model, BurstLoss) else uniform_fates(model, rng)


@settings(max_examples=40)
@given(model=models, seed=st.integers(0, 2**32), parts=st.lists(st.integers(0, 6_000), max_size=6))
def test_how_packets_are_grouped_changes_nobodys_fate(model: float | BurstLoss, seed: int, parts: list[int]) -> None:
    grouped, single = fates(model, seed), fates(model, seed)
    for part in parts:
        assert grouped.take(part) == sum(single.take(1) for _ in range(part))


@pytest.mark.parametrize(
    ("model", "share"),
    [
        pytest.param(0.0, 0.0, id="no loss"),
        pytest.param(0.05, 0.05, id="uniform"),
        pytest.param(BurstLoss(p=0.01, r=0.2), 0.01 / 0.21, id="bursts that lose everything"),
        pytest.param(BurstLoss(p=0.1, r=0.3, good=0.01, bad=0.5), 0.75 * 0.01 + 0.25 * 0.5, id="Elliott's"),
        pytest.param(BurstLoss(p=0.0, r=0.5, good=0.1), 0.1, id="never bad"),
        pytest.param(BurstLoss(p=1.0, r=1.0), 0.5, id="every other packet"),
    ],
)
def test_in_the_long_run_the_share_is_what_the_model_says(model: float | BurstLoss, share: float) -> None:
    if isinstance(model, BurstLoss):
        assert model.mean == pytest.approx(share)
    assert fates(model, 7).take(MANY) / MANY == pytest.approx(share, rel=0.1, abs=1e-9)


def test_bursts_last_as_long_as_recovery_takes() -> None:
    lost = fates(BurstLoss(p=0.01, r=0.1), 3)
    sequence = [lost.take(1) for _ in range(MANY)]
    bursts = sum(1 for before, now in zip([0, *sequence], sequence, strict=False) if now and not before)
    assert sum(sequence) / bursts == pytest.approx(10, rel=0.1)


def test_a_uniform_loss_of_the_same_share_comes_in_far_shorter_runs() -> None:
    uniform, bursty = uniform_fates(0.1, np.random.default_rng(1)), fates(BurstLoss(p=1 / 90, r=0.1), 1)

    def longest(lost: Fates) -> int:
        run = most = 0
        for _ in range(50_000):
            run = run + 1 if lost.take(1) else 0
            most = max(most, run)
        return most

    assert longest(bursty) > 3 * longest(uniform)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"p": 1.1, "r": 0.5}, "p = 1.1 is no probability"),
        ({"p": float("nan"), "r": 0.5}, "p = nan is no probability"),
        ({"p": 0.1, "r": 0.0}, "would not end"),
        ({"p": 0.1, "r": 0.5, "good": 1.0}, "good state loses every packet"),
        ({"p": 0.1, "r": 0.5, "bad": -0.1}, "bad = -0.1"),
    ],
)
def test_impossible_bursts_are_refused(given: dict[str, float], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        BurstLoss(**given)


@pytest.mark.parametrize("name", ["loss", "corruption", "duplication"])
@pytest.mark.parametrize("value", [-0.1, 1.0, 2.0, float("nan")])
def test_what_is_no_probability_below_one_is_refused(name: str, value: float) -> None:
    with pytest.raises(BadInput, match=name):
        Impairments(**{name: value})  # type: ignore[arg-type]  # one of three floats


def test_a_negative_jitter_is_refused() -> None:
    with pytest.raises(BadInput, match="jitter"):
        Impairments(jitter=timedelta(microseconds=-1))
