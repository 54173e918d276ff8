"""What a model version is: a digest that both sides compute alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import weights_digest, weights_size
from orbitloop.testing.builders import some_weights

BASE = {"bias": np.array([0, 1.5, -2], np.float32), "kernel": np.arange(4, dtype=np.float32).reshape(2, 2)}


def test_the_digest_is_the_same_everywhere_and_for_ever() -> None:
    assert weights_digest(BASE) == "sha256:97d912d32e7b699b2e955e9d3f58380b53811ad7fc39089940cad4b2b19f5949"


@pytest.mark.parametrize(
    "other",
    [
        {**BASE, "bias": np.array([0, 1.5, np.nextafter(np.float32(-2), np.float32(0))], np.float32)},
        {**BASE, "bias": np.array([-0.0, 1.5, -2], np.float32)},
        {**BASE, "kernel": BASE["kernel"].reshape(4)},
        {**BASE, "kernel": BASE["kernel"].T},
        {"bias": BASE["bias"]},
        {**BASE, "extra": np.zeros(0, np.float32)},
        {"bias": BASE["bias"], "colonel": BASE["kernel"]},
        {},
    ],
    ids=[
        "one bit",
        "the sign of nought",
        "another shape",
        "transposed",
        "a tensor less",
        "an empty tensor more",
        "another name",
        "nothing",
    ],
)
def test_any_difference_is_another_version(other: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]) -> None:
    assert weights_digest(other) != weights_digest(BASE)


@given(seed=st.integers(0, 999))
def test_order_of_tensors_and_layout_in_memory_do_not_matter(seed: int) -> None:
    weights = some_weights(seed)
    backwards = dict(reversed(weights.items()))
    strided = {name: np.asfortranarray(tensor) for name, tensor in weights.items()}
    assert {weights_digest(each) for each in (backwards, strided)} == {weights_digest(weights)}


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8], ids=str)
def test_only_single_precision_has_a_version(dtype: type[np.generic]) -> None:
    with pytest.raises(BadInput, match=r"tensor bias is .*; versions are compared as float32"):
        weights_digest({"bias": np.zeros(3, dtype)})


def test_size_counts_four_bytes_a_value() -> None:
    assert weights_size(BASE) == 7 * 4
    assert weights_size({}) == 0
