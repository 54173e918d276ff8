"""Two sessions and a link in virtual time: whatever it loses, repeats or reorders, all arrives, and little twice."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbitloop.adapters.datagram_session import Pace, Session
from orbitloop.adapters.sealing import LinkKey, Replayed, Seal, Unseal
from orbitloop.domain.errors import BadInput, Untrusted
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import BitsPerSecond
from orbitloop.wire.datagrams import IP_UDP, Kind, Options, kind_of, parse_data

STEP = 0.001
FAST, SLOW = BitsPerSecond(20_000_000), BitsPerSecond(1_000_000)


def sessions(*, repairs: bool = True, rate: BitsPerSecond = FAST, datagram: int = 980) -> tuple[Session, Session]:
    """A satellite's and the ground's."""
    down, up = LinkKey(bytes(32)).directions(bytes(32), Options(0))
    fast = Pace(rate=rate, datagram=datagram, repairs=repairs)
    slow = Pace(rate=SLOW, datagram=datagram, repairs=repairs)
    return Session(Seal(down, 1), Unseal(up), fast, 0.0), Session(Seal(up, 1), Unseal(down), slow, 0.0)


@dataclass(kw_only=True)
class Link:
    """Carries datagrams both ways, as ``fate`` says: how late each copy of one is."""

    satellite: Session
    ground: Session
    fate: Callable[[float], list[float]]
    now: float = 0.0
    arrived: int = 0
    sent: int = 0
    symbols: list[int] = field(default_factory=list)
    _number: int = 0
    _way: list[tuple[float, int, bool, bytes]] = field(default_factory=list)

    def step(self) -> None:
        self.now += STEP
        for down, source in ((True, self.satellite), (False, self.ground)):
            for datagram in source.poll(self.now):
                self.sent += down * (len(datagram) + IP_UDP)
                for late in self.fate(self.now):
                    self._number += 1
                    heapq.heappush(self._way, (self.now + 0.005 + late, self._number, down, datagram))
        while self._way and self._way[0][0] <= self.now:
            _, _, down, datagram = heapq.heappop(self._way)
            self._arrive(down, datagram)

    def _arrive(self, down: bool, datagram: bytes) -> None:
        kind = kind_of(datagram)
        assert kind is not None
        try:
            (self.ground if down else self.satellite).receive(kind, datagram, self.now)
            self.arrived += down * (len(datagram) + IP_UDP)
        except Replayed:
            pass

    def until(self, done: Callable[[], bool], *, most: float = 200.0) -> None:
        while not done():
            assert self.now < most, "it never ends"
            self.step()


def losing(share: float, seed: int = 1, *, repeated: float = 0.0, late: float = 0.0) -> Callable[[float], list[float]]:
    rng = random.Random(seed)

    def fate(_: float) -> list[float]:
        if rng.random() < share:
            return []
        copies = 2 if rng.random() < repeated else 1
        return [rng.random() * late for _ in range(copies)]

    return fate


@dataclass(kw_only=True)
class Sink:
    """Where an object arrives; every byte may come once."""

    whole: bytearray
    times: bytearray

    def keep(self, start: int, piece: memoryview) -> None:
        self.whole[start : start + len(piece)] = piece
        for place in range(start, start + len(piece)):
            self.times[place] += 1


def transfer(link: Link, size: int, missing: Spans | None = None, number: int = 1) -> tuple[bytes, Sink]:
    """Send an object of random bytes; returns it, and what arrived."""
    data = random.Random(size).randbytes(size)
    sink = Sink(whole=bytearray(size), times=bytearray(size))
    wanted = Spans.up_to(size) if missing is None else missing
    link.ground.take(number, size, wanted.missing(size), sink.keep)
    out = link.satellite.send(number, memoryview(data), wanted)
    link.until(lambda: out.done)
    return data, sink


def a_link(fate: Callable[[float], list[float]], **options: bool | BitsPerSecond | int) -> Link:
    satellite, ground = sessions(**options)  # type: ignore[arg-type]
    return Link(satellite=satellite, ground=ground, fate=fate)


@settings(max_examples=40)
@given(
    size=st.integers(1, 150_000),
    share=st.floats(0, 0.4),
    repeated=st.floats(0, 0.2),
    late=st.floats(0, 0.03),
    seed=st.integers(0, 2**16),
    repairs=st.booleans(),
)
def test_everything_arrives_and_no_byte_twice_whatever_the_link_does(
    size: int, share: float, repeated: float, late: float, seed: int, repairs: bool
) -> None:
    link = a_link(losing(share, seed, repeated=repeated, late=late), repairs=repairs)
    data, sink = transfer(link, size)
    assert sink.whole == data
    assert set(sink.times) == {1}


@settings(max_examples=25)
@given(
    cuts=st.lists(st.integers(0, 60_000), min_size=2, max_size=14, unique=True).map(sorted),
    seed=st.integers(0, 2**16),
)
def test_a_resumed_object_gets_its_missing_bytes_and_no_others(cuts: list[int], seed: int) -> None:
    missing = Spans.of(list(zip(cuts[::2], cuts[1::2], strict=False)))
    data, sink = transfer(a_link(losing(0.05, seed)), 60_000, missing)
    for span in missing:
        assert sink.whole[span.start : span.end] == data[span.start : span.end]
    assert sum(sink.times) == missing.count


@pytest.mark.parametrize(("share", "least"), [(0.0, 0.94), (0.01, 0.94), (0.042, 0.935), (0.1, 0.93)])
@pytest.mark.parametrize("repairs", [True, False], ids=["raptorq", "exact"])
def test_what_gets_through_is_useful(share: float, least: float, repairs: bool) -> None:
    size = 2_000_000
    link = a_link(losing(share), repairs=repairs)
    transfer(link, size)
    assert size / link.arrived >= least


def test_larger_datagrams_carry_more_of_use() -> None:
    size = 2_000_000
    link = a_link(losing(0.0), datagram=1_400)
    transfer(link, size)
    assert (link.arrived - size) / size < 0.045


def test_a_pipe_with_loss_stays_full() -> None:
    size = 6_000_000
    link = a_link(losing(0.03))
    transfer(link, size)
    assert size * 8 / link.now / FAST > 0.88


def test_repair_symbols_save_the_tail_a_round_trip() -> None:
    def took(repairs: bool) -> float:
        spent = 0.0
        for seed in range(12):
            link = a_link(losing(0.05, seed), repairs=repairs)
            transfer(link, 400_000)
            spent += link.now
        return spent

    assert took(True) <= took(False)


def test_a_fade_costs_what_was_on_its_way_and_probes_and_ends_no_session() -> None:
    def fading(now: float) -> list[float]:
        return [] if 0.2 < now < 42 else [0.0]

    size = 2_000_000
    link = a_link(fading)
    data, sink = transfer(link, size)
    assert sink.whole == data
    assert link.sent - link.arrived < 0.5 * FAST / 8 + 100 * 300
    assert 42 < link.now < 43.5
    assert size / link.arrived > 0.93


def test_a_probe_in_a_fade_is_tiny_and_seldom() -> None:
    link = a_link(lambda now: [0.0] if now < 0.2 else [])
    data = memoryview(bytes(2_000_000))
    link.ground.take(1, len(data), Spans(), lambda start, piece: None)
    link.satellite.send(1, data, Spans.up_to(len(data)))
    link.until(lambda: link.now > 2)
    before = link.sent
    link.until(lambda: link.now > 12)
    assert 10 < (link.sent - before) / (IP_UDP + 23) < 60


def test_too_many_gaps_for_one_report_are_filled_page_by_page() -> None:
    odd = Spans.of((start, start + 100) for start in range(0, 200_000, 200))
    data, sink = transfer(a_link(losing(0.02)), 200_000, odd)
    assert sum(sink.times) == odd.count
    assert all(sink.whole[span.start : span.end] == data[span.start : span.end] for span in odd)


def test_of_several_objects_the_oldest_goes_first_and_the_link_does_not_wait_for_its_end() -> None:
    link = a_link(losing(0.02))
    sinks, outs = [], []
    datas = [random.Random(number).randbytes(300_000) for number in range(3)]
    for number, data in enumerate(datas):
        sink = Sink(whole=bytearray(len(data)), times=bytearray(len(data)))
        link.ground.take(number, len(data), Spans(), sink.keep)
        outs.append(link.satellite.send(number, memoryview(data), Spans.up_to(len(data))))
        sinks.append(sink)
    link.until(lambda: outs[0].done)
    assert outs[1].left < len(datas[1])
    assert outs[2].left == len(datas[2])
    link.until(lambda: all(out.done for out in outs))
    assert [bytes(sink.whole) for sink in sinks] == datas


def test_a_rate_is_never_exceeded() -> None:
    link = a_link(losing(0.05), rate=SLOW)
    transfer(link, 100_000)
    assert link.sent * 8 <= SLOW * link.now + 8 * 8 * 1_008


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("size", [0, 10, 900, 40_000])
def test_a_question_is_put_once_and_answered_however_much_is_lost(share: float, size: int) -> None:
    link = a_link(losing(share, repeated=0.3, late=0.01))
    question, answer = random.Random(1).randbytes(size), random.Random(2).randbytes(size)
    number = link.satellite.ask(question, 0.0)
    link.until(lambda: bool(link.ground.asked), most=600)
    assert link.ground.asked.popleft() == (number, question)
    link.ground.answer(number, answer)
    link.until(lambda: number in link.satellite.answers, most=1_200)
    assert link.satellite.answers[number] == answer
    assert not link.ground.asked


def test_an_object_that_nobody_takes_is_not_sent_for_ever() -> None:
    link = a_link(losing(0.0))
    out = link.satellite.send(9, memoryview(bytes(10_000_000)), Spans.up_to(10_000_000))
    link.until(lambda: out.done)
    assert out.stopped
    assert link.sent < 1_000_000


def test_an_object_that_is_refused_half_way_stops() -> None:
    link = a_link(losing(0.0))
    link.ground.take(1, 10_000_000, Spans(), lambda start, piece: None)
    out = link.satellite.send(1, memoryview(bytes(10_000_000)), Spans.up_to(10_000_000))
    link.until(lambda: link.arrived > 100_000)
    link.ground.refuse(1)
    link.until(lambda: out.done)
    assert out.stopped


def sealed(key: bytes = bytes(32)) -> tuple[Seal, Unseal]:
    down, _ = LinkKey(key).directions(bytes(32), Options(0))
    return Seal(down, 1), Unseal(down)


def test_a_sealed_datagram_opens_once() -> None:
    seal, unseal = sealed()
    first, second = seal.seal(Kind.DATA, b"one"), seal.seal(Kind.DATA, b"two")
    assert unseal.open(second) == b"two"
    assert unseal.open(first) == b"one"
    for datagram in (first, second):
        with pytest.raises(Replayed):
            unseal.open(datagram)


@given(place=st.integers(0, 25), flip=st.integers(1, 255))
def test_a_changed_datagram_is_refused_wherever_it_was_changed(place: int, flip: int) -> None:
    seal, unseal = sealed()
    datagram = bytearray(seal.seal(Kind.DATA, b"one"))
    datagram[place] ^= flip
    with pytest.raises(Untrusted):
        unseal.open(bytes(datagram))


@pytest.mark.parametrize("options", [Options(0), Options.AES_GCM], ids=["chacha20", "aes"])
def test_neither_another_key_nor_direction_nor_session_opens_it(options: Options) -> None:
    down, up = LinkKey(bytes(32)).directions(bytes(32), options)
    stranger, _ = LinkKey(b"\1" * 32).directions(bytes(32), options)
    later, _ = LinkKey(bytes(32)).directions(b"\1" * 32, options)
    datagram = Seal(down, 1).seal(Kind.DATA, b"one")
    assert Unseal(down).open(datagram) == b"one"
    for other in (up, stranger, later):
        with pytest.raises(Untrusted):
            Unseal(other).open(datagram)


def test_sequence_numbers_go_on_past_their_low_half_and_old_ones_stay_refused() -> None:
    seal, unseal = sealed()
    early = seal.seal(Kind.DATA, b"early")
    unseal.open(early)
    for _ in range(5):
        seal.skip(2**30)
        assert unseal.open(seal.seal(Kind.DATA, b"later")) == b"later"
    with pytest.raises(Untrusted):
        unseal.open(early)


def test_a_link_key_has_32_bytes_and_hides_them() -> None:
    with pytest.raises(BadInput, match="32"):
        LinkKey(b"short")
    assert "secret" not in repr(LinkKey(b"secret" + bytes(26)))


def test_a_symbol_says_where_it_belongs() -> None:
    link = a_link(losing(0.0))
    data, _ = transfer(link, 5_000)
    seal, unseal = sealed()
    number, start, piece = parse_data(
        unseal.open(seal.seal(Kind.DATA, b"\7" + (952).to_bytes(4, "big") + data[952:960]))
    )
    assert (number, start, bytes(piece)) == (7, 952, data[952:960])
