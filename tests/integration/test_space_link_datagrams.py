"""Datagrams over the space link, with real sockets on either side."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import BadInput
from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.testing.clocks import VirtualClock
from orbitloop_mission.embedded.clock import MissionClock
from orbitloop_mission.space_link import (
    ALWAYS,
    FRAME_PAYLOAD,
    DatagramPorts,
    Impairments,
    LinkProfile,
    Manner,
    Message,
    SpaceLink,
    Trace,
    VirtualLink,
)
from orbitloop_mission.space_link.radio import DATAGRAM_HEADER

NOON = datetime(2024, 3, 29, 12, tzinfo=UTC)
PASS = ContactWindow(aos=NOON, los=NOON + timedelta(minutes=8), station="Tongchuan", peak=40.0)
PATIENCE_S = 20.0


class Ground:
    """A datagram socket, and a TCP listener that nobody needs."""

    def __init__(self) -> None:
        self.socket = an_endpoint()
        self.tcp = socket.create_server(("127.0.0.1", 0))


def an_endpoint() -> socket.socket:
    endpoint = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
    endpoint.bind(("127.0.0.1", 0))
    endpoint.settimeout(PATIENCE_S)
    return endpoint


@pytest.fixture
def ground() -> Iterator[Ground]:
    place = Ground()
    with place.socket, place.tcp:
        yield place


@pytest.fixture
def satellite() -> Iterator[socket.socket]:
    with an_endpoint() as endpoint:
        yield endpoint


def a_link(
    ground: Ground,
    profile: LinkProfile | None = None,
    *,
    clock: VirtualClock | MissionClock | None = None,
    plan: tuple[ContactWindow, ...] = ALWAYS,
    seed: int = 0,
) -> SpaceLink:
    return SpaceLink(
        ground.tcp.getsockname(),
        clock=clock or MissionClock(NOON),
        plan=plan,
        profile=profile or LinkProfile(delay=timedelta(milliseconds=1)),
        seed=seed,
        datagrams=DatagramPorts(ground=ground.socket.getsockname()),
    )


def send(satellite: socket.socket, link: SpaceLink, payload: bytes) -> None:
    assert link.datagram_port is not None
    satellite.sendto(payload, ("127.0.0.1", link.datagram_port))


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.005)
    return holds()


def numbered(count: int, size: int = 1_000) -> list[bytes]:
    return [number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)]


def settled(link: SpaceLink, count: int) -> bool:
    """Every one of ``count`` datagrams has got where it was going, or nowhere."""

    def done() -> bool:
        sent = link.traffic().downward
        gone = sent.lost + sent.dropped + sent.unheard + sent.refused
        return sent.datagrams == count and sent.delivered + gone == count + sent.duplicated

    return eventually(done)


def drained(endpoint: socket.socket) -> list[bytes]:
    endpoint.setblocking(False)
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(endpoint.recv(65_536))
    endpoint.settimeout(PATIENCE_S)
    return found


def test_datagrams_cross_both_ways_and_each_satellite_gets_its_own(ground: Ground, satellite: socket.socket) -> None:
    with a_link(ground) as link, an_endpoint() as other:
        for endpoint, name in ((satellite, b"one"), (other, b"two")):
            send(endpoint, link, name)
            question, address = ground.socket.recvfrom(100)
            assert question == name
            ground.socket.sendto(b"hello, " + question, address)
        assert satellite.recv(100) == b"hello, one"
        assert other.recv(100) == b"hello, two"
        assert eventually(lambda: link.traffic().upward.delivered == 2)
        traffic = link.traffic()
    assert traffic.downward.delivered == 2
    assert (traffic.downward.bytes, traffic.upward.delivered_bytes) == (6, 20)


@pytest.mark.parametrize("size", [0, 1, 65_507], ids=["empty", "a byte", "the largest"])
def test_a_datagram_arrives_as_it_was_sent(ground: Ground, satellite: socket.socket, size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    with a_link(ground) as link:
        send(satellite, link, payload)
        assert ground.socket.recv(65_536) == payload


def test_datagrams_are_no_faster_than_the_rate(ground: Ground, satellite: socket.socket) -> None:
    profile = LinkProfile(downlink=BitsPerSecond(2_000_000), queue=timedelta(seconds=10))
    began = time.monotonic()
    with a_link(ground, profile) as link:
        for payload in numbered(200):
            send(satellite, link, payload)
        assert settled(link, 200)
    charged = 200 * (1_000 + DATAGRAM_HEADER) - profile.depth(Direction.DOWN)
    assert time.monotonic() - began >= charged * 8 / profile.downlink
    assert drained(ground.socket) == numbered(200)


def test_what_the_queue_has_no_room_for_is_dropped_from_its_tail(ground: Ground, satellite: socket.socket) -> None:
    profile = LinkProfile(downlink=BitsPerSecond(400_000), queue=timedelta(milliseconds=100))
    with a_link(ground, profile) as link:
        for payload in numbered(100):
            send(satellite, link, payload)
        assert settled(link, 100)
        dropped = link.traffic().downward.dropped
    arrived = drained(ground.socket)
    assert len(arrived) == 100 - dropped
    assert dropped > 50
    assert arrived[:20] == numbered(100)[:20]


def test_the_same_seed_loses_the_same_datagrams(ground: Ground, satellite: socket.socket) -> None:
    profile = LinkProfile(impairments=Impairments(loss=0.3), queue=timedelta(seconds=10))
    arrived = []
    for seed in (1, 1, 2):
        with a_link(ground, profile, seed=seed) as link:
            for payload in numbered(300):
                send(satellite, link, payload)
            assert settled(link, 300)
            assert 50 < link.traffic().downward.lost < 130
        arrived.append(drained(ground.socket))
    assert arrived[0] == arrived[1] != arrived[2]


def test_corruption_flips_one_bit_and_duplication_doubles(ground: Ground, satellite: socket.socket) -> None:
    profile = LinkProfile(impairments=Impairments(corruption=0.2, duplication=0.2), queue=timedelta(seconds=10))
    with a_link(ground, profile) as link:
        for _ in range(300):
            send(satellite, link, bytes(500))
        assert settled(link, 300)
        traffic = link.traffic().downward
    arrived = drained(ground.socket)
    flips = [sum(byte.bit_count() for byte in payload) for payload in arrived]
    assert set(flips) == {0, 1}
    assert 30 < traffic.corrupted < 90
    assert traffic.duplicated == len(arrived) - 300
    assert 30 < traffic.duplicated < 90


def test_jitter_reorders(ground: Ground, satellite: socket.socket) -> None:
    profile = LinkProfile(impairments=Impairments(jitter=timedelta(milliseconds=100)), queue=timedelta(seconds=10))
    with a_link(ground, profile) as link:
        for payload in numbered(100):
            send(satellite, link, payload)
        assert settled(link, 100)
    arrived = drained(ground.socket)
    assert arrived != numbered(100)
    assert sorted(arrived) == numbered(100)


def test_outside_of_the_windows_datagrams_are_dropped_and_in_the_next_they_cross(
    ground: Ground, satellite: socket.socket
) -> None:
    clock = VirtualClock(NOON - timedelta(seconds=1))
    with a_link(ground, clock=clock, plan=(PASS,)) as link:
        send(satellite, link, b"too early")
        assert settled(link, 1)
        assert link.traffic().downward.unheard == 1
        clock.advance_to(PASS.aos)
        send(satellite, link, b"in time")
        assert ground.socket.recv(100) == b"in time"


@pytest.mark.parametrize("how", ["the pass ends", "the signal is lost once"])
def test_what_flies_when_the_signal_is_lost_is_gone(ground: Ground, satellite: socket.socket, how: str) -> None:
    clock = VirtualClock(NOON)
    profile = LinkProfile(delay=timedelta(seconds=3))
    with a_link(ground, profile, clock=clock, plan=(PASS,)) as link:
        send(satellite, link, b"gone")
        assert eventually(lambda: link.traffic().downward.datagrams == 1)
        if how == "the pass ends":
            clock.advance_to(PASS.los)
        else:
            link.lose_signal()
        assert settled(link, 1)
        assert link.traffic().downward.unheard == 1
        assert drained(ground.socket) == []


def test_a_ground_that_is_not_there_yet_is_no_reason_to_stop(satellite: socket.socket, ground: Ground) -> None:
    port = ground.socket.getsockname()[1]
    with a_link(ground) as link:
        ground.socket.close()
        for _ in range(5):
            send(satellite, link, b"nobody there")
        assert settled(link, 5)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", port))
            again.settimeout(0.2)
            heard = b""
            for _ in range(100):
                send(satellite, link, b"back")
                with contextlib.suppress(TimeoutError):
                    heard = again.recv(100)
                    break
            assert heard == b"back"


def test_a_ground_that_no_route_leads_to_takes_nothing_and_stops_nothing(
    ground: Ground, satellite: socket.socket
) -> None:
    nowhere = DatagramPorts(ground=("255.255.255.255", 9))  # a broadcast, which nobody allowed
    with SpaceLink(ground.tcp.getsockname(), clock=MissionClock(NOON), plan=ALWAYS, datagrams=nowhere) as link:
        for payload in numbered(3):
            send(satellite, link, payload)
        assert settled(link, 3)
        assert link.traffic().downward.refused == 3


def test_more_satellites_than_it_remembers_are_served_all_the_same(ground: Ground) -> None:
    with a_link(ground) as link:
        for number in range(300):
            with an_endpoint() as one:
                send(one, link, str(number).encode())
                heard, address = ground.socket.recvfrom(100)
                assert heard == str(number).encode()
                ground.socket.sendto(b"heard", address)
                assert one.recv(100) == b"heard"


def test_streams_and_datagrams_share_one_rate(ground: Ground, satellite: socket.socket) -> None:
    profile = LinkProfile(downlink=BitsPerSecond(4_000_000), queue=timedelta(seconds=10))
    size = 250_000
    began = time.monotonic()
    with a_link(ground, profile) as link, ThreadPoolExecutor(1) as server:
        read = server.submit(_read_all, ground.tcp)
        for payload in numbered(200):
            send(satellite, link, payload)
        with socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE_S) as stream:
            stream.sendall(bytes(size))
            stream.shutdown(socket.SHUT_WR)
            assert read.result(PATIENCE_S) == size
        assert settled(link, 200)
    charged = size + 200 * (1_000 + DATAGRAM_HEADER) - profile.depth(Direction.DOWN)
    assert time.monotonic() - began >= charged * 8 / profile.downlink


def _read_all(listener: socket.socket) -> int:
    connection, _ = listener.accept()
    with connection:
        return sum(len(chunk) for chunk in iter(lambda: connection.recv(65_536), b""))


def test_a_fade_holds_a_stream_without_cutting_it(ground: Ground) -> None:
    trace = Trace(frames=(200, 0, 400), bad=(20, 0, 40))
    size = 250 * FRAME_PAYLOAD
    with a_link(ground, LinkProfile(trace=trace)) as link, ThreadPoolExecutor(1) as server:
        read = server.submit(_read_all, ground.tcp)
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE_S) as stream:
            stream.sendall(bytes(size))
            stream.shutdown(socket.SHUT_WR)
            assert read.result(PATIENCE_S) == size
        assert time.monotonic() - began >= 2
        traffic = link.traffic()
    assert traffic.cuts == 0
    assert traffic.offered is not None
    assert size <= traffic.offered <= trace.good_payload
    assert traffic.downward.repeated > 0


def test_live_and_virtual_link_deliver_the_same_datagrams_of_a_recorded_pass(
    ground: Ground, satellite: socket.socket
) -> None:
    """All is offered in the first instant, so that a late timer changes nothing: the models alone decide."""
    trace = Trace(frames=(300, 0, 500), bad=(30, 0, 50))
    profile = LinkProfile(
        trace=trace, impairments=Impairments(loss=0.05), queue=timedelta(seconds=10), delay=timedelta(0)
    )
    size = FRAME_PAYLOAD - DATAGRAM_HEADER
    with a_link(ground, profile, seed=9) as link:
        for payload in numbered(600, size):
            send(satellite, link, payload)
        assert settled(link, 600)
    live = sum(len(payload) for payload in drained(ground.socket))
    message = Message(at=NOON, direction=Direction.DOWN, size=Bytes(size), manner=Manner.DATAGRAM)
    virtual = sum(each.delivered for each in VirtualLink(plan=ALWAYS, profile=profile, seed=9).carry([message] * 600))
    assert virtual == pytest.approx(live, rel=0.03)
    assert virtual == pytest.approx(600 * size * 0.9 * 0.95, rel=0.1)


def test_a_datagram_port_in_use_is_named_and_frees_the_other(ground: Ground) -> None:
    taken = ground.socket.getsockname()
    link = SpaceLink(
        ground.tcp.getsockname(),
        clock=VirtualClock(NOON),
        plan=ALWAYS,
        datagrams=DatagramPorts(ground=taken, port=taken[1]),
    )
    with pytest.raises(BadInput, match=f"{taken[1]}: it is in use already; stop"):
        link.__enter__()
    socket.create_server(("127.0.0.1", link.port)).close()
