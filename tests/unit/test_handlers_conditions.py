"""Conditions: what is said, since when, and what is told of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.handler_world import NOON, an_object

from orbitloop.domain.errors import BadInput, Refused
from orbitloop_operators.handlers.changes import Changes, Document
from orbitloop_operators.handlers.conditions import Finding, conditioned, refusal, stamp

FINDINGS = st.builds(
    Finding,
    type=st.sampled_from(["Ready", "InContact"]),
    holds=st.sampled_from([True, False, None]),
    reason=st.sampled_from(["Counted", "Waiting"]),
    message=st.sampled_from(["", "do this"]),
)


def an_x(**status: Any) -> Document:
    return {**an_object("x/v1", "X", "x", {}), "status": status}


def after(document: Document, changes: Changes) -> Document:
    return {**document, "status": changes.status}


@given(FINDINGS, FINDINGS)
def test_the_time_of_a_transition_changes_with_the_status_and_with_nothing_else(first: Finding, then: Finding) -> None:
    one = after(an_x(), conditioned(an_x(), {}, [first], NOON))
    later = conditioned(one, {}, [then], NOON + timedelta(hours=1)).status
    assert later is not None
    made = next(condition for condition in later["conditions"] if condition["type"] == then.type)
    same = first.type == then.type and first.holds == then.holds
    assert made["lastTransitionTime"] == stamp(NOON if same else NOON + timedelta(hours=1))


@given(st.lists(FINDINGS, max_size=4, unique_by=lambda finding: finding.type))
def test_the_same_findings_give_the_same_status_and_tell_nothing_again(findings: list[Finding]) -> None:
    first = conditioned(an_x(), {"numberOfSamples": 3}, findings, NOON)
    second = conditioned(after(an_x(), first), {"numberOfSamples": 3}, findings, NOON + timedelta(hours=1))
    assert second.status == first.status
    assert second.notices == ()


def test_what_does_not_hold_is_told_once_for_each_thing_that_is_wrong_and_so_is_its_end() -> None:
    wrong = [
        Finding(holds=False, reason="Invalid", message="first"),
        Finding(holds=False, reason="Invalid", message="b"),
    ]
    told, document = [], an_x()
    for finding in (wrong[0], wrong[0], wrong[1], Finding(holds=True, reason="Counted")):
        changes = conditioned(document, {}, [finding], NOON)
        told += [notice.message for notice in changes.notices]
        document = after(document, changes)
    assert told == ["first", "b", "Ready again"]


def test_a_refusal_says_why_and_keeps_what_is_known() -> None:
    known = conditioned(an_x(), {"numberOfSamples": 3}, [Finding(type="InContact", holds=True, reason="Heard")], NOON)
    changes = refusal(after(an_x(), known), BadInput("spec.url: write a path"), NOON)
    assert changes.status is not None
    assert changes.status["numberOfSamples"] == 3
    assert [one["type"] for one in changes.status["conditions"]] == ["Ready", "InContact"]
    assert changes.status["conditions"][0]["message"] == "spec.url: write a path"


def test_a_refusal_names_its_kind() -> None:
    reasons = [refusal(an_x(), error, NOON).notices[0].reason for error in (BadInput("a"), Refused("b"))]
    assert reasons == ["Invalid", "Refused"]


def test_a_message_is_never_longer_than_an_event_takes() -> None:
    changes = conditioned(an_x(), {}, [Finding(holds=False, reason="Invalid", message="x" * 5000)], NOON)
    assert len(changes.notices[0].message) == 1024
