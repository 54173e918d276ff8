"""The space link with real sockets: a satellite, the emulator, and a ground that counts what reaches it."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import BadInput
from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import BitsPerSecond, Bytes, transfer_time
from orbitloop.testing.clocks import VirtualClock
from orbitloop_mission.embedded.clock import MissionClock
from orbitloop_mission.space_link import LinkProfile, SpaceLink

NOON = datetime(2024, 3, 29, 12, tzinfo=UTC)
PASS = ContactWindow(aos=NOON, los=NOON + timedelta(minutes=8), station="Tongchuan", peak=40.0)
NEXT_PASS = ContactWindow(
    aos=NOON + timedelta(hours=12), los=NOON + timedelta(hours=12, minutes=8), station="Tongchuan", peak=20.0
)
PATIENCE_S = 20.0


class Ground:
    """A server that reads each connection to its end of stream, then answers, then ends its own."""

    def __init__(self, answer: bytes = b"", *, reads: bool = True) -> None:
        self.received: list[bytearray] = []
        self.resets = 0
        self.changed = threading.Condition()
        self.may_read = threading.Event()
        if reads:
            self.may_read.set()
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.may_read.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()

    def wait_for(self, what: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(what, PATIENCE_S)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with self.changed:
            number = len(self.received)
            self.received.append(bytearray())
        self.may_read.wait(PATIENCE_S)
        with connection:
            try:
                while chunk := connection.recv(65_536):
                    with self.changed:
                        self.received[number] += chunk
                        self.changed.notify_all()
                connection.sendall(self._answer)
            except ConnectionError:
                with self.changed:
                    self.resets += 1
                    self.changed.notify_all()


@contextlib.contextmanager
def a_ground(answer: bytes = b"", *, reads: bool = True) -> Iterator[Ground]:
    ground = Ground(answer, reads=reads)
    try:
        yield ground
    finally:
        ground.close()


def a_profile(down: float, up: float, delay: timedelta = timedelta(milliseconds=1)) -> LinkProfile:
    """Rates in Mbit/s."""
    return LinkProfile(downlink=BitsPerSecond(int(down * 1e6)), uplink=BitsPerSecond(int(up * 1e6)), delay=delay)


def a_link(
    ground: Ground, profile: LinkProfile | None = None, *, clock: VirtualClock | MissionClock | None = None
) -> SpaceLink:
    return SpaceLink(
        ground.address, clock=clock or VirtualClock(NOON), plan=(PASS, NEXT_PASS), profile=profile or a_profile(80, 80)
    )


def connect(link: SpaceLink) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE_S)


def read_to_end(satellite: socket.socket) -> bytes:
    received = bytearray()
    while chunk := satellite.recv(65_536):
        received += chunk
    return bytes(received)


def exchange(link: SpaceLink, message: bytes) -> bytes:
    """Send all of ``message``, end the stream, and return the whole answer."""
    with connect(link) as satellite:
        satellite.sendall(message)
        satellite.shutdown(socket.SHUT_WR)
        return read_to_end(satellite)


def is_reset(satellite: socket.socket) -> bool:
    """Read on until the connection ends: by a reset, or orderly."""
    try:
        read_to_end(satellite)
    except ConnectionError:
        return True
    return False


def is_cut_while_sending(satellite: socket.socket, message: bytes) -> bool:
    """Send ``message`` and read on. The kernel tells of a reset once: to the sender, or else to the reader."""
    try:
        satellite.sendall(message)
        satellite.shutdown(socket.SHUT_WR)
    except OSError:
        return True
    return is_reset(satellite)


def is_turned_away(link: SpaceLink) -> bool:
    """Connect, and be reset; whether that shows while connecting or while reading is the kernel's choice."""
    try:
        with connect(link) as satellite:
            return is_reset(satellite)
    except ConnectionError:
        return True


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.005)
    return holds()


def noise(size: int) -> bytes:
    """Bytes in which nothing can be lost, doubled or swapped unnoticed."""
    return hashlib.shake_256(b"noise").digest(size)


