"""What the worker says of selection logics: which flies, and which it refused and why, whoever is killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.test_selection_file import PACKAGE
from tests.unit.test_selection_files import Board

from orbitloop.adapters.signatures import SigningKey, VerifyingKey
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.testing.builders import a_digest
from orbitloop.wire.messages import MOST_APPLICATION, MOST_REASON, Hello, LogicOnBoard
from orbitloop.wire.selection_file import pack_selection
from orbitloop_edge.adapters.selection_files import SelectionFile
from orbitloop_edge.adapters.selection_word import SelectionWord

ONE, TWO = a_digest("one"), a_digest("two")


def test_what_flies_and_what_was_refused_are_said_together(tmp_path: Path) -> None:
    word = SelectionWord(tmp_path / "refused.json")
    assert word.said == LogicOnBoard()
    word.flies(ONE, PACKAGE)
    word.refused(TWO, "too old")
    flying = LogicOnBoard(flying=ONE, flying_version=3, application="ships")
    assert word.said == flying.model_copy(update={"refused": TWO, "reason": "too old"})
    word.accepted()
    assert word.said == flying


def test_a_refusal_outlives_the_process_until_a_good_one_comes(tmp_path: Path) -> None:
    path = tmp_path / "selection" / "refused.json"
    SelectionWord(path).refused(TWO, "too old")
    again = SelectionWord(path)
    assert (again.said.refused, again.said.reason) == (TWO, "too old")
    again.flies(ONE, PACKAGE)
    assert again.said.refused == TWO, "the last good one is no answer to it"
    again.accepted()
    again.accepted()
    assert SelectionWord(path).said == LogicOnBoard()


def test_a_refusal_that_the_disk_has_damaged_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "refused.json"
    SelectionWord(path).refused(TWO, "too old")
    path.write_bytes(path.read_bytes().replace(b"too", b"not"))
    assert SelectionWord(path).said == LogicOnBoard()


def test_what_is_said_fits_a_hello_however_long_it_is(tmp_path: Path) -> None:
    word = SelectionWord(tmp_path / "refused.json")
    word.flies(ONE, replace(PACKAGE, application="a" * 4_000))
    word.refused(TWO, "why " * 4_000)
    hello = Hello(satellite="sat-1", clock="2026-01-01T00:00:00Z", queued_samples=0, queued_bytes=0, logic=word.said)  # type: ignore[arg-type]
    read = Hello.model_validate_json(hello.model_dump_json())
    assert read.logic is not None
    assert (len(read.logic.application), len(read.logic.reason)) == (MOST_APPLICATION, MOST_REASON)


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey(tmp_path / "key")


def a_file(folder: Path, key: SigningKey) -> SelectionFile:
    return SelectionFile(folder / "new.ols", folder / "kept" / "kept.ols", VerifyingKey(key.public).verify)


def test_what_is_refused_is_said_with_its_digest_and_the_reason(tmp_path: Path, key: SigningKey) -> None:
    bad = {
        "no selection logic": b"nonsense",
        "signature": pack_selection(PACKAGE, SigningKey(tmp_path / "stranger").sign),
        "does not load": pack_selection(PACKAGE, key.sign),
    }
    for said, data in bad.items():
        (tmp_path / "new.ols").unlink(missing_ok=True)
        (tmp_path / "new.ols").write_bytes(data)
        file = a_file(tmp_path, key)
        with pytest.raises(Refused, match=said):
            file.new()
        for told in (file.said, a_file(tmp_path, key).said):
            assert told.refused == digest_of(data)
            assert said in told.reason
            assert told.flying is None


def test_what_flew_and_cannot_any_more_is_refused_too(tmp_path: Path, key: SigningKey) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "kept.ols").write_bytes(data := pack_selection(PACKAGE, key.sign))
    (tmp_path / "new.ols").write_bytes(data)
    file = a_file(tmp_path, key)
    with pytest.raises(BadInput):
        file.kept()
    assert file.new() is None, "it was looked at"
    assert (file.said.flying, file.said.refused) == (None, digest_of(data))


def test_a_good_one_is_an_answer_to_what_was_refused_before(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.put()
    first = board.process()
    assert first.new() is not None
    flying = first.said.flying
    good = (tmp_path / "new.ols").read_bytes()
    assert (flying, first.said.flying_version, first.said.application) == (digest_of(good), 1, "ships")
    board.put(target="another")
    with pytest.raises(BadInput, match="no newer than 1"):
        first.new()
    again = board.process()
    assert again.kept() is not None
    assert (again.said.flying, again.said.refused) == (flying, first.said.refused), "across a restart"
    (tmp_path / "new.ols").write_bytes(good)
    assert again.new() is None, "it flies already"
    assert (again.said.flying, again.said.refused) == (flying, None)
    board.put(version=2, application="clouds")
    assert again.new() is not None
    assert (again.said.flying_version, again.said.application, again.said.refused) == (2, "clouds", None)
