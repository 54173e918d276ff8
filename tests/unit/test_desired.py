from __future__ import annotations

from pathlib import Path

import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.testing.node_channel import RememberedState
from orbitloop_edge.adapters.desired import DOCUMENT, FileDesired

FIRST, SECOND = b'{"datasets": {}}', b'{"datasets": {"a/b": {"url": "/data/index.txt"}}}'


def test_nothing_is_applied_before_anything_came(tmp_path: Path) -> None:
    state = RememberedState()
    shelf = FileDesired(tmp_path / "desired", state)
    shelf.settle()
    assert shelf.digest() is None
    assert state.documents == []


def test_a_document_is_applied_when_it_comes_and_once_more_at_every_start(tmp_path: Path) -> None:
    state = RememberedState()
    shelf = FileDesired(tmp_path, state)
    for document in (FIRST, SECOND):
        shelf.put(document)
        shelf.settle()
    assert state.documents == [FIRST, SECOND]
    again = RememberedState()
    restarted = FileDesired(tmp_path, again)
    assert restarted.digest() == digest_of(SECOND)
    restarted.settle()
    restarted.settle()
    assert again.documents == [SECOND]


def test_a_document_that_cannot_be_applied_now_is_here_and_applied_later(tmp_path: Path) -> None:
    state = RememberedState([NotYet("busy"), NotYet("busy")])
    shelf = FileDesired(tmp_path, state)
    with pytest.raises(NotYet):
        shelf.put(FIRST)
    assert shelf.digest() == digest_of(FIRST)
    shelf.settle()
    assert state.documents == []
    shelf.settle()
    shelf.settle()
    assert state.documents == [FIRST]


def test_a_document_that_is_refused_is_not_tried_again_and_the_next_one_is(tmp_path: Path) -> None:
    state = RememberedState([BadInput("no document of ours")])
    shelf = FileDesired(tmp_path, state)
    with pytest.raises(BadInput):
        shelf.put(FIRST)
    shelf.settle()
    assert (shelf.digest(), state.documents) == (digest_of(FIRST), [])
    shelf.put(SECOND)
    assert state.documents == [SECOND]


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-1], lambda data: data.replace(b"datasets", b"Datasets"), lambda data: b"", lambda data: b"\n"],
    ids=["cut short", "changed", "empty", "no digest"],
)
def test_a_damaged_document_is_forgotten(tmp_path: Path, damage: object) -> None:
    FileDesired(tmp_path, RememberedState()).put(FIRST)
    path = tmp_path / DOCUMENT
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    state = RememberedState()
    shelf = FileDesired(tmp_path, state)
    shelf.settle()
    assert (shelf.digest(), state.documents) == (None, [])
