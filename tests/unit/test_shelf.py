"""Held-out tiles on board."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.testing.builders import a_digest, plain_ground
from orbitloop_edge.adapters.shelf import Shelf


def noise(seed: int, side: int = 24) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def test_a_tile_comes_back_bit_for_bit_also_after_a_restart(tmp_path: Path) -> None:
    Shelf(tmp_path / "shelf").keep(a_digest(1), noise(1))
    kept = Shelf(tmp_path / "shelf").pixels(a_digest(1))
    assert kept is not None
    np.testing.assert_array_equal(kept, noise(1))


def test_what_was_not_kept_is_not_there(tmp_path: Path) -> None:
    assert Shelf(tmp_path).pixels(a_digest(1)) is None


@pytest.mark.parametrize("damage", [b"", b"noise", b"\x89PNG\r\n\x1a\n"], ids=["empty", "noise", "only a header"])
def test_a_damaged_tile_is_as_good_as_none(tmp_path: Path, damage: bytes) -> None:
    shelf = Shelf(tmp_path)
    shelf.keep(a_digest(1), noise(1))
    next(tmp_path.glob("*.png")).write_bytes(damage)
    assert shelf.pixels(a_digest(1)) is None


def test_the_oldest_give_way(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, capacity=3)
    for number in range(6):
        shelf.keep(a_digest(number), noise(number))
        os.utime(path_of(tmp_path, number), ns=(1, 10**9 * (number + 1)))
    kept = [number for number in range(6) if shelf.pixels(a_digest(number)) is not None]
    assert kept == [3, 4, 5]


def path_of(folder: Path, number: int) -> Path:
    return folder / f"{a_digest(number).removeprefix('sha256:')}.png"


def test_the_newest_stays_even_where_the_clock_stands_still(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, capacity=1)
    for number in range(5):
        shelf.keep(a_digest(number), noise(number))
        assert shelf.pixels(a_digest(number)) is not None
        os.utime(path_of(tmp_path, number), ns=(2**62, 2**62))
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_keeping_twice_changes_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.keep(a_digest(1), noise(1))
    shelf.keep(a_digest(1), plain_ground(24))
    kept = shelf.pixels(a_digest(1))
    assert kept is not None
    np.testing.assert_array_equal(kept, noise(1))


def test_a_shelf_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="room for at least one"):
        Shelf(tmp_path, capacity=0)
