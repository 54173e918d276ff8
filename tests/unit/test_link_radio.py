"""One direction of the link: what becomes of what is offered, time given."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop_mission.space_link import FRAME_PAYLOAD, BurstLoss, Impairments, LinkProfile, Trace
from orbitloop_mission.space_link.radio import DATAGRAM_HEADER, Fate, Radio, flipped

A_SECOND = 1_000_000_000
A_MILLISECOND = 1_000_000
DELAY = 4 * A_MILLISECOND
EVERYTHING_WRONG = Impairments(
    loss=0.05,
    burst_loss=BurstLoss(p=0.02, r=0.3),
    corruption=0.1,
    duplication=0.1,
    jitter=timedelta(milliseconds=5),
)


def radio(
    impairments: Impairments | None = None, *, rate: int = 8_000_000, seed: int = 0, trace: Trace | None = None
) -> Radio:
    profile = LinkProfile(
        downlink=BitsPerSecond(rate), impairments=impairments or Impairments(), trace=trace, queue=timedelta(seconds=10)
    )
    return Radio(Direction.DOWN, profile, seed=seed, now=0)


def fates(sender: Radio, count: int, size: int = 1_000) -> list[Fate]:
    return [sender.datagram(size, number * A_MILLISECOND, DELAY) for number in range(count)]


def test_a_datagram_is_charged_its_headers() -> None:
    sender = radio(rate=8_000)
    depth = LinkProfile(downlink=BitsPerSecond(8_000)).depth(Direction.DOWN)
    sender.datagram(depth - DATAGRAM_HEADER, 0, 0)
    assert sender.datagram(1_000 - DATAGRAM_HEADER, 0, DELAY).arrivals == (A_SECOND + DELAY,)


@given(seed=st.integers(0, 1_000), other=st.integers(0, 1_000))
def test_the_seed_decides_and_nothing_else(seed: int, other: int) -> None:
    first, again = (fates(radio(EVERYTHING_WRONG, seed=seed), 200) for _ in range(2))
    assert first == again
    if other != seed:
        assert first != fates(radio(EVERYTHING_WRONG, seed=other), 200)


def test_the_two_directions_have_luck_of_their_own() -> None:
    profile = LinkProfile(
        downlink=BitsPerSecond(8_000_000), uplink=BitsPerSecond(8_000_000), impairments=EVERYTHING_WRONG
    )
    down, up = (Radio(direction, profile, seed=1, now=0) for direction in Direction)
    assert fates(down, 200) != fates(up, 200)


def test_one_thing_that_goes_wrong_does_not_move_another() -> None:
    lossy, worse = Impairments(loss=0.1), Impairments(loss=0.1, corruption=0.5, duplication=0.5)
    first, second = (fates(radio(each, seed=5), 500) for each in (lossy, worse))
    assert [bool(fate.arrivals) for fate in first] == [bool(fate.arrivals) for fate in second]


def test_every_datagram_is_accounted_for_once() -> None:
    sender = radio(EVERYTHING_WRONG)
    seen = fates(sender, 2_000)
    fortunes = sender.fortunes
    assert fortunes.datagrams == 2_000
    assert fortunes.lost == sum(not fate.arrivals for fate in seen) > 0
    assert fortunes.duplicated == sum(len(fate.arrivals) == 2 for fate in seen) > 0
    assert fortunes.corrupted == sum(fate.flip is not None for fate in seen) > 0
    assert fortunes.dropped == 0


def test_jitter_is_bounded_and_reorders() -> None:
    late = timedelta(milliseconds=5)
    seen = fates(radio(Impairments(jitter=late), rate=1_000_000_000), 300)
    arrivals = [fate.arrivals[0] for fate in seen]
    assert arrivals != sorted(arrivals)
    for number, arrival in enumerate(arrivals):
        assert 0 <= arrival - number * A_MILLISECOND - DELAY <= 5 * A_MILLISECOND + 100_000


def test_a_full_queue_drops_what_comes_last_and_empties_at_the_rate() -> None:
    profile = LinkProfile(downlink=BitsPerSecond(800_000), queue=timedelta(seconds=1))
    sender = Radio(Direction.DOWN, profile, seed=0, now=0)
    size = 1_000 - DATAGRAM_HEADER
    taken = [bool(sender.datagram(size, 0, 0).arrivals) for _ in range(150)]
    accepted = sum(taken)
    assert taken == [True] * accepted + [False] * (150 - accepted)
    assert 100 <= accepted <= 103  # a second's worth, and the burst that left at once
    assert sender.fortunes.dropped == 150 - accepted
    assert sender.datagram(size, A_SECOND // 2, 0).arrivals


def test_a_flipped_bit_is_one_bit() -> None:
    payload = bytes(100)
    assert flipped(payload, 0)[0] == 0x80
    assert flipped(payload, 15)[1] == 0x01
    assert sum(byte.bit_count() for byte in flipped(payload, 345)) == 1


def test_an_empty_datagram_has_no_bit_to_flip() -> None:
    assert all(fate.flip is None for fate in fates(radio(Impairments(corruption=0.9)), 50, size=0))


def test_lost_packets_of_a_stream_cross_again_and_hold_it_for_round_trips() -> None:
    size = Bytes(1_460_000)
    clean, lossy = radio(), radio(Impairments(loss=0.1), seed=2)
    without, with_loss = clean.stream(size, 0, DELAY), lossy.stream(size, 0, DELAY)
    assert without is not None
    assert with_loss is not None
    repeated = lossy.fortunes.repeated
    assert 0.08 * size < repeated < 0.15 * size
    assert with_loss.leaves - without.leaves == repeated * 1_000
    rounds = (with_loss.arrives - with_loss.leaves - DELAY) / (2 * DELAY)
    assert rounds >= 2
    assert rounds == int(rounds)
    assert without.arrives == without.leaves + DELAY


@given(size=st.integers(0, 10**6), seed=st.integers(0, 100))
def test_a_stream_always_arrives_whole_however_bad_the_link(size: int, seed: int) -> None:
    flight = radio(Impairments(loss=0.5, corruption=0.5), seed=seed).stream(Bytes(size), 0, DELAY)
    assert flight is not None
    assert flight.arrives >= flight.leaves + DELAY


def test_a_datagram_crosses_in_whole_frames_and_is_lost_with_any_of_them() -> None:
    largest = FRAME_PAYLOAD - DATAGRAM_HEADER
    trace = Trace(frames=(1_000,), bad=(100,))
    single, double = radio(trace=trace), radio(trace=trace)
    in_one = [bool(single.datagram(largest, 0, 0).arrivals) for _ in range(1_000)]
    in_two = [bool(double.datagram(largest + 1, 0, 0).arrivals) for _ in range(500)]
    assert in_one.count(False) == 100
    assert in_two == [first and second for first, second in zip(in_one[::2], in_one[1::2], strict=True)]
    assert single.datagram(1, 0, 0).arrivals == ()
    assert single.fortunes.dropped == 1


def test_a_stream_gets_the_good_frames_payload_and_repeats_the_bad_ones() -> None:
    trace = Trace(frames=(1_000, 1_000), bad=(100, 100))
    sender = radio(trace=trace)
    carried = 0
    while (flight := sender.stream(FRAME_PAYLOAD, 0, 0)) is not None:
        carried += FRAME_PAYLOAD
        assert flight.leaves <= 2 * A_SECOND
    assert trace.good_payload - FRAME_PAYLOAD <= carried <= trace.good_payload


def test_a_recorded_pass_does_not_touch_the_uplink() -> None:
    profile = LinkProfile(trace=Trace(frames=(1,), bad=(1,)))
    up = Radio(Direction.UP, profile, seed=0, now=0)
    assert all(up.datagram(1_000, number * A_SECOND, 0).arrivals for number in range(10))


def test_a_lost_signal_empties_the_queue() -> None:
    sender = radio(rate=80_000)
    for _ in range(20):
        sender.datagram(972, 0, 0)
    assert sender.queued(0) > 0
    sender.clear(0)
    assert sender.queued(0) == 0
    assert sender.datagram(972, 0, 0).arrivals == (A_SECOND // 10,)
