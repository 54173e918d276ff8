"""Paths that came from outside stay inside."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.paths import contained_path

FOLDER = Path("/data/set")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.png", "/data/set/a.png"),
        ("images/train/a.png", "/data/set/images/train/a.png"),
        ("./a.png", "/data/set/a.png"),
        ("a..b.png", "/data/set/a..b.png"),
        ("a b/\u00fc.png", "/data/set/a b/\u00fc.png"),
        ("a/b:c.png", "/data/set/a/b:c.png"),
    ],
)
def test_a_plain_relative_path_lies_in_its_folder(name: str, wanted: str) -> None:
    assert contained_path(FOLDER, name) == Path(wanted)


@pytest.mark.parametrize(
    "name",
    ["", ".", "/", "/etc/passwd", "..", "../a", "a/../../b", "a/..", "..\\a", "C:\\a", "C:/a", "a\0b", "//host/a"],
)
def test_a_path_that_climbs_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="leaves its folder /data/set"):
        contained_path(FOLDER, name)


@given(name=st.text(st.sampled_from("ab./\\:\0 "), max_size=12))
def test_whatever_is_accepted_lies_inside(name: str) -> None:
    try:
        path = contained_path(FOLDER, name)
    except BadInput:
        return
    assert FOLDER in path.parents
    assert ".." not in path.parts
