"""Trained changes in steps: the same bits as at once, and no end that is worth less than the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.delta import Change, Gain, LowRank, Quanta, Shift, Sparse, apply
from orbitloop.domain.partial import sizes_of_moves
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.wire.update import Step, Update, pack_update, unpack_beginning
from orbitloop.wire.update_streams import shapes_of
from orbitloop_ground.usecases.progressive import (
    MOST_PARTS,
    Part,
    at_once,
    ends_of,
    in_parts,
    joined,
    merged,
    progressive,
)

Seed = st.integers(0, 2**32 - 1)


def a_base() -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    rng = np.random.default_rng(7)
    shapes = {"a.weight": (40, 30, 3, 3), "a.bias": (40,), "b.weight": (20, 40, 1, 1), "b.bias": (20,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


BASE = a_base()


def some_quanta(rng: np.random.Generator, count: int) -> Quanta:
    quanta = np.clip(rng.laplace(0, 4, count).round(), -31, 31).astype(np.int8)
    quanta[quanta == 0] = 1
    return quanta


def trained(seed: int = 0, *, moves: int = 4_000, low_rank: bool = False) -> Part:
    """What the trainer makes: a shift or gain of each tensor, then single values of the convolutions."""
    rng = np.random.default_rng(seed)
    changes: list[Change] = [
        Shift(tensor=name, exponent=-9, quanta=some_quanta(rng, tensor.size))
        if tensor.ndim == 1
        else Gain(tensor=name, exponent=-9, quanta=some_quanta(rng, len(tensor)))
        for name, tensor in BASE.items()
    ]
    if low_rank:
        left, right = some_quanta(rng, 2 * 40).reshape(40, 2), some_quanta(rng, 2 * 270).reshape(2, 270)
        changes.append(LowRank(tensor="a.weight", exponent=-12, left=left, right=right))
    for name, share in (("a.weight", 0.9), ("b.weight", 0.1)):
        count = min(int(moves * share), BASE[name].size)
        where = np.sort(rng.choice(BASE[name].size, count, replace=False)).astype(np.uint32)
        changes.append(Sparse(tensor=name, exponent=-8, where=where, quanta=some_quanta(rng, count)))
    return tuple(changes)


def packed(steps: Sequence[Step]) -> bytes:
    update = Update(base=weights_digest(BASE), steps=tuple(steps))
    return pack_update(update, lambda _: bytes(64), shapes_of(BASE))


def size(steps: Sequence[Step]) -> int:
    return len(packed(steps))


def scores(*of: float) -> Callable[[Weights], float]:
    """A measurement that gives these one after the other."""
    left = iter(of)
    return lambda _: next(left)


@given(Seed, st.integers(0, 12_000), st.booleans(), st.integers(1, MOST_PARTS))
def test_parts_together_make_the_same_bits_as_the_changes_at_once(
    seed: int, moves: int, low_rank: bool, most: int
) -> None:
    changes = trained(seed, moves=moves, low_rank=low_rank)
    parts = in_parts(changes, most)
    assert 1 <= len(parts) <= most
    steps = joined(BASE, parts, range(1, len(parts) + 1))
    assert steps[-1].result == at_once(BASE, [changes])[0].result == weights_digest(apply(BASE, changes))


def test_what_moves_furthest_goes_first_and_each_part_has_more_moves() -> None:
    channels, *rest = in_parts(trained(), MOST_PARTS)
    assert not any(isinstance(change, Sparse) for change in channels)
    moves = [sizes_of_moves([change for change in part if isinstance(change, Sparse)]) for part in rest]
    for before, after in pairwise(moves):
        assert before.min() >= after.max()
        assert 4 * len(before) < len(after)
    assert sum(len(of) for of in moves) == 4_000


def test_each_value_is_moved_in_one_part_alone() -> None:
    changes = trained()
    moved = [
        (change.tensor, int(place))
        for part in in_parts(changes, MOST_PARTS)
        for change in part
        if isinstance(change, Sparse)
        for place in change.where
    ]
    assert len(moved) == len(set(moved)) == 4_000


@pytest.mark.parametrize("moves", [0, 40])
def test_a_few_moves_are_not_divided(moves: int) -> None:
    parts = in_parts(trained(moves=moves), MOST_PARTS)
    assert len(parts) == (2 if moves else 1)


@pytest.mark.parametrize(
    ("measured", "ends"),
    [
        ([0.4, 0.5, 0.6, 0.7, 0.8], (1, 2, 3, 4)),
        ([0.4, 0.49, 0.55, 0.43, 0.75], (1, 2, 4)),
        ([0.89, 0.88, 0.914, 0.916, 0.928], (2, 3, 4)),
        ([0.5, 0.9, 0.6, 0.7, 0.8], (2, 3, 4)),
        ([0.5, 0.5, 0.5, 0.5, 0.5], (4,)),
        ([0.5, 0.4, 0.3, 0.2, 0.1], (4,)),
        ([0.5, 0.6], (1,)),
    ],
    ids=["all", "a step back", "worse than what flies", "better than all of it", "nothing gained", "worse", "one part"],
)
def test_a_step_ends_only_where_more_is_gained_than_before(measured: list[float], ends: tuple[int, ...]) -> None:
    assert ends_of(measured) == ends


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_no_end_is_worse_than_the_one_before_or_than_what_flies(measured: list[float]) -> None:
    *before, last = ends_of(measured)
    assert last == len(measured) - 1
    kept = [measured[0], *(measured[end] for end in before)]
    assert kept == sorted(set(kept))
    assert not before or measured[before[-1]] <= measured[last]
    for number, score in enumerate(measured[1:-1], start=1):  # and wherever it is cut, none would have been worth more
        if score <= measured[last]:
            assert score <= max(kept[: 1 + sum(end <= number for end in before)])


def test_the_last_step_makes_what_all_of_it_makes_whatever_is_joined() -> None:
    changes = trained()
    measure = scores(0.4, 0.5, 0.45, 0.6, 0.7)
    steps = progressive(BASE, [changes], size=lambda _: 100, budget=100, score=measure)
    assert len(steps) == 3
    assert steps[-1].result == weights_digest(apply(BASE, changes))
    weights: Weights = BASE
    for step in steps:
        weights = apply(weights, step.changes)
        assert step.result == weights_digest(weights)


def test_parts_that_are_joined_take_no_more_bytes_than_if_they_had_never_been_apart() -> None:
    changes = trained()
    parts = in_parts(changes, MOST_PARTS)
    (step,) = at_once(BASE, parts)
    assert packed([step]) == packed(at_once(BASE, [changes]))
    first, *rest = in_parts(changes, 2)
    assert size(joined(BASE, parts, (1, 4))) == size(joined(BASE, [first, *rest], (1, 2)))


def test_changes_that_move_a_value_twice_are_not_made_one() -> None:
    twice = [
        Sparse(tensor="a.weight", exponent=-8, where=np.array(where, np.uint32), quanta=np.array([3, 1], np.int8))
        for where in ((1, 5), (5, 9))
    ]
    apart = Sparse(tensor="a.weight", exponent=-7, where=np.array([2], np.uint32), quanta=np.array([1], np.int8))
    assert merged([*twice, apart]) == (*twice, apart)


def test_steps_cost_a_few_bytes_and_never_more_than_the_budget() -> None:
    changes = trained(moves=8_000)
    whole = size(at_once(BASE, [changes]))
    rising = (0.1, 0.2, 0.3, 0.4, 0.5)
    generous = progressive(BASE, [changes], size=size, budget=10**6, score=scores(*rising))
    assert len(generous) > 1
    assert size(generous) <= whole + 300
    exact = progressive(BASE, [changes], size=size, budget=whole, score=scores(*rising))
    assert size(exact) <= whole
    assert exact[-1].result == generous[-1].result


def test_a_trainer_that_says_what_comes_first_is_followed() -> None:
    first, *rest = trained()
    steps = progressive(BASE, [(first,), tuple(rest)], size=size, budget=10**6, score=scores(0.1, 0.2, 0.3))
    assert [len(step.changes) for step in steps] == [1, len(rest)]


def test_changes_whose_order_matters_stay_together() -> None:
    everywhere = np.arange(BASE["b.weight"].size, dtype=np.uint32)
    moved = Sparse(tensor="b.weight", exponent=-3, where=everywhere, quanta=np.full(len(everywhere), 3, np.int8))
    scaled = Gain(tensor="b.weight", exponent=-3, quanta=np.full(20, 5, np.int8))
    (step,) = progressive(BASE, [(moved, scaled)], size=size, budget=10**6, score=scores())
    assert step.result == weights_digest(apply(BASE, [moved, scaled]))


def test_of_an_update_cut_at_any_byte_nothing_is_read_or_a_beginning_that_makes_what_it_says() -> None:
    measured = dict(zip((weights_digest(BASE), *(step.result for step in STEPS)), (0.1, 0.2, 0.3, 0.4), strict=True))
    data, best = packed(STEPS), 0.1
    for length in range(len(data) + 1):
        read = unpack_beginning(data[:length], lambda _, __: None)
        if read is None:
            continue
        assert 1 <= len(read.steps) == len(STEPS) - read.missing
        assert measured[read.result] >= best  # never worse than what flies, nor than a shorter beginning
        if measured[read.result] > best:  # a longer one: applied once, since the bytes are the same
            best = measured[read.result]
            assert weights_digest(apply(BASE, read.changes)) == read.result
    assert best == 0.4


STEPS = joined(BASE, in_parts(trained(moves=600), 3), (1, 2, 3))
