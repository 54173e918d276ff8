"""Blobs on a real disk, beyond what every store promises: beside another gateway, and over what a crash left."""

from __future__ import annotations

from pathlib import Path

import pytest

from orbitloop.domain.digests import digest_of
from orbitloop_ground.adapters.blobs import FolderBlobs


@pytest.mark.parametrize("count", [1, 15, 16, 300])
def test_nothing_unfinished_is_left_however_many_are_put_at_once(tmp_path: Path, count: int) -> None:
    FolderBlobs(tmp_path).put({digest_of(data): data for data in (str(number).encode() for number in range(count))})
    assert len([path for path in tmp_path.glob("??/*") if path.is_file()]) == count
    assert not list(tmp_path.rglob("*.unfinished"))


def test_what_a_crash_left_is_removed_by_the_first_gateway_and_by_no_second(tmp_path: Path) -> None:
    shelf = tmp_path / "ab"
    shelf.mkdir()
    left = shelf / ".0123456789abcdef.unfinished"
    left.write_bytes(b"half")
    first = FolderBlobs(tmp_path)
    assert not left.exists()
    left.write_bytes(b"being written by the first")
    second = FolderBlobs(tmp_path)
    assert left.exists()
    del first, second
    FolderBlobs(tmp_path)
    assert not left.exists()
