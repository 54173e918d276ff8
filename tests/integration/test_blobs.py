"""Blobs on a real disk: few or many at a time, beside another gateway, and over what a crash left."""

from __future__ import annotations

from pathlib import Path

import pytest

from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, Untrusted
from orbitloop_ground.adapters.blobs import FolderBlobs


@pytest.mark.parametrize("count", [0, 1, 15, 16, 300])
def test_however_many_are_put_at_once_each_is_there_under_its_digest(tmp_path: Path, count: int) -> None:
    blobs = FolderBlobs(tmp_path)
    given = {digest_of(data): data for data in (str(number).encode() for number in range(count))}
    blobs.put(given)
    blobs.put(given)
    assert {digest: FolderBlobs(tmp_path).get(digest) for digest in given} == given
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


def test_a_blob_that_is_missing_or_damaged_is_told_apart(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    digest = digest_of(b"pixels")
    with pytest.raises(BadInput, match="no blob"):
        blobs.get(digest)
    blobs.put({digest: b"pixels"})
    (tmp_path / hexadecimal(digest)[:2] / hexadecimal(digest)).write_bytes(b"pixel")
    with pytest.raises(Untrusted, match="damaged"):
        blobs.get(digest)