def test_bytes_arrive_intact_both_ways() -> None:
    sample, update = noise(1_500_000), noise(700_000)
    with a_ground(update) as ground, a_link(ground) as link:
        assert exchange(link, sample) == update
        assert ground.received == [sample]
        traffic = link.traffic()
    assert (traffic.down, traffic.up) == (len(sample), len(update))
    assert (traffic.connections, traffic.cuts) == (1, 0)


@pytest.mark.parametrize("direction", list(Direction))
def test_a_transfer_is_never_faster_than_the_rate_and_not_much_slower(direction: Direction) -> None:
    profile = a_profile(8, 4)
    size = Bytes(250_000)
    message, answer = (noise(size), b"") if direction is Direction.DOWN else (b"", noise(size))
    with a_ground(answer) as ground, a_link(ground, profile) as link:
        began = time.monotonic()
        exchange(link, message)
        took = timedelta(seconds=time.monotonic() - began)
    least = transfer_time(Bytes(size - profile.depth(direction)), profile.rate(direction))
    assert least <= took < 15 * least


def test_the_uplink_is_a_hundred_times_slower_than_the_downlink_by_default() -> None:
    profile = LinkProfile()
    with a_ground(noise(25_000)) as ground, a_link(ground, profile) as link:
        exchange(link, noise(200_000))
        traffic = link.traffic()
    assert profile.rate(Direction.DOWN) == 100 * profile.rate(Direction.UP)
    assert (traffic.down, traffic.up) == (200_000, 25_000)


def test_a_slow_uplink_does_not_hold_up_the_downlink() -> None:
    with a_ground() as ground, a_link(ground, a_profile(80, 0.01)) as link, connect(link) as satellite:
        satellite.sendall(noise(500_000))
        ground.wait_for(lambda: bool(ground.received) and len(ground.received[0]) == 500_000)


def test_two_satellites_share_one_downlink() -> None:
    profile = a_profile(8, 8)
    message = noise(150_000)
    with a_ground() as ground, a_link(ground, profile) as link:
        began = time.monotonic()
        satellites = [threading.Thread(target=exchange, args=(link, message)) for _ in range(2)]
        for satellite in satellites:
            satellite.start()
        for satellite in satellites:
            satellite.join()
        took = timedelta(seconds=time.monotonic() - began)
        assert ground.received == [message, message]
    depth = profile.depth(Direction.DOWN)
    assert took >= transfer_time(Bytes(2 * len(message) - depth), profile.downlink)


def test_a_satellite_with_much_to_send_does_not_starve_another() -> None:
    with a_ground() as ground, a_link(ground, a_profile(2, 8)) as link, connect(link) as greedy:
        greedy.setblocking(False)
        queued = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                queued += greedy.send(bytes(65_536))
        exchange(link, noise(5_000))
        assert len(ground.received[0]) < queued / 2
        assert ground.received[1] == noise(5_000)


def test_every_byte_is_late_by_the_delay() -> None:
    delay = timedelta(milliseconds=80)
    with a_ground(b"answer") as ground, a_link(ground, a_profile(80, 80, delay)) as link:
        began = time.monotonic()
        assert exchange(link, b"question") == b"answer"
        assert time.monotonic() - began >= 2 * delay.total_seconds()


def test_a_long_delay_does_not_limit_the_rate() -> None:
    delay = timedelta(milliseconds=300)
    size = 2_000_000
    with a_ground() as ground, a_link(ground, a_profile(80, 80, delay)) as link:
        began = time.monotonic()
        exchange(link, noise(size))
        took = time.monotonic() - began
    a_chunk_a_delay = size / 65_536 * delay.total_seconds()
    assert took < a_chunk_a_delay / 2


def test_the_delay_follows_the_moment() -> None:
    asked: list[datetime] = []

    def delay(moment: datetime) -> timedelta:
        asked.append(moment)
        return timedelta(milliseconds=2)

    clock = VirtualClock(NOON)
    with a_ground() as ground, a_link(ground, LinkProfile(delay=delay), clock=clock) as link:
        exchange(link, noise(300_000))
        clock.advance_to(NEXT_PASS.aos)
        exchange(link, noise(300_000))
    assert set(asked) == {NOON, NEXT_PASS.aos}
    assert len(asked) == 4  # once a direction and moment, however many bytes


