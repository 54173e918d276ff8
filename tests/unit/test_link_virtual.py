"""The link in virtual time: weeks in seconds, and the laws of a pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import BadInput
from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import BitsPerSecond, Bytes, capacity, transfer_time
from orbitloop_mission.space_link import (
    ALWAYS,
    BurstLoss,
    Impairments,
    LinkProfile,
    Manner,
    Message,
    Trace,
    VirtualLink,
)

NOON = datetime(2024, 3, 29, 12, tzinfo=UTC)
BAD_WEATHER = Impairments(loss=0.02, burst_loss=BurstLoss(p=0.002, r=0.1), jitter=timedelta(milliseconds=2))


def a_pass(hours: float, seconds: float = 480.0) -> ContactWindow:
    aos = NOON + timedelta(hours=hours)
    return ContactWindow(aos=aos, los=aos + timedelta(seconds=seconds), station="Tongchuan", peak=40.0)


def down(size: int, after: float = 0.0, manner: Manner = Manner.STREAM) -> Message:
    return Message(at=NOON + timedelta(seconds=after), direction=Direction.DOWN, size=Bytes(size), manner=manner)


def up(size: int, after: float = 0.0) -> Message:
    return Message(at=NOON + timedelta(seconds=after), direction=Direction.UP, size=Bytes(size))


messages = st.lists(
    st.builds(
        Message,
        at=st.integers(0, 100_000).map(lambda seconds: NOON + timedelta(seconds=seconds)),
        direction=st.sampled_from(Direction),
        size=st.integers(0, 60_000).map(Bytes),
        manner=st.sampled_from(Manner),
    ),
    max_size=30,
).map(lambda found: sorted(found, key=lambda message: message.at))


@settings(max_examples=40)
@given(offered=messages, seed=st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_answer_twice(offered: list[Message], seed: int) -> None:
    plan = (a_pass(0), a_pass(12))
    first, again = (
        VirtualLink(plan=plan, profile=LinkProfile(impairments=BAD_WEATHER), seed=seed).carry(offered) for _ in range(2)
    )
    assert first == again


@settings(max_examples=40)
@given(offered=messages)
def test_what_arrives_does_so_inside_a_pass_and_not_before_light_would(offered: list[Message]) -> None:
    plan, profile = (a_pass(0), a_pass(12)), LinkProfile(impairments=BAD_WEATHER)
    for message, outcome in zip(offered, VirtualLink(plan=plan, profile=profile).carry(offered), strict=True):
        assert 0 <= outcome.delivered <= message.size
        if outcome.arrived is not None:
            assert outcome.delivered == message.size
            assert outcome.arrived >= message.at + timedelta(milliseconds=4)
            assert any(window.holds(outcome.arrived) for window in plan)


@settings(max_examples=40)
@given(seconds=st.integers(1, 600), rate=st.integers(10_000, 200_000_000), surplus=st.integers(0, 10**9))
def test_a_pass_is_never_over_filled(seconds: int, rate: int, surplus: int) -> None:
    profile = LinkProfile(downlink=BitsPerSecond(rate))
    fits = capacity(timedelta(seconds=seconds), profile.downlink)
    outcome = VirtualLink(plan=(a_pass(0, seconds),), profile=profile).carry([down(fits + surplus)])[0]
    assert outcome.delivered <= fits + profile.depth(Direction.DOWN)
    assert outcome.delivered >= 0.9 * (fits - 2 * profile.depth(Direction.DOWN))


@settings(max_examples=40)
@given(shorter=st.integers(1, 500), more=st.integers(0, 100))
def test_a_longer_pass_never_carries_less(shorter: int, more: int) -> None:
    delivered = [
        VirtualLink(plan=(a_pass(0, seconds),), profile=LinkProfile()).carry([down(10**11)])[0].delivered
        for seconds in (shorter, shorter + more)
    ]
    assert delivered[0] <= delivered[1]


def test_a_whole_model_takes_as_many_passes_as_it_takes_and_sends_nothing_twice() -> None:
    plan = tuple(a_pass(12 * number, seconds=100) for number in range(5))
    model = up(30_000_000)
    outcome = VirtualLink(plan=plan, profile=LinkProfile()).carry([model])[0]
    assert outcome.passes == 3
    assert outcome.delivered == model.size
    assert outcome.arrived is not None
    on_the_link = transfer_time(model.size, LinkProfile().uplink)
    assert outcome.arrived - plan[2].aos == pytest.approx(
        on_the_link - timedelta(seconds=200), abs=timedelta(seconds=1)
    )


def test_what_the_plan_is_too_short_for_is_partly_delivered() -> None:
    outcome = VirtualLink(plan=(a_pass(0, seconds=60),), profile=LinkProfile()).carry([up(30_000_000)])[0]
    assert outcome.arrived is None
    assert 7_400_000 < outcome.delivered <= 7_500_000 + LinkProfile().depth(Direction.UP)


def test_streams_cross_in_the_order_in_which_they_were_offered() -> None:
    outcomes = VirtualLink(plan=(a_pass(0),), profile=LinkProfile()).carry([down(10**6), down(10), down(10**6)])
    arrivals = [outcome.arrived for outcome in outcomes]
    assert None not in arrivals
    assert arrivals == sorted(arrivals, key=str)


def test_a_datagram_goes_between_the_chunks_of_a_stream() -> None:
    outcomes = VirtualLink(plan=(a_pass(0),), profile=LinkProfile()).carry(
        [down(100_000_000), down(1_000, after=1.0, manner=Manner.DATAGRAM)]
    )
    assert outcomes[0].arrived is not None
    assert outcomes[1].arrived is not None
    assert outcomes[1].arrived < NOON + timedelta(seconds=1.1)
    assert outcomes[0].arrived > NOON + timedelta(seconds=7.9)


@pytest.mark.parametrize("after", [-1.0, 480.0, 3_600.0])
def test_a_datagram_outside_of_the_windows_is_lost(after: float) -> None:
    outcome = VirtualLink(plan=(a_pass(0),), profile=LinkProfile()).carry([down(100, after, Manner.DATAGRAM)])[0]
    assert outcome.arrived is None
    assert outcome.delivered == 0


def test_a_recorded_pass_carries_its_good_frames_and_no_more() -> None:
    trace = Trace(frames=(6_000, 0, 0, 5_000), bad=(60, 0, 0, 500))
    outcome = VirtualLink(plan=ALWAYS, profile=LinkProfile(trace=trace)).carry([down(100_000_000)])[0]
    assert outcome.arrived is None
    assert 0.98 * trace.good_payload < outcome.delivered <= trace.good_payload


def test_losses_cost_their_share_of_a_pass() -> None:
    plan = (a_pass(0),)
    clean, lossy = (
        VirtualLink(plan=plan, profile=LinkProfile(impairments=each)).carry([down(10**11)])[0].delivered
        for each in (Impairments(), Impairments(loss=0.2))
    )
    assert lossy / clean == pytest.approx(0.8, rel=0.05)


def test_messages_that_are_not_in_order_are_refused() -> None:
    with pytest.raises(BadInput, match="sort them"):
        VirtualLink(plan=ALWAYS, profile=LinkProfile()).carry([down(1, after=1.0), down(1)])


def test_overlapping_windows_are_refused() -> None:
    with pytest.raises(BadInput, match="overlap"):
        VirtualLink(plan=(a_pass(0), a_pass(0.1)), profile=LinkProfile())


@pytest.mark.parametrize(("size", "manner"), [(-1, Manner.STREAM), (-1, Manner.DATAGRAM), (65_508, Manner.DATAGRAM)])
def test_what_cannot_be_sent_is_refused(size: int, manner: Manner) -> None:
    with pytest.raises(BadInput, match="cannot be sent"):
        down(size, manner=manner)


def test_a_message_without_a_time_zone_is_refused() -> None:
    with pytest.raises(BadInput, match="time zone"):
        Message(at=NOON.replace(tzinfo=None), direction=Direction.UP, size=Bytes(1))


def test_nothing_offered_is_nothing_delivered() -> None:
    assert VirtualLink(plan=(), profile=LinkProfile()).carry([]) == ()
    assert VirtualLink(plan=(), profile=LinkProfile()).carry([down(5)])[0].delivered == 0
