"""Which tiles to send for how many bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.domain.mining import Uniform
from orbitloop.domain.samples import Reason
from orbitloop.domain.units import Bytes
from orbitloop.domain.value import (
    SIGNATURE_SIDE,
    Candidate,
    Choice,
    Seen,
    Worth,
    choose,
    grey_thumbnail,
    signature_of,
    structure_of,
    value_of,
)
from orbitloop.testing.builders import a_candidate, plain_ground, with_squares

NO_AUDIT = Worth(audit=0)


def chance(seed: int = 1) -> Uniform:
    rng = np.random.default_rng(seed)
    return lambda: float(rng.random())


def numbers(choices: Sequence[Choice]) -> list[int]:
    """Which of the numbered candidates were chosen, in the order of choice."""
    return [choice.candidate.window.x0 // 320 for choice in choices]


def total(choices: Sequence[Choice]) -> int:
    return sum(choice.candidate.size for choice in choices)


@st.composite
def frames(draw: st.DrawFn) -> list[Candidate]:
    """The tiles of a frame: empty ones and full ones, some of which look alike."""
    rows = draw(
        st.lists(
            st.tuples(
                st.lists(st.floats(0, 1, width=32), max_size=4),
                st.floats(0, 1),
                st.integers(100, 4_000),
                st.integers(0, 6),
                st.booleans(),
            ),
            max_size=12,
        )
    )
    return [
        a_candidate(number, scores=scores, structure=structure, size=size, signature=look, hard=hard)
        for number, (scores, structure, size, look, hard) in enumerate(rows)
    ]


@given(tiles=frames(), budget=st.integers(0, 20_000), audit=st.sampled_from([0, 0.1, 0.5]), seed=st.integers(0, 99))
def test_what_is_chosen_never_exceeds_the_budget(tiles: list[Candidate], budget: int, audit: float, seed: int) -> None:
    choices = choose(tiles, Bytes(budget), Seen(), chance(seed), Worth(audit=audit))
    assert total(choices) <= budget
    assert len(set(numbers(choices))) == len(choices)


@given(tiles=frames(), budget=st.integers(0, 12_000), more=st.integers(0, 5_000))
def test_more_budget_never_gives_less_value(tiles: list[Candidate], budget: int, more: int) -> None:
    small, large = (choose(tiles, Bytes(size), Seen(), chance(), NO_AUDIT) for size in (budget, budget + more))
    assert sum(choice.value for choice in large) >= sum(choice.value for choice in small) - 1e-9


@given(tiles=frames(), budget=st.integers(0, 20_000), seed=st.integers(0, 99))
def test_the_same_chance_gives_the_same_choice(tiles: list[Candidate], budget: int, seed: int) -> None:
    first, second = (choose(tiles, Bytes(budget), Seen(), chance(seed)) for _ in range(2))
    assert numbers(first) == numbers(second)
    assert [choice.reason for choice in first] == [choice.reason for choice in second]


@given(tiles=frames(), budget=st.integers(0, 20_000), order=st.randoms(use_true_random=False))
def test_the_order_in_which_tiles_come_does_not_matter(tiles: list[Candidate], budget: int, order: object) -> None:
    shuffled = sorted(tiles, key=lambda _: order.random())  # type: ignore[attr-defined]  # hypothesis's Random
    first = choose(tiles, Bytes(budget), Seen(), chance(), NO_AUDIT)
    assert numbers(first) == numbers(choose(shuffled, Bytes(budget), Seen(), chance(), NO_AUDIT))


@given(tiles=frames(), budget=st.integers(0, 20_000), seed=st.integers(0, 99))
def test_choosing_remembers_nothing_by_itself(tiles: list[Candidate], budget: int, seed: int) -> None:
    seen = Seen()
    first = numbers(choose(tiles, Bytes(budget), seen, chance(seed)))
    assert numbers(choose(tiles, Bytes(budget), seen, chance(seed))) == first


def test_the_most_value_per_byte_goes_first() -> None:
    tiles = [
        a_candidate(0, scores=[0.99], size=1_000),
        a_candidate(1, scores=[0.5], size=1_000),
        a_candidate(2, scores=[0.5], size=200),
        a_candidate(3, scores=[0.5, 0.5, 0.5], size=1_000),
    ]
    assert numbers(choose(tiles, Bytes(9_000), Seen(), chance(), NO_AUDIT)) == [2, 3, 0, 1]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (a_candidate(scores=[0.95]), a_candidate(scores=[0.5])),
        (a_candidate(surprises=[0.8]), a_candidate(scores=[0.8])),
        (a_candidate(scores=[0.8], surprises=[0.3]), a_candidate(scores=[0.8])),
        (a_candidate(scores=[0.95]), a_candidate(scores=[])),
        (a_candidate(scores=[0.5, 0.5]), a_candidate(scores=[0.5])),
        (a_candidate(structure=0.9), a_candidate(structure=0.1)),
        (a_candidate(scores=[0.04]), a_candidate()),
        (a_candidate(scores=[0.5], hard=True), a_candidate(scores=[0.5], hard=False)),
    ],
    ids=[
        "an object over a doubt",
        "what the first look missed over what it saw",
        "more in a second look",
        "something over nothing",
        "two over one",
        "structure over a plain",
        "a faint trace over none",
        "hard over easy",
    ],
)
def test_a_tile_is_worth_more_for(better: Candidate, worse: Candidate) -> None:
    assert value_of(better, Worth())[0] > value_of(worse, Worth())[0]


@pytest.mark.parametrize(
    ("tile", "reason"),
    [
        (a_candidate(scores=[0.3]), Reason.HARD),
        (a_candidate(scores=[0.05]), Reason.HARD),
        (a_candidate(scores=[0.04]), Reason.MISS),
        (a_candidate(), Reason.MISS),
    ],
    ids=["a doubtful detection", "the faintest that counts", "one too faint to count", "nothing at all"],
)
def test_a_tile_is_sent_as(tile: Candidate, reason: Reason) -> None:
    assert value_of(tile, Worth())[1] is reason


def test_a_near_duplicate_yields_to_what_is_new() -> None:
    tiles = [
        a_candidate(0, scores=[0.5, 0.5], signature=7),
        a_candidate(1, scores=[0.5, 0.5], signature=7),
        a_candidate(2, scores=[0.9], signature=8),
    ]
    assert numbers(choose(tiles, Bytes(2_000), Seen(), chance(), NO_AUDIT)) == [0, 2]
    everything = choose(tiles, Bytes(9_000), Seen(), chance(), NO_AUDIT)
    assert numbers(everything) == [0, 2, 1]
    assert everything[2].value == pytest.approx(everything[0].value * Worth().repeated)


def test_what_earlier_frames_sent_is_not_sent_again_first() -> None:
    seen = Seen()
    seen.add(a_candidate(signature=7).signature)
    tiles = [a_candidate(0, scores=[0.5, 0.5], signature=7), a_candidate(1, scores=[0.95], signature=8)]
    assert numbers(choose(tiles, Bytes(1_000), seen, chance(), NO_AUDIT)) == [1]


@given(tiles=frames(), budget=st.integers(100, 20_000))
def test_no_tile_is_discounted_twice(tiles: list[Candidate], budget: int) -> None:
    worth = {tile.window: value_of(tile, NO_AUDIT)[0] for tile in tiles}
    for choice in choose(tiles, Bytes(budget), Seen(), chance(), NO_AUDIT):
        full = worth[choice.candidate.window]
        assert choice.value in (full, full * NO_AUDIT.repeated)


def test_total_misses_among_plain_tiles_are_found() -> None:
    rng = np.random.default_rng(3)
    scene = [np.clip(plain_ground() + rng.normal(0, 1.5, (320, 320, 3)), 0, 255).astype(np.uint8) for _ in range(48)]
    for planted in (5, 23, 41):  # an apron with its markings, and aircraft that nobody saw
        apron = np.clip(rng.normal(100, 25, (320, 320, 3)), 0, 255).astype(np.uint8)
        scene[planted] = with_squares(apron, (30, 30 + planted, 70, 75 + planted), (180, 200, 230, 240))
    tiles = [tile_of(number, pixels) for number, pixels in enumerate(scene)]
    choices = choose(tiles, Bytes(3_500), Seen(), chance(), NO_AUDIT)
    assert sorted(numbers(choices)) == [5, 23, 41]
    assert {choice.reason for choice in choices} == {Reason.MISS}


def tile_of(number: int, pixels: NDArray[np.uint8]) -> Candidate:
    built = a_candidate(number, structure=structure_of(pixels))
    return Candidate(
        window=built.window,
        found=built.found,
        structure=built.structure,
        signature=signature_of(pixels),
        size=built.size,
        hard=built.hard,
    )


def test_plain_tiles_are_sent_only_as_audit() -> None:
    tiles = [a_candidate(number, structure=0.01) for number in range(20)]
    choices = choose(tiles, Bytes(20_000), Seen(), chance(), Worth(audit=0.1))
    assert [choice.reason for choice in choices] == [Reason.AUDIT] * 2
    assert choose(tiles, Bytes(20_000), Seen(), chance(), NO_AUDIT) == []


@settings(max_examples=50)
@given(share=st.sampled_from([0.05, 0.1, 0.3]), seed=st.integers(0, 99))
def test_the_audit_takes_its_share_and_no_more(share: float, seed: int) -> None:
    tiles = [a_candidate(number, scores=[0.5], size=100) for number in range(300)]
    choices = choose(tiles, Bytes(20_000), Seen(), chance(seed), Worth(audit=share))
    audited = [choice for choice in choices if choice.reason is Reason.AUDIT]
    assert total(audited) <= 20_000 * share
    assert total(audited) >= 20_000 * share - 100


def test_where_a_tile_is_larger_than_the_audit_share_it_is_sent_that_much_less_often() -> None:
    source = chance(5)
    sent = 0
    for _ in range(2_000):
        tiles = [a_candidate(number, structure=0.0) for number in range(3)]
        sent += total(choose(tiles, Bytes(2_000), Seen(), source, Worth(audit=0.1)))
    assert sent / 2_000 == pytest.approx(200, rel=0.2)


@pytest.mark.parametrize("share", [-0.01, 1.0, 2.0], ids=str)
def test_an_audit_of_everything_or_less_than_nothing_is_refused(share: float) -> None:
    with pytest.raises(BadInput, match="audit share"):
        Worth(audit=share)


# Memory of what was sent


def looks(count: int) -> Iterator[NDArray[np.float32]]:
    return (a_candidate(signature=number).signature for number in range(count))


@pytest.mark.parametrize("capacity", [1, 2, 5], ids=str)
def test_only_the_newest_are_remembered(capacity: int) -> None:
    seen = Seen(capacity)
    every = list(looks(8))
    for look in every:
        seen.add(look)
    remembered = [seen.nearest(look) > 0.99 for look in every]
    assert remembered == [False] * (8 - capacity) + [True] * capacity


def test_nothing_is_known_at_first() -> None:
    assert Seen().nearest(next(looks(1))) == 0.0
    with pytest.raises(BadInput, match="room for at least one"):
        Seen(0)


# Looks


def test_a_signature_ignores_light_but_not_place() -> None:
    day = with_squares(plain_ground(), (40, 40, 120, 120), level=220)
    dusk = (day * 0.6 + 20).astype(np.uint8)
    moved = with_squares(plain_ground(), (200, 180, 280, 260), level=220)
    assert float(signature_of(day) @ signature_of(dusk)) > 0.97
    assert float(signature_of(day) @ signature_of(moved)) < 0.5
    assert np.linalg.norm(signature_of(day)) == pytest.approx(1.0, abs=1e-5)


def test_a_plain_surface_repeats_nothing() -> None:
    assert not signature_of(plain_ground()).any()
    assert structure_of(plain_ground()) == 0.0


@given(side=st.integers(SIGNATURE_SIDE, 60), level=st.integers(0, 255))
def test_structure_lies_between_nought_and_one(side: int, level: int) -> None:
    stripes = plain_ground(side, level=level)
    stripes[::2] = 255 - level
    assert 0 <= structure_of(stripes) < 1


@pytest.mark.parametrize(("height", "width"), [(11, 40), (40, 11)], ids=str)
def test_a_tile_too_small_to_be_judged_is_refused(height: int, width: int) -> None:
    with pytest.raises(BadInput, match=f"{width}x{height} pixels is too small"):
        grey_thumbnail(np.zeros((height, width, 3), np.uint8), SIGNATURE_SIDE)