def test_a_ground_that_does_not_read_stops_the_satellite() -> None:
    message = bytes(40_000_000)
    with a_ground(reads=False) as ground, a_link(ground, a_profile(1_000, 1_000)) as link, connect(link) as satellite:
        satellite.settimeout(1.0)
        with pytest.raises(TimeoutError):
            satellite.sendall(message)
        assert link.traffic().down < len(message) / 2


def test_outside_of_the_windows_a_connection_is_reset() -> None:
    clock = VirtualClock(NOON - timedelta(seconds=1))
    with a_ground() as ground, a_link(ground, clock=clock) as link:
        assert is_turned_away(link)
        assert link.traffic().connections == 0
        assert ground.received == []


def test_loss_of_signal_resets_both_sides_in_mid_transfer_and_the_next_pass_carries_again() -> None:
    clock = VirtualClock(NOON)
    message = noise(2_000_000)
    with a_ground(b"received") as ground, a_link(ground, a_profile(8, 8), clock=clock) as link:
        with connect(link) as satellite, ThreadPoolExecutor(1) as sender:
            cut = sender.submit(is_cut_while_sending, satellite, message)
            ground.wait_for(lambda: bool(ground.received) and len(ground.received[0]) > 50_000)
            clock.advance_to(PASS.los)
            assert cut.result(PATIENCE_S)
        ground.wait_for(lambda: ground.resets == 1)
        assert eventually(lambda: link.traffic().cuts == 1)
        arrived = ground.received[0]
        assert len(arrived) < len(message)
        assert message.startswith(arrived)

        clock.advance_to(NEXT_PASS.aos)
        assert exchange(link, message[:10_000]) == b"received"
        assert link.traffic().connections == 2


def test_an_idle_connection_is_lost_with_the_signal_too() -> None:
    clock = VirtualClock(NOON)
    with a_ground() as ground, a_link(ground, clock=clock) as link, connect(link) as satellite:
        satellite.sendall(b"hello")
        ground.wait_for(lambda: ground.received == [b"hello"])
        clock.advance_to(PASS.los)
        assert is_reset(satellite)


def test_a_connection_does_not_outlive_its_pass_when_time_jumps_into_the_next() -> None:
    clock = MissionClock(NOON)
    with a_ground() as ground, a_link(ground, clock=clock) as link, connect(link) as satellite:
        satellite.sendall(b"hello")
        ground.wait_for(lambda: ground.received == [b"hello"])
        clock.advance_to(NEXT_PASS.aos)
        assert is_reset(satellite)


def test_what_was_in_flight_at_loss_of_signal_is_gone() -> None:
    clock = VirtualClock(NOON)
    profile = a_profile(80, 80, timedelta(milliseconds=300))
    with a_ground() as ground, a_link(ground, profile, clock=clock) as link, connect(link) as satellite:
        satellite.sendall(b"too late")
        clock.advance_to(PASS.los)
        assert is_reset(satellite)
        assert link.traffic().down == 0
        assert b"".join(ground.received) == b""


def test_a_shortened_pass_loses_its_connections_and_an_unchanged_one_keeps_them() -> None:
    clock = VirtualClock(NOON)
    with a_ground() as ground, a_link(ground, clock=clock) as link:
        clock.advance(timedelta(minutes=2))
        with connect(link) as satellite:
            satellite.sendall(b"one")
            ground.wait_for(lambda: ground.received == [b"one"])
            link.use_plan((PASS.cut_at(NOON + timedelta(minutes=3)), NEXT_PASS))
            satellite.sendall(b" two")
            ground.wait_for(lambda: ground.received == [b"one two"])
            link.use_plan((PASS.cut_at(NOON + timedelta(minutes=1)), NEXT_PASS))
            assert is_reset(satellite)
        assert eventually(lambda: link.traffic().cuts == 1)
        assert is_turned_away(link)


