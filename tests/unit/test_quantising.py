"""Integers made of float32 weights by a fixed rule."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.domain.quantising import Integers, Tensors, folded, in_cells
from orbitloop.domain.quantising import quantised as by_rule

STEP = np.float32(0.0125)
Arrays = dict[str, NDArray[np.float32]]


def quantised(weights: Arrays, scales: dict[str, np.float32], largest: int = 127) -> Tensors:
    return by_rule(weights, Integers(input_scales=scales, largest=largest))


def a_convolution(seed: int, *, inputs: int = 4, outputs: int = 3) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    sizes = rng.choice(np.array([1e-6, 1e-2, 1, 50], np.float32), (outputs, 1, 1, 1))
    return {
        "a.weight": (rng.normal(0, 1, (outputs, inputs, 3, 3)) * sizes).astype(np.float32),
        "a.bias": rng.normal(0, 1, outputs).astype(np.float32),
    }


@given(seed=st.integers(0, 2**32 - 1), largest=st.sampled_from([63, 127]))
def test_each_integer_is_the_nearest_to_what_it_stands_for(seed: int, largest: int) -> None:
    weights = a_convolution(seed)
    made = quantised(weights, {"a": STEP}, largest)
    for channel, scale in enumerate(made["a.weight_scale"]):
        for value, integer in zip(weights["a.weight"][channel].flat, made["a.weight"][channel].flat, strict=True):
            off = abs(Fraction(float(value)) / Fraction(float(scale)) - int(integer))
            assert off <= Fraction(1, 2) + Fraction(1, 10**4)
    assert np.abs(made["a.weight"].astype(int)).max(axis=(1, 2, 3)).tolist() == [largest] * 3
    assert made["a.weight"].dtype == np.int8
    assert made["a.bias"].dtype == np.int32
    np.testing.assert_array_equal(made["a.bias_scale"], made["a.weight_scale"] * STEP)


@given(seed=st.integers(0, 2**32 - 1))
def test_an_update_changes_the_integers_of_the_channels_it_changes_and_no_others(seed: int) -> None:
    weights = a_convolution(seed)
    changed = weights | {"a.weight": weights["a.weight"].copy()}
    changed["a.weight"][1] *= np.float32(1.5)
    changed["a.weight"][1, 0, 0, 0] += np.float32(0.7)
    before, after = quantised(weights, {"a": STEP}), quantised(changed, {"a": STEP})
    for name in ("a.weight", "a.weight_scale"):
        np.testing.assert_array_equal(before[name][[0, 2]], after[name][[0, 2]])
    assert before["a.weight_scale"][1] != after["a.weight_scale"][1]


def test_integers_written_down_are_found_again() -> None:
    weight = np.array([[[[1.0]], [[-0.5]], [[0.25]], [[0.0]]], [[[0.0]], [[0.0]], [[0.0]], [[0.0]]]], np.float32)
    made = quantised({"a.weight": weight, "a.bias": np.array([0.5, -1.0], np.float32)}, {"a": np.float32(0.5)})
    assert made["a.weight"].reshape(2, 4).tolist() == [[127, -64, 32, 0], [0, 0, 0, 0]]
    assert made["a.weight_scale"].tolist() == [float(np.float32(1) / np.float32(127))] * 2
    assert made["a.bias"].tolist() == [127, -254]


@given(seed=st.integers(0, 2**32 - 1), inputs=st.integers(1, 4), outputs=st.integers(1, 4))
def test_a_folded_convolution_of_cells_puts_out_the_pixels_of_each(seed: int, inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (1, 6, 8, inputs), np.uint8)
    weight = rng.integers(-127, 128, (outputs, inputs, 3, 3), np.int8)
    cells = convolved(in_cells(picture), folded(weight))
    apart = cells.reshape(3, 4, 2, 2, outputs).transpose(0, 2, 1, 3, 4).reshape(6, 8, outputs)
    np.testing.assert_array_equal(apart, convolved(picture, weight))


def convolved(picture: NDArray[np.uint8], weight: NDArray[np.int8]) -> NDArray[np.int64]:
    """``(1, h, w, in)`` by ``(out, in, 3, 3)`` to ``(h, w, out)``; beyond the picture is nothing."""
    padded = np.pad(picture[0].astype(np.int64), ((1, 1), (1, 1), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    return np.asarray(np.einsum("hwcij,ocij->hwo", seen, weight.astype(np.int64)))


def test_scales_and_biases_of_a_folded_convolution_are_those_of_each_pixel() -> None:
    weights = a_convolution(1, inputs=3)
    plain = quantised(weights, {"a": STEP})
    made = by_rule(weights, Integers(input_scales={"a": STEP}, folded=frozenset({"a"})))
    np.testing.assert_array_equal(made["a.weight"], folded(plain["a.weight"]))
    for name in ("a.weight_scale", "a.bias", "a.bias_scale"):
        np.testing.assert_array_equal(made[name].reshape(4, -1), np.stack([plain[name]] * 4))


@given(seed=st.integers(0, 2**32 - 1))
def test_shifts_move_powers_of_two_between_layers_and_change_nothing_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = a_convolution(seed) | {"head.weight": rng.normal(0, 1, (2, 3, 1, 1)).astype(np.float32)}
    weights["head.bias"] = np.zeros(2, np.float32)
    given, made = rng.integers(0, 4, 4), rng.integers(0, 4, 3)
    shifted = by_rule(
        weights,
        Integers(input_scales={"a": STEP}, output_shifts={"a": made}, input_shifts={"a": given, "head": made}),
    )
    moved = weights | {
        "a.weight": weights["a.weight"] * np.float32(2) ** (made[:, None] - given)[..., None, None].astype(np.float32),
        "a.bias": weights["a.bias"] * np.float32(2) ** made.astype(np.float32),
        "head.weight": weights["head.weight"] / np.float32(2) ** made[:, None, None].astype(np.float32),
    }
    for name, tensor in quantised(moved, {"a": STEP}).items():
        np.testing.assert_array_equal(shifted[name], tensor)
        assert shifted[name].dtype == tensor.dtype


def test_what_has_no_scale_stays_as_it_is() -> None:
    weights = a_convolution(2)
    assert quantised(weights, {}) == weights


def test_a_bias_beyond_all_bounds_is_the_largest_there_is() -> None:
    weights = a_convolution(3) | {"a.bias": np.array([1e30, -1e30, 0], np.float32)}
    assert quantised(weights, {"a": STEP})["a.bias"].tolist() == [2**31 - 1, -(2**31), 0]


def test_a_convolution_that_is_not_there_is_named() -> None:
    with pytest.raises(BadInput, match="a convolution 'b', and the weights have none"):
        quantised(a_convolution(4), {"b": STEP})


@pytest.mark.parametrize("shape", [(3, 4), (0, 4, 3, 3), (2, 4, 3, 3)], ids=str)
def test_tensors_of_another_shape_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="convolution 'a' has shapes"):
        quantised({"a.weight": np.zeros(shape, np.float32), "a.bias": np.zeros(3, np.float32)}, {"a": STEP})


def test_weights_next_to_nothing_are_nothing() -> None:
    weight = np.full((1, 4, 1, 1), 1e-44, np.float32)
    made = quantised({"a.weight": weight, "a.bias": np.zeros(1, np.float32)}, {"a": STEP})
    assert not made["a.weight"].any()
    assert made["a.weight_scale"][0] > 0
