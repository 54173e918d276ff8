"""Which objects are due: each once, none twice at the same time, failing ones later and later."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop_operators.handlers.changes import Key
from orbitloop_operators.usecases.agenda import Agenda, BackOff
from orbitloop_operators.usecases.differences import merge_patch


def key(name: str) -> Key:
    return Key(api_version="v1", kind="Pod", namespace="n", name=name)


def test_what_is_asked_for_twice_is_done_once() -> None:
    agenda = Agenda(BackOff())
    agenda.add(key("a"), 5.0)
    agenda.add(key("a"), 3.0)
    agenda.add(key("a"), 4.0)
    assert agenda.take(2.9) is None
    assert agenda.take(3.0) == key("a")
    agenda.done(key("a"))
    assert agenda.take(99.0) is None


def test_what_changes_while_it_is_looked_at_is_looked_at_again_afterwards() -> None:
    agenda = Agenda(BackOff())
    agenda.add(key("a"), 0.0)
    assert agenda.take(0.0) == key("a")
    agenda.add(key("a"), 1.0)
    assert agenda.take(2.0) is None
    assert agenda.next_due() is None
    agenda.done(key("a"))
    assert agenda.next_due() == 1.0
    assert agenda.take(2.0) == key("a")


def test_a_failing_object_rests_twice_as_long_each_time_until_it_goes_well() -> None:
    agenda = Agenda(BackOff(first=timedelta(seconds=1), longest=timedelta(seconds=5)))
    agenda.add(key("a"), 0.0)
    rests = []
    now = 0.0
    for _ in range(5):
        assert agenda.take(now) == key("a")
        agenda.failed(key("a"), now)
        due = agenda.next_due()
        assert due is not None
        rests.append(due - now)
        now = due
    assert rests == [1.0, 2.0, 4.0, 5.0, 5.0]
    agenda.take(now)
    agenda.done(key("a"))
    assert agenda.failures(key("a")) == 0


@given(
    st.lists(st.tuples(st.sampled_from(["add", "take", "done", "failed"]), st.sampled_from("abc"), st.integers(0, 9)))
)
def test_none_is_in_two_hands_and_none_is_forgotten(steps: list[tuple[str, str, int]]) -> None:
    agenda = Agenda(BackOff())
    hands: set[Key] = set()
    wanted: set[Key] = set()
    for now, (what, name, later) in enumerate(steps):
        if what == "add":
            agenda.add(key(name), now + later)
            wanted.add(key(name))
        elif what == "take" and (taken := agenda.take(now)) is not None:
            assert taken not in hands
            hands.add(taken)
            wanted.discard(taken)
        elif what in {"done", "failed"} and key(name) in hands:
            hands.discard(key(name))
            if what == "done":
                agenda.done(key(name))
            else:
                agenda.failed(key(name), now)
                wanted.add(key(name))
    for held in hands:
        agenda.done(held)
    left = set()
    while (taken := agenda.take(1e9)) is not None:
        left.add(taken)
    assert left == wanted
    assert len(agenda) == 0


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
        ({"a": 1}, {"a": True}, {"a": True}),
        ({}, {"a": {"b": None}}, {"a": {}}),
        ({"a": None}, {}, {}),
    ],
    ids=[
        "nothing",
        "the same",
        "a field less",
        "a field less inside",
        "a list",
        "another type",
        "no nulls",
        "null is none",
    ],
)
def test_only_what_differs_is_sent(old: Any, new: Any, patch: Any) -> None:
    assert merge_patch(old, new) == patch


DOCUMENTS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.integers(0, 3) | st.text(max_size=2) | st.booleans(),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner) | st.lists(inner, max_size=3),
    ),
)


def applied(old: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = applied(merged.get(name), value)
    return merged


@given(DOCUMENTS, DOCUMENTS)
def test_the_patch_makes_one_document_the_other(old: Any, new: Any) -> None:
    assert applied(old, merge_patch(old, new)) == new
    assert merge_patch(new, new) == {}
