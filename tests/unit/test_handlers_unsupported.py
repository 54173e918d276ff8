"""Kinds without a controller: each says so in its own form, once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.handler_world import NOON, SEDNA, World, an_object

from orbitloop.api.kinds import KINDS
from orbitloop.domain.errors import Refused
from orbitloop_operators.handlers import unsupported
from orbitloop_operators.handlers.changes import Document, Severity
from orbitloop_operators.handlers.conditions import stamp
from orbitloop_operators.handlers.service_conditions import State, news, state_of, with_state
from orbitloop_operators.handlers.unsupported import Unsupported


def asked(kind: str) -> tuple[World, dict[str, Any]]:
    world, document = World(Unsupported(kind=kind)), an_object(SEDNA, kind, "mine", {})
    world.put(document)
    return world, document


@pytest.mark.parametrize("kind", unsupported.KINDS)
def test_a_kind_that_is_not_carried_out_says_so_and_what_to_do_instead(kind: str) -> None:
    world, document = asked(kind)
    changes = world.reconcile(document)
    assert changes.status is not None
    last = changes.status["conditions"][-1]
    assert (last["type"], last["status"], last["reason"]) == ("Failed", "True", "NotSupported")
    assert f"does not carry out {kind}s yet" in last["message"]
    assert "Delete it, or" in last["message"]
    assert [(notice.severity, notice.reason) for notice in changes.notices] == [(Severity.WARNING, "NotSupported")]


@pytest.mark.parametrize("kind", unsupported.KINDS)
def test_what_is_said_is_said_once_however_late_it_is_asked_again(kind: str) -> None:
    world, document = asked(kind)
    before = world.reconcile(document).status
    world.pass_by(days=30)
    again = world.reconcile(document)
    assert again.status == before
    assert again.notices == ()


@pytest.mark.parametrize("kind", unsupported.KINDS)
def test_the_status_is_one_that_its_kind_has(kind: str) -> None:
    resource = next(one.resource for one in KINDS if one.name == kind)
    form = resource.model_fields["status"].annotation
    world, document = asked(kind)
    status = dict(world.reconcile(document).status or {})
    read = next(one for one in form.__args__ if one is not type(None)).model_validate(status)  # type: ignore[union-attr]
    assert set(status) <= set(read.model_dump(by_alias=True))
    assert all(set(one) <= set(read.conditions[0].model_dump(by_alias=True)) for one in status["conditions"])


def test_a_refused_write_is_shown_in_the_same_form() -> None:
    changes = Unsupported(kind="ReidJob").refused(asked("ReidJob")[1], Refused("no room"), NOON)
    assert changes.status is not None
    assert changes.status["conditions"][-1]["message"] == "no room"


STATES = st.builds(
    State,
    type=st.sampled_from(["Pending", "Running", "Failed"]),
    reason=st.sampled_from(["A", "B"]),
    message=st.sampled_from(["", "do this"]),
)


@given(st.lists(STATES, min_size=1, max_size=8))
def test_the_last_condition_is_the_only_true_one_and_says_what_is_so_now(states: list[State]) -> None:
    document: Document = an_object(SEDNA, "ReidJob", "mine", {})
    for state in states:
        told = news(document, state)
        was = state_of(document)
        conditions = with_state(document, state, NOON)
        assert bool(told) == (was is None or (was["type"], was["reason"], was["message"]) != _words(state))
        document = {**document, "status": {"conditions": conditions}}
    last = document["status"]["conditions"][-1]
    assert (last["type"], last["reason"], last["message"]) == _words(states[-1])
    assert [one["status"] for one in document["status"]["conditions"][:-1]] == ["False"] * (
        len({state.type for state in states}) - 1
    )


def _words(state: State) -> tuple[str, str, str]:
    return state.type, state.reason, state.message


def test_a_state_that_changes_its_words_alone_keeps_its_beginning() -> None:
    document: Document = an_object(SEDNA, "ReidJob", "mine", {})
    first = with_state(document, State(type="Pending", reason="A"), NOON)
    later = NOON.replace(hour=13)
    second = with_state({**document, "status": {"conditions": first}}, State(type="Pending", reason="B"), later)
    assert [second[-1][name] for name in ("lastTransitionTime", "lastHeartbeatTime")] == [stamp(NOON), stamp(later)]
