"""A model goes to one satellite first, then ring by ring, and no further where it is worse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.constellation import Finished, Member, Offer, Rollout, Stop, next_offers, rings
from orbitloop.domain.errors import BadInput
from orbitloop.domain.rollout import Outcome

APPLIED, BACK, REFUSED = Outcome.APPLIED, Outcome.ROLLED_BACK, Outcome.REFUSED


def fleet(*outcomes: Outcome | None) -> list[Member]:
    """Satellites a, b, c … in their rings."""
    names = "abcdefgh"[: len(outcomes)]
    return [replace(member, outcome=outcome) for member, outcome in zip(rings(names), outcomes, strict=True)]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param(fleet(None), Offer(ring=0, names=("a",)), id="a single satellite"),
        pytest.param(fleet(APPLIED), Finished(), id="a single one, that flies it"),
        pytest.param(fleet(None, None, None), Offer(ring=0, names=("a",)), id="the canary first"),
        pytest.param(fleet(APPLIED, None, None), Offer(ring=1, names=("b", "c")), id="then the next ring at once"),
        pytest.param(fleet(APPLIED, None, APPLIED, None), Offer(ring=1, names=("b",)), id="the ring is not complete"),
        pytest.param(fleet(APPLIED, APPLIED, APPLIED, None), Offer(ring=2, names=("d",)), id="the ring is complete"),
        pytest.param(
            fleet(BACK, None, None),
            Stop(outcome=BACK, reason="a rolled the model back: it is worse there"),
            id="worse on the canary",
        ),
        pytest.param(
            fleet(APPLIED, BACK, None, None),
            Stop(outcome=BACK, reason="b rolled the model back: it is worse there"),
            id="worse in a ring, whose others are not waited for",
        ),
        pytest.param(
            fleet(REFUSED, None),
            Stop(outcome=REFUSED, reason="a refused the model, and nobody in ring 0 flies it"),
            id="the canary refuses it",
        ),
        pytest.param(fleet(APPLIED, REFUSED, None), Offer(ring=1, names=("c",)), id="one refuses, the ring goes on"),
        pytest.param(fleet(APPLIED, REFUSED, APPLIED), Finished(without=("b",)), id="all but one fly it"),
    ],
)
def test_who_may_be_offered_the_model(members: list[Member], expected: Rollout) -> None:
    assert next_offers(members) == expected


def test_rings_double() -> None:
    assert [member.ring for member in rings("abcdefgh")] == [0, 1, 1, 2, 2, 2, 2, 3]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param([], "needs a satellite", id="nobody"),
        pytest.param([Member(name="a", ring=0), Member(name="a", ring=1)], "a is in the rollout twice", id="twice"),
    ],
)
def test_a_rollout_that_makes_no_sense_is_refused(members: list[Member], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        next_offers(members)


def test_a_ring_before_the_canary_is_refused() -> None:
    with pytest.raises(BadInput, match="ring -1"):
        Member(name="a", ring=-1)


FLEETS = st.lists(st.integers(0, 3), min_size=1, max_size=8).map(
    lambda found: [Member(name=f"sat-{place}", ring=ring) for place, ring in enumerate(found)]
)


@given(members=FLEETS, fates=st.lists(st.sampled_from(Outcome), min_size=8, max_size=8), order=st.randoms())
def test_a_rollout_ends_and_nobody_gets_a_model_that_was_not_proved_before(
    members: list[Member], fates: list[Outcome], order: object
) -> None:
    by_name = {member.name: member for member in members}
    fate = dict(zip(by_name, fates, strict=False))
    for _ in range(len(members) + 1):
        found = next_offers(list(by_name.values()))
        if not isinstance(found, Offer):
            break
        for name in found.names:
            earlier = [other for other in by_name.values() if other.ring < by_name[name].ring]
            assert all(other.outcome in {APPLIED, REFUSED} for other in earlier)
            assert not earlier or any(other.outcome is APPLIED for other in earlier)
        reporting = order.choice(found.names)  # type: ignore[attr-defined]  # hypothesis's own Random
        by_name[reporting] = replace(by_name[reporting], outcome=fate[reporting])
    else:
        raise AssertionError("the rollout never ends")
    if isinstance(found, Finished):
        assert all(member.outcome in {APPLIED, REFUSED} for member in by_name.values())
    else:
        assert any(member.outcome is found.outcome for member in by_name.values())
