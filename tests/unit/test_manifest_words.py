"""Words without quotes are what Kubernetes takes them for."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop_mission.manifests.documents import documents
from orbitloop_mission.manifests.scalars import plain


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("20:00", "20:00"),
        ("1:30:15", "1:30:15"),
        ("on", True),
        ("Yes", True),
        ("y", True),
        ("NO", False),
        ("off", False),
        ("yEs", "yEs"),
        ("~", None),
        ("Null", None),
        ("nULL", "nULL"),
        ("0777", 511),
        ("0o17", 15),
        ("08", 8),
        ("-010", -8),
        ("0x1F", 31),
        ("0b101", 5),
        ("-0b11", -3),
        ("1_000", 1000),
        ("_1", "_1"),
        ("1e3", 1000),
        ("1e21", 1e21),
        ("1e400", "1e400"),
        (".5", 0.5),
        ("+.5", 0.5),
        ("1.", 1),
        ("1.50", 1.5),
        ("1.2.3", "1.2.3"),
        ("2026-03-01", "2026-03-01"),
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"),
        ("+", "+"),
        ("-", "-"),
        (".", "."),
        ("0x", "0x"),
        ("1Gi", "1Gi"),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_a_word_is_what_go_yaml_takes_it_for(word: str, meaning: Any) -> None:
    assert plain(word) == meaning
    assert type(plain(word)) is type(meaning)


@pytest.mark.parametrize("word", [".inf", "-.Inf", "+.INF", ".nan"])
def test_a_number_without_an_end_is_refused(word: str) -> None:
    with pytest.raises(BadInput, match=r"m:2: .*finite"):
        documents(f"a: 1\nb: {word}", "m", {})


@given(st.integers())
def test_a_whole_number_is_itself(number: int) -> None:
    assert plain(str(number)) == number


@given(st.text())
def test_every_quoted_text_is_itself(text: str) -> None:
    written = yaml.safe_dump({"a": text}, default_style='"', allow_unicode=False)
    assert documents(written, "m", {})[0].document == {"a": text} or "$" in text


@pytest.mark.parametrize(
    ("written", "meaning"),
    [
        ("!!str 5", "5"),
        ('!!int "5"', 5),
        ("!!float 5", 5),
        ("!!bool yes", True),
        ('!!null ""', None),
        ("!!binary aGk=", "hi"),
        ("!!timestamp 2026-03-01", "2026-03-01"),
        ("! 5", "5"),
    ],
)
def test_a_tag_says_what_a_word_is(written: str, meaning: Any) -> None:
    document = documents(f"a: {written}", "m", {})[0].document
    assert document == {"a": meaning}
    assert type(document["a"]) is type(meaning)


@pytest.mark.parametrize("written", ["!!int x", "!!bool 5", "!!binary '?'", "!secret x", "!!python/name:os.system x"])
def test_a_tag_that_does_not_fit_is_refused(written: str) -> None:
    with pytest.raises(BadInput, match=r"^m:2: "):
        documents(f"a: 1\nb: {written}", "m", {})
