"""Partial updates: what they change, and that they change it to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.delta import Change, Gain, Shift, Sparse, apply
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
    ],
    ids=["unknown tensor", "short shift", "short gain", "position outside", "position twice", "uneven", "huge step"],
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