@pytest.mark.parametrize("direction", list(Direction))
def test_a_fault_cuts_after_exactly_so_many_bytes_and_only_once(direction: Direction) -> None:
    message = noise(300_000)
    with a_ground(message) as ground, a_link(ground) as link:
        if direction is Direction.DOWN:
            link.cut_after(down=Bytes(123_456))
        else:
            link.cut_after(up=Bytes(123_456))
        with connect(link) as satellite:
            assert is_cut_while_sending(satellite, message)
        assert eventually(lambda: link.traffic().cuts == 1)
        traffic = link.traffic()
        assert (traffic.down if direction is Direction.DOWN else traffic.up) == 123_456
        assert exchange(link, message) == message
        assert link.traffic().cuts == 1


def test_a_fault_after_no_bytes_cuts_at_once() -> None:
    with a_ground() as ground, a_link(ground) as link, connect(link) as satellite:
        satellite.sendall(b"hello")
        ground.wait_for(lambda: ground.received == [b"hello"])
        link.cut_after(up=Bytes(0))
        assert is_reset(satellite)


def test_a_fault_that_is_taken_back_cuts_nothing() -> None:
    with a_ground(b"answer") as ground, a_link(ground) as link:
        link.cut_after(down=Bytes(10))
        link.cut_after()
        assert exchange(link, noise(1_000)) == b"answer"
        with pytest.raises(BadInput, match="from 0"):
            link.cut_after(down=Bytes(-1))


def test_a_ground_that_refuses_ends_the_connection_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    with a_ground() as ground:
        pass
    with a_link(ground) as link:
        assert is_turned_away(link)
        assert eventually(lambda: link.traffic().connections == 1)
        assert link.traffic().cuts == 0
    assert "Traceback" not in capfd.readouterr().err


def test_a_reset_by_the_ground_reaches_the_satellite() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        link = SpaceLink(gateway.getsockname(), clock=VirtualClock(NOON), plan=(PASS,))
        with link, connect(link) as satellite:
            satellite.sendall(b"hello")
            accepted, _ = gateway.accept()
            accepted.close()  # with bytes unread, or about to come: a reset
            assert eventually(lambda: not can_send(satellite))


def can_send(satellite: socket.socket) -> bool:
    try:
        satellite.sendall(b"more")
    except OSError:
        return False
    return True


def test_closing_the_link_resets_what_is_open_and_frees_the_port() -> None:
    with a_ground() as ground:
        with a_link(ground) as link:
            port = link.port
            satellite = connect(link)
            satellite.sendall(b"hello")
            ground.wait_for(lambda: ground.received == [b"hello"])
        with satellite:
            assert is_reset(satellite)
        with SpaceLink(ground.address, clock=VirtualClock(NOON), plan=(PASS,), port=port) as again:
            assert again.port == port


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with a_ground() as ground, pytest.raises(BadInput, match=f"{ground.address[1]}: it is in use already; stop"):
        SpaceLink(("127.0.0.1", 9), clock=VirtualClock(NOON), plan=(), port=ground.address[1]).__enter__()
    with pytest.raises(BadInput, match="65536 does not exist"):
        SpaceLink(("127.0.0.1", 9), clock=VirtualClock(NOON), plan=(), port=65_536).__enter__()


@pytest.mark.parametrize(
    ("down", "up", "burst"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)], ids=["no downlink", "no uplink", "no burst"]
)
def test_a_profile_that_carries_nothing_is_refused(down: int, up: int, burst: int) -> None:
    with pytest.raises(BadInput):
        LinkProfile(downlink=BitsPerSecond(down), uplink=BitsPerSecond(up), burst=timedelta(milliseconds=burst))


def test_bursts_are_honest_over_a_tenth_of_a_second() -> None:
    profile = LinkProfile()
    for direction in Direction:
        assert transfer_time(profile.depth(direction), profile.rate(direction)) <= timedelta(milliseconds=25)
