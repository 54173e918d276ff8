"""What peers would send in place of a delta: what is ours of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench.delta import peers

from orbitloop.domain.versions import Weights

MOVES = {"a.weight": 0.001, "a.bias": 0.5, "b.weight": 0.1, "b.bias": 0.0}
SHAPES = {"a.weight": (64, 3, 3, 3), "a.bias": (64,), "b.weight": (8, 64, 1, 1), "b.bias": (8,)}


@pytest.fixture
def pair() -> tuple[Weights, Weights]:
    """A base that half precision holds, and what training made of it."""
    chance = np.random.default_rng(5)
    base = {name: chance.normal(0, 0.1, shape).astype(np.float16).astype(np.float32) for name, shape in SHAPES.items()}
    trained = {name: (value + np.float32(MOVES[name])).astype(np.float32) for name, value in base.items()}
    return base, trained


@pytest.mark.parametrize("name", ["full fp32", "zstd --patch-from fp32"])
def test_what_is_sent_in_full_precision_comes_out_to_the_bit(name: str, pair: tuple[Weights, Weights]) -> None:
    sent = peers.PEERS[name](*pair)
    assert {name: value.tobytes() for name, value in sent.weights.items()} == {
        name: value.tobytes() for name, value in pair[1].items()
    }
    assert all(sent.weights[name].shape == shape for name, shape in SHAPES.items())


@pytest.mark.parametrize("name", ["full fp16", "zstd --patch-from fp16"])
def test_half_precision_costs_half_a_step(name: str, pair: tuple[Weights, Weights]) -> None:
    sent = peers.PEERS[name](*pair)
    assert sent.bytes <= 2 * sum(value.size for value in pair[1].values()) + 100
    for tensor, value in pair[1].items():
        assert sent.weights[tensor].dtype == np.float32
        np.testing.assert_allclose(sent.weights[tensor], value, rtol=2**-11, atol=1e-7)


def test_a_patch_of_what_is_known_costs_next_to_nothing(pair: tuple[Weights, Weights]) -> None:
    base, _ = pair
    assert peers.zstd_patch(base, base).bytes < 100 < peers.full(base, base).bytes


def test_whole_tensors_are_chosen_by_how_far_they_moved_for_their_size(pair: tuple[Weights, Weights]) -> None:
    base, trained = pair
    a_bias, b_weight, b_bias = (base[name].nbytes for name in ("a.bias", "b.weight", "b.bias"))
    assert peers.tensors_within(base, trained, a_bias + b_weight) == ("a.bias", "b.weight")
    # One that does not fit is passed over for one that does.
    assert peers.tensors_within(base, trained, a_bias + b_bias) == ("a.bias", "b.bias")
    assert peers.tensors_within(base, trained, 0) == ()


def test_what_cannot_be_installed_says_so_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "FOLDER", tmp_path / "peers")
    monkeypatch.setitem(peers.PINNED, "bsdiff4", "0.0.0.never")
    with pytest.raises(peers.Missing, match=r"pip cannot install bsdiff4 0\.0\.0\.never: "):
        peers.installed("bsdiff4")
    assert list((tmp_path / "peers").iterdir()) == []
