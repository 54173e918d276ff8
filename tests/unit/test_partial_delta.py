from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from orbitloop.domain.delta import Change, Gain, Shift, Sparse, apply
from orbitloop.domain.errors import BadInput
from orbitloop.domain.partial import carried, differences, sparse_moves, thinned
from orbitloop.domain.versions import weights_digest

Arrays = dict[str, NDArray[np.float32]]
seeds = st.integers(0, 2**32 - 1)


def some_weights(seed: int = 0) -> Arrays:
    chance = np.random.default_rng(seed)
    shapes = {"a.weight": (8, 4, 3, 3), "a.bias": (8,), "b.weight": (4, 8, 1, 1), "b.bias": (4,), "c.weight": (5, 9)}
    return {name: chance.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}


def in_whole_steps(base: Arrays, seed: int, *, gains: bool) -> list[Change]:
    """What training inside a budget makes."""
    chance = np.random.default_rng(seed)
    changes: list[Change] = []
    for name, tensor in base.items():
        if tensor.ndim == 1:
            quanta = chance.integers(-127, 128, tensor.size).astype(np.int8)
            changes.append(Shift(tensor=name, exponent=-9, quanta=quanta))
            continue
        if gains:
            quanta = chance.integers(-127, 128, len(tensor)).astype(np.int8)
            changes.append(Gain(tensor=name, exponent=-9, quanta=quanta))
        where = np.sort(chance.choice(tensor.size, tensor.size // 9, replace=False)).astype(np.uint32)
        moves = chance.integers(1, 32, len(where)) * chance.choice([-1, 1], len(where))
        changes.append(Sparse(tensor=name, exponent=-8, where=where, quanta=moves.astype(np.int8)))
    return changes


@given(seeds, st.booleans())
def test_what_was_trained_in_whole_steps_is_found_again_to_the_bit(seed: int, gains: bool) -> None:
    base = some_weights(seed)
    made = in_whole_steps(base, seed, gains=gains)
    new = apply(base, made)
    found = differences(base, new)
    assert weights_digest(apply(base, found)) == weights_digest(new)
    assert sparse_moves(found) <= sparse_moves(made)


@given(seeds, st.sampled_from([1e-4, 1e-2, 1.0]))
def test_any_other_training_is_come_close_to(seed: int, size: float) -> None:
    base, chance = some_weights(seed), np.random.default_rng(seed)
    new = {name: (value + chance.normal(0, size, value.shape)).astype(np.float32) for name, value in base.items()}
    assert carried(base, new, apply(base, differences(base, new))) > 0.999


@given(seeds, st.integers(0, 400))
def test_what_is_left_out_moves_least_and_the_rest_stays_as_it_was(seed: int, most: int) -> None:
    base, chance = some_weights(seed), np.random.default_rng(seed)
    new = {name: (value + chance.normal(0, 0.01, value.shape)).astype(np.float32) for name, value in base.items()}
    whole = differences(base, new)
    kept = thinned(whole, most)
    assert sparse_moves(kept) == min(most, sparse_moves(whole))
    assert [change for change in kept if isinstance(change, Shift)] == [
        change for change in whole if isinstance(change, Shift)
    ]
    ways = [carried(base, new, apply(base, changes)) for changes in (thinned(whole, most // 2), kept, whole)]
    assert ways == sorted(ways)


def test_a_model_that_did_not_change_has_no_differences() -> None:
    base = some_weights()
    assert differences(base, base) == ()
    assert carried(base, base, base) == 1.0


def test_a_channel_of_zeros_has_no_factor_and_is_moved_alone() -> None:
    base = some_weights()
    base["a.weight"][0] = 0
    new = dict(base) | {"a.weight": base["a.weight"].copy()}
    new["a.weight"][0, 0, 0, 0] = 0.5
    (only,) = differences(base, new)
    assert isinstance(only, Sparse)
    assert weights_digest(apply(base, [only])) == weights_digest(new)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda new: new.pop("a.bias"), "lacks tensor 'a.bias'"),
        (lambda new: new.update(extra=np.zeros(3, np.float32)), "has tensor 'extra'"),
        (lambda new: new.update({"a.bias": np.zeros(9, np.float32)}), "is \\(9,\\), and \\(8,\\) flies"),
        (lambda new: new["a.weight"].fill(np.nan), "no numbers"),
        (lambda new: new["a.weight"].fill(1e30), "diverged"),
    ],
    ids=["a tensor is missing", "one too many", "another shape", "not finite", "far away"],
)
def test_what_is_no_version_of_the_same_model_is_refused(spoil: object, why: str) -> None:
    new = {name: value.copy() for name, value in some_weights().items()}
    assert callable(spoil)
    spoil(new)
    with pytest.raises(BadInput, match=why):
        differences(some_weights(), new)
