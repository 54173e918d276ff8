"""Partial updates: what they change, and that they change it to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from orbitloop.domain.delta import MAX_RANK, Change, Gain, LowRank, Shift, Sparse, apply
from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import Weights, weights_digest


def base() -> Weights:
    rng = np.random.default_rng(0)
    return {
        "conv.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "conv.bias": rng.standard_normal(4).astype(np.float32),
    }


def int8(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    return np.array(values, np.int8)


def matrix(rows: int, columns: int, *, seed: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-128, 128, (rows, columns)).astype(np.int8)


def positions(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint32]]:
    return np.array(values, np.uint32)


def test_a_shift_moves_every_value_by_its_quanta() -> None:
    weights = base()
    changed = apply(weights, [Shift(tensor="conv.bias", exponent=-3, quanta=int8(1, -2, 0, 127))])
    moved = weights["conv.bias"] + np.array([0.125, -0.25, 0, 15.875], np.float32)
    assert np.array_equal(changed["conv.bias"], moved)


def test_a_gain_scales_whole_channels() -> None:
    weights = base()
    changed = apply(weights, [Gain(tensor="conv.weight", exponent=-1, quanta=int8(0, 1, -1, 2))])["conv.weight"]
    for channel, factor in enumerate((1.0, 1.5, 0.5, 2.0)):
        assert np.array_equal(changed[channel], weights["conv.weight"][channel] * np.float32(factor))


def test_a_gain_of_the_second_axis_scales_what_comes_in() -> None:
    weights = base()
    change = Gain(tensor="conv.weight", exponent=-1, quanta=int8(0, 1, -1), axis=1)
    changed = apply(weights, [change])["conv.weight"]
    for channel, factor in enumerate((1.0, 1.5, 0.5)):
        assert np.array_equal(changed[:, channel], weights["conv.weight"][:, channel] * np.float32(factor))


def test_factors_move_every_value_by_their_product() -> None:
    weights = base()
    left, right = matrix(4, 2, seed=1), matrix(2, 27, seed=2)
    changed = apply(weights, [LowRank(tensor="conv.weight", exponent=-14, left=left, right=right)])["conv.weight"]
    moves = (left.astype(np.int64) @ right.astype(np.int64)).reshape(4, 3, 3, 3) * 2.0**-14
    assert np.array_equal(changed, (weights["conv.weight"] + moves.astype(np.float32)))


def test_a_sparse_change_moves_the_chosen_values_and_no_other() -> None:
    weights = base()
    change = Sparse(tensor="conv.weight", exponent=0, where=positions(0, 50, 107), quanta=int8(1, -1, 7))
    difference = (apply(weights, [change])["conv.weight"] - weights["conv.weight"]).ravel()
    assert np.flatnonzero(difference).tolist() == [0, 50, 107]
    assert difference[[0, 50, 107]].round(3).tolist() == [1, -1, 7]


def test_the_base_is_left_as_it_was() -> None:
    weights = base()
    digest = weights_digest(weights)
    apply(weights, [Sparse(tensor="conv.weight", exponent=0, where=positions(3), quanta=int8(5))])
    assert weights_digest(weights) == digest


def test_changes_of_one_tensor_are_carried_out_in_their_order() -> None:
    weights = {"w": np.ones((1, 1, 1, 1), np.float32)}
    gain = Gain(tensor="w", exponent=0, quanta=int8(1))
    move = Sparse(tensor="w", exponent=0, where=positions(0), quanta=int8(1))
    assert apply(weights, [gain, move])["w"].item() == 3
    assert apply(weights, [move, gain])["w"].item() == 4


def factors(tensor: str, left: tuple[int, int], right: tuple[int, int]) -> LowRank:
    return LowRank(tensor=tensor, exponent=0, left=np.ones(left, np.int8), right=np.ones(right, np.int8))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (Shift(tensor="nose", exponent=0, quanta=int8(1)), "does not have"),
        (Shift(tensor="conv.bias", exponent=0, quanta=int8(1, 2)), "values where the model has"),
        (Gain(tensor="conv.weight", exponent=0, quanta=int8(1, 2, 3)), "values where the model has"),
        (Sparse(tensor="conv.weight", exponent=0, where=positions(108), quanta=int8(1)), "outside"),
        (Sparse(tensor="conv.weight", exponent=0, where=positions(5, 5), quanta=int8(1, 1)), "not increasing"),
        (Sparse(tensor="conv.weight", exponent=0, where=positions(5, 6), quanta=int8(1)), "values where"),
        (Shift(tensor="conv.bias", exponent=60, quanta=int8(1, 1, 1, 1)), "exponent 60"),
        (Gain(tensor="conv.weight", exponent=0, quanta=int8(1, 2, 3, 4), axis=1), "values where the model has"),
        (Gain(tensor="conv.bias", exponent=0, quanta=int8(1), axis=1), "scales axis 1 of 1"),
        (factors("conv.weight", (4, 0), (0, 27)), "rank 0"),
        (factors("conv.weight", (4, MAX_RANK + 1), (MAX_RANK + 1, 27)), "rank 1025"),
        (factors("conv.weight", (3, 2), (2, 27)), "values where the model has"),
        (factors("conv.weight", (4, 2), (2, 26)), "values where the model has"),
        (factors("conv.weight", (4, 2), (3, 27)), "values where the model has"),
        (factors("conv.bias", (4, 2), (2, 1)), "factors of a matrix"),
    ],
    ids=[
        "unknown tensor",
        "short shift",
        "short gain",
        "position outside",
        "position twice",
        "uneven",
        "huge step",
        "gain of the other axis",
        "no such axis",
        "no rank",
        "rank too high",
        "left too short",
        "right too short",
        "ranks differ",
        "factors of a vector",
    ],
)
def test_a_change_that_does_not_fit_is_refused(change: Change, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        apply(base(), [change])


@given(st.integers(-20, 0), st.lists(st.integers(-127, 127), min_size=4, max_size=4), st.permutations(range(4)))
def test_the_result_does_not_depend_on_how_the_sum_is_carried_out(
    exponent: int, quanta: list[int], order: list[int]
) -> None:
    """Element by element in any order gives the bits that the vector operations give."""
    weights = base()
    changed = apply(weights, [Shift(tensor="conv.bias", exponent=exponent, quanta=int8(*quanta))])["conv.bias"]
    single = np.empty(4, np.float32)
    for index in order:
        single[index] = weights["conv.bias"][index] + np.float32(quanta[index]) * np.float32(2.0**exponent)
    assert single.tobytes() == changed.tobytes()


@given(st.integers(1, MAX_RANK), st.integers(-30, 0), st.integers(0, 2**32 - 1), st.booleans())
def test_the_order_in_which_factors_are_summed_does_not_matter(
    rank: int, exponent: int, seed: int, extreme: bool
) -> None:
    """Whole numbers summed in any order, in single precision or as integers, give the same bits."""
    chance, weights = np.random.default_rng(seed), base()
    left, right = matrix(4, rank, seed=seed), matrix(rank, 27, seed=seed + 1)
    if extreme:
        left, right = np.full_like(left, -128), np.full_like(right, -128)
    order = chance.permutation(rank)
    one = apply(weights, [LowRank(tensor="conv.weight", exponent=exponent, left=left, right=right)])
    other = apply(weights, [LowRank(tensor="conv.weight", exponent=exponent, left=left[:, order], right=right[order])])
    assert weights_digest(one) == weights_digest(other)
    whole = (left.astype(np.int32) @ right.astype(np.int32)).astype(np.float32).reshape(4, 3, 3, 3)
    exact = weights["conv.weight"] + whole * np.float32(2.0**exponent)
    assert one["conv.weight"].tobytes() == exact.tobytes()


@given(st.sampled_from([0, 1]), st.lists(st.integers(-128, 127), min_size=4, max_size=4), st.integers(-20, 8))
def test_no_change_touches_the_base_nor_shares_its_memory(axis: int, quanta: list[int], exponent: int) -> None:
    weights = {"w": np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)}
    digest = weights_digest(weights)
    where = positions(0, 3, 9, 15)
    changes: list[Change] = [
        Gain(tensor="w", exponent=exponent, quanta=int8(*quanta), axis=1 if axis else 0),
        LowRank(tensor="w", exponent=exponent, left=int8(*quanta).reshape(4, 1), right=int8(*quanta).reshape(1, 4)),
        Sparse(tensor="w", exponent=exponent, where=where, quanta=int8(*quanta)),
        Shift(tensor="w", exponent=exponent, quanta=int8(*quanta * 4)),
    ]
    for change in changes:
        assert not np.shares_memory(apply(weights, [change])["w"], weights["w"])
    apply(weights, changes)
    assert weights_digest(weights) == digest
