"""Datagrams over real sockets and processes: lost, repeated, reordered, silent, killed, forged; nothing is lost."""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest

from orbitloop.adapters.sealing import LinkKey
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, LinkClosed, NoSpace, NotYet, Untrusted
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.ports.uploads import Upload
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import pack
from orbitloop.wire.datagrams import NONCE, Kind, Open, Options, kind_of
from orbitloop.wire.messages import Hello, Offer
from orbitloop_edge.adapters.credentials import Credentials, read_credentials
from orbitloop_edge.adapters.datagrams import DatagramGateway, DatagramLink
from orbitloop_edge.adapters.inbox import FolderInbox
from orbitloop_edge.usecases.transfers import fetch_artifact, send_missing
from orbitloop_ground.adapters.datagram_answers import DatagramAnswers
from orbitloop_ground.adapters.datagrams import DatagramServer, DatagramSettings
from orbitloop_ground.app import Dependencies, compose
from orbitloop_ground.settings import GroundSettings
from orbitloop_ground.usecases.watch import NobodyWatches, Refusal

RATE = BitsPerSecond(20_000_000)
PLENTY = Bytes(2**24)
BUNDLE = pack("sat-1", LAUNCH, [a_sample(number, size=4_000) for number in range(100)])


class Counter(NobodyWatches):
    """Counts refusals."""

    def __init__(self) -> None:
        self.reasons: list[Refusal] = []

    def refused(self, why: Refusal) -> None:
        self.reasons.append(why)

    def wait_for(self, why: Refusal) -> None:
        deadline = time.monotonic() + 20
        while why not in self.reasons:
            assert time.monotonic() < deadline, self.reasons
            time.sleep(0.01)


class Relay:
    """A link in small: what arrives from either side meets its fate, in a thread of its own.

    Args:
        fate: what comes of a datagram, and whether it goes down: none, one or several of it.
    """

    def __init__(self, target: int, fate: Callable[[bytes, bool], list[bytes]]) -> None:
        self._target, self.fate = ("127.0.0.1", target), fate
        self._near, self._far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self._near.bind(("127.0.0.1", 0))
        self._far.bind(("127.0.0.1", 0))
        for end in (self._near, self._far):
            end.settimeout(0.05)
        self._satellite: tuple[str, int] | None = None
        self._over = False
        self.port = self._near.getsockname()[1]
        self.down: list[bytes] = []

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=way) for way in (self._carry_down, self._carry_up)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        for thread in self._threads:
            thread.join()
        self._near.close()
        self._far.close()

    def _carry_down(self) -> None:
        while not self._over:
            try:
                datagram, self._satellite = self._near.recvfrom(9_000)
            except TimeoutError:
                continue
            for copy in self.fate(datagram, True):
                self.down.append(copy)
                self._far.sendto(copy, self._target)

    def _carry_up(self) -> None:
        while not self._over:
            try:
                datagram = self._far.recv(9_000)
            except (TimeoutError, ConnectionRefusedError):
                continue
            if self._satellite is not None:
                for copy in self.fate(datagram, False):
                    self._near.sendto(copy, self._satellite)


def hello(satellite: str = "sat-1") -> Hello:
    return Hello(satellite=satellite, flying=digest_of(b"w"), clock=LAUNCH, queued_samples=0, queued_bytes=Bytes(0))


@contextmanager
def a_ground(folder: Path, keys: Path, port: int = 0) -> Iterator[tuple[Dependencies, DatagramServer, Counter]]:
    parts = compose(GroundSettings(folder=folder, keys=keys / "ground"), VirtualClock(LAUNCH))
    counter = Counter()
    answers = DatagramAnswers(parts.receiver, parts.reception, parts.artifacts.find, counter)
    with DatagramServer(answers, parts.link_keys, DatagramSettings(port=port, rate=RATE), counter) as server:
        yield parts, server, counter
    parts.ledger.close()


def a_satellite(
    port: int, credentials: Credentials, *, patience: float = 30, name: str = "sat-1", key: bytes | None = None
) -> DatagramGateway:
    silent = timedelta(seconds=patience)
    link = DatagramLink(rate=RATE, patience=silent, fade=silent)
    return DatagramGateway(("127.0.0.1", port), name, LinkKey(key or credentials.link_key), link)


def heard(end: socket.socket) -> list[bytes]:
    """Everything that comes until nothing does for a while."""
    came: list[bytes] = []
    with suppress(TimeoutError):
        while True:
            came.append(end.recv(9_000))
    return came


@pytest.fixture
def credentials(keys: Path) -> Credentials:
    return read_credentials(keys / "satellites" / "sat-1")


class Meter:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, count: Bytes) -> None:
        self.count += count


def deliver(gateway: DatagramGateway, crossed: Callable[[Bytes], None], bundle: bytes = BUNDLE) -> int:
    transfer = gateway.begin(digest_of(bundle), Bytes(len(bundle)))
    assert send_missing(gateway, transfer, memoryview(bundle), PLENTY, crossed).complete
    receipt = gateway.receipt(digest_of(bundle))
    assert receipt is not None
    return receipt.samples


def test_a_link_that_loses_repeats_and_reorders_carries_everything_and_counts_the_repeated(
    tmp_path: Path, keys: Path, credentials: Credentials
) -> None:
    rng, held = random.Random(1), list[bytes]()

    def fate(datagram: bytes, down: bool) -> list[bytes]:
        chance = rng.random()
        if chance < 0.05:
            return []
        if chance < 0.08 and down:
            held.append(datagram)
            return []
        return [datagram, datagram] if chance < 0.12 else [datagram, *([held.pop()] if held and down else [])]

    meter = Meter()
    with (
        a_ground(tmp_path, keys) as (parts, server, counter),
        Relay(server.port, fate) as relay,
        a_satellite(relay.port, credentials) as gateway,
    ):
        assert deliver(gateway, meter) == 100
        assert Refusal.REPLAYED in counter.reasons
        assert parts.ledger.count_received("sat-1") == 100
    assert meter.count == len(BUNDLE)


def test_a_fade_in_mid_transfer_ends_nothing_and_costs_little(
    tmp_path: Path, keys: Path, credentials: Credentials
) -> None:
    silent, passed = threading.Event(), []

    def fate(datagram: bytes, down: bool) -> list[bytes]:
        passed.append(len(datagram))
        if sum(passed) > 150_000 and not silent.is_set():
            silent.set()
            threading.Timer(2.0, done.set).start()
        return [] if silent.is_set() and not done.is_set() else [datagram]

    done = threading.Event()
    with (
        a_ground(tmp_path, keys) as (_, server, _),
        Relay(server.port, fate) as relay,
        a_satellite(relay.port, credentials) as gateway,
    ):
        assert deliver(gateway, Meter()) == 100
        assert silent.is_set()
        useful = sum(len(datagram) for datagram in relay.down)
    assert useful < 1.12 * len(BUNDLE)


def test_only_the_end_of_patience_ends_a_silent_contact_and_what_arrived_stays(
    tmp_path: Path, keys: Path, credentials: Credentials
) -> None:
    passed: list[int] = []

    def until_half(datagram: bytes, down: bool) -> list[bytes]:
        passed.append(len(datagram) if down else 0)
        return [datagram] if sum(passed) < len(BUNDLE) // 2 else []

    first, second = Meter(), Meter()
    with a_ground(tmp_path, keys) as (_, server, _):
        with (
            Relay(server.port, until_half) as relay,
            a_satellite(relay.port, credentials, patience=1.0) as gateway,
            pytest.raises(LinkClosed, match="silent"),
        ):
            deliver(gateway, first)
        with a_satellite(server.port, credentials) as gateway:
            assert deliver(gateway, second) == 100
    assert second.count < 0.6 * len(BUNDLE)
    assert first.count + second.count <= len(BUNDLE)


def test_a_ground_that_restarts_in_mid_transfer_is_found_again_at_once(
    tmp_path: Path, keys: Path, credentials: Credentials
) -> None:
    meter = Meter()
    slow = DatagramLink(rate=BitsPerSecond(4_000_000), patience=timedelta(seconds=30))
    with a_ground(tmp_path, keys) as (_, server, _):
        port = server.port
        gateway = DatagramGateway(("127.0.0.1", port), "sat-1", LinkKey(credentials.link_key), slow)
        outcome: list[int] = []
        sending = threading.Thread(target=lambda: outcome.append(deliver(gateway, meter)))
        sending.start()
        while meter.count < 100_000:
            time.sleep(0.01)
    with a_ground(tmp_path, keys, port) as (parts, _, counter):
        sending.join(40)
        gateway.close()
        assert outcome == [100]
        assert Refusal.STRANGER in counter.reasons
        assert parts.ledger.count_received("sat-1") == 100
    assert meter.count <= len(BUNDLE)
    assert meter.count > 0.9 * len(BUNDLE)


SERVE = """
import sys, time
from pathlib import Path
from orbitloop_ground.adapters.datagram_answers import DatagramAnswers
from orbitloop_ground.adapters.datagrams import DatagramServer, DatagramSettings
from orbitloop_ground.app import compose
from orbitloop_ground.settings import GroundSettings
parts = compose(GroundSettings(folder=Path(sys.argv[1]), keys=Path(sys.argv[2])))
answers = DatagramAnswers(parts.receiver, parts.reception, parts.artifacts.find)
with DatagramServer(answers, parts.link_keys, DatagramSettings(port=int(sys.argv[3]))) as server:
    print(server.port, flush=True)
    time.sleep(600)
"""


def test_a_ground_killed_in_mid_transfer_keeps_what_it_had(
    tmp_path: Path, keys: Path, credentials: Credentials
) -> None:
    def started(port: int) -> tuple[subprocess.Popen[str], int]:
        command = [sys.executable, "-c", SERVE, str(tmp_path), str(keys / "ground"), str(port)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        return child, int(child.stdout.readline())

    meter = Meter()
    child, port = started(0)
    slow = DatagramLink(rate=BitsPerSecond(4_000_000), patience=timedelta(seconds=60))
    with DatagramGateway(("127.0.0.1", port), "sat-1", LinkKey(credentials.link_key), slow) as gateway:
        outcome: list[int] = []
        sending = threading.Thread(target=lambda: outcome.append(deliver(gateway, meter)))
        sending.start()
        while meter.count < 150_000:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        child, _ = started(port)
        sending.join(60)
    child.kill()
    child.communicate()
    assert outcome == [100]
    assert 0.8 * len(BUNDLE) < meter.count <= len(BUNDLE)


@pytest.mark.parametrize(
    ("name", "key"), [("sat-1", b"\1" * 32), ("sat-2", None), ("nobody", None)], ids=["key", "name", "stranger"]
)
def test_whoever_has_not_the_key_hears_nothing_and_is_counted(
    tmp_path: Path, keys: Path, credentials: Credentials, name: str, key: bytes | None
) -> None:
    with (
        a_ground(tmp_path, keys) as (parts, server, counter),
        a_satellite(server.port, credentials, patience=1.0, name=name, key=key) as gateway,
    ):
        with pytest.raises(LinkClosed):
            gateway.hello(hello(name))
        assert set(counter.reasons) == {Refusal.STRANGER}
        assert parts.ledger.last_hello(name) is None


def test_what_is_refused_within_a_session_is_counted_too(tmp_path: Path, keys: Path, credentials: Credentials) -> None:
    with a_ground(tmp_path, keys) as (_, server, counter), a_satellite(server.port, credentials) as satellite:
        satellite.hello(hello())
        with pytest.raises(Untrusted, match="may not speak for"):
            satellite.hello(hello("sat-2"))
        with pytest.raises(BadInput, match="exceeds the limit"):
            satellite.begin(digest_of(b"bundle"), Bytes(2**27))
    assert counter.reasons == [Refusal.IMPERSONATION, Refusal.MALFORMED]


def test_a_revoked_satellite_is_cut_off_in_mid_session(tmp_path: Path, credentials: Credentials) -> None:
    links = tmp_path / "keys" / "ground" / "links"
    links.mkdir(parents=True)
    (links / "sat-1.key").write_bytes(credentials.link_key)
    with (
        a_ground(tmp_path / "ground", tmp_path / "keys") as (_, server, counter),
        a_satellite(server.port, credentials, patience=3.0) as gateway,
    ):
        gateway.hello(hello())
        (links / "sat-1.key").unlink()
        counter.wait_for(Refusal.REVOKED)
        with pytest.raises(LinkClosed):
            gateway.hello(hello())


def test_a_recorded_session_played_again_changes_nothing(tmp_path: Path, keys: Path, credentials: Credentials) -> None:
    with a_ground(tmp_path, keys) as (parts, server, counter):
        with (
            Relay(server.port, lambda datagram, down: [datagram]) as relay,
            a_satellite(relay.port, credentials) as gateway,
        ):
            gateway.hello(hello())
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
                for datagram in list(relay.down):
                    thief.sendto(datagram, ("127.0.0.1", server.port))
                counter.wait_for(Refusal.REPLAYED)
                gateway.hello(hello())
                thief.settimeout(0.3)
                # an opening that is played again is answered, and opens nothing
                assert {kind_of(datagram) for datagram in heard(thief)} <= {Kind.ACCEPT}
        assert parts.ledger.last_hello("sat-1") is not None


@pytest.mark.parametrize("junk", [b"", b"\x18", b"\x18" + bytes(40), b"\x11" + bytes(60), b"\xff" * 1_400], ids=len)
def test_nonsense_is_never_answered_with_more_than_it_is(
    tmp_path: Path, keys: Path, credentials: Credentials, junk: bytes
) -> None:
    with a_ground(tmp_path, keys) as (_, server, _), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.settimeout(0.2)
        for _ in range(20):
            stranger.sendto(junk, ("127.0.0.1", server.port))
        assert sum(len(datagram) for datagram in heard(stranger)) <= 20 * len(junk)
        with a_satellite(server.port, credentials) as gateway:
            gateway.hello(hello())


def test_openings_without_end_leave_room_for_the_satellite(
    tmp_path: Path, keys: Path, credentials: Credentials
) -> None:
    key = LinkKey(credentials.link_key)
    with (
        a_ground(tmp_path, keys) as (_, server, counter),
        a_satellite(server.port, credentials) as gateway,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief,
    ):
        gateway.hello(hello())
        for number in range(100):
            nonce = number.to_bytes(NONCE, "big")
            signed = Open(satellite="sat-1", nonce=nonce, options=Options(0), datagram=980).signed()
            thief.sendto(signed + key.sign(signed), ("127.0.0.1", server.port))
        counter.wait_for(Refusal.TOO_MANY)
        gateway.hello(hello())


def test_a_port_that_is_taken_and_a_link_that_cannot_be_are_named(tmp_path: Path, keys: Path) -> None:
    with (
        a_ground(tmp_path, keys) as (_, server, _),
        pytest.raises(BadInput, match=f"port {server.port}.*choose another"),
        a_ground(tmp_path / "second", keys, server.port),
    ):
        pass
    with pytest.raises(BadInput, match="choose 200 to"):
        DatagramLink(datagram=100)


def test_of_a_name_with_several_addresses_the_one_that_answers_is_used(
    tmp_path: Path, keys: Path, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody, ground = "127.0.0.9", "127.0.0.1"

    def found(_: str, port: int, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (host, port)) for host in (nobody, ground)]

    with a_ground(tmp_path, keys) as (_, server, _):
        monkeypatch.setattr(socket, "getaddrinfo", found)
        began = time.monotonic()
        with a_satellite(server.port, credentials, patience=20) as gateway:
            gateway.hello(hello())
            assert deliver(gateway, Meter()) == 100
    assert time.monotonic() - began < 10, "nobody's address costs no patience"


def test_a_ground_without_a_route_is_a_link_that_is_closed(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("255.255.255.255", 1))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: everybody)
    with pytest.raises(LinkClosed, match="cannot be reached: Permission denied"):
        a_satellite(1, credentials)


def test_closing_ends_whoever_waits(tmp_path: Path, credentials: Credentials) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        gateway = a_satellite(silent.getsockname()[1], credentials)
        ended = threading.Event()

        def wait() -> None:
            with pytest.raises(LinkClosed):
                gateway.hello(hello())
            ended.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        gateway.close()
        waiting.join(20)
        assert ended.is_set()


class BrokenKey(LinkKey):
    """Fails as no error of ours does."""

    def sign(self, *parts: bytes) -> bytes:
        raise ArithmeticError(f"no signature for {len(parts)} parts")


def test_an_error_that_nobody_expected_ends_whoever_waits_and_is_logged_with_its_trace(
    credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.ERROR),
        DatagramGateway(("127.0.0.1", 9), "sat-1", BrokenKey(credentials.link_key)) as gateway,
        pytest.raises(LinkClosed, match="no signature"),
    ):
        gateway.hello(hello())
    (record,) = caplog.records
    assert record.message == "datagrams_failed"
    assert record.exc_info is not None
    assert record.exc_info[0] is ArithmeticError


def test_two_satellites_and_two_bundles_of_each_come_down_side_by_side(tmp_path: Path, keys: Path) -> None:
    outcome: list[int] = []
    with a_ground(tmp_path, keys) as (parts, server, _):

        def fly(name: str) -> None:
            bundles = [
                pack(name, LAUNCH, [a_sample(first + number, satellite=name, size=3_000) for number in range(40)])
                for first in (0, 100)
            ]
            with a_satellite(server.port, read_credentials(keys / "satellites" / name), name=name) as gateway:
                senders = [
                    threading.Thread(target=lambda bundle=bundle: outcome.append(deliver(gateway, Meter(), bundle)))
                    for bundle in bundles
                ]
                for sender in senders:
                    sender.start()
                for sender in senders:
                    sender.join()

        flights = [threading.Thread(target=fly, args=(name,)) for name in ("sat-1", "sat-2")]
        for flight in flights:
            flight.start()
        for flight in flights:
            flight.join()
        assert outcome == [40] * 4
        assert [parts.ledger.count_received(name) for name in ("sat-1", "sat-2")] == [80, 80]


def published(parts: Dependencies, data: bytes) -> Offer:
    path = parts.settings.folder / "update"
    path.write_bytes(data)
    base, result = digest_of(b"w"), digest_of(b"next")
    update = PublishedUpdate(
        satellite="sat-1", digest=digest_of(data), size=Bytes(len(data)), base=base, result=result, path=path
    )
    parts.ledger.publish_update(update)
    return Offer(digest=update.digest, size=update.size, base=base, result=result)


def test_an_uplink_that_is_interrupted_leaves_nobody_waiting_and_goes_on_where_it_was(
    tmp_path: Path, keys: Path, credentials: Credentials
) -> None:
    data = random.Random(5).randbytes(200_000)
    came: list[int] = []

    def until_half(datagram: bytes, down: bool) -> list[bytes]:
        came.append(0 if down else len(datagram))
        return [datagram] if sum(came) < len(data) // 2 else []

    inbox, first, second = FolderInbox(tmp_path / "inbox"), Meter(), Meter()
    with a_ground(tmp_path / "ground", keys) as (parts, server, _):
        offer = published(parts, data)
        with (
            Relay(server.port, until_half) as relay,
            a_satellite(relay.port, credentials, patience=1.0) as gateway,
            pytest.raises(LinkClosed),
        ):
            fetch_artifact(gateway, offer, inbox, first)
        assert inbox.held(offer.digest).count == first.count > 50_000
        with a_satellite(server.port, credentials) as gateway:
            assert fetch_artifact(gateway, offer, inbox, second).read_bytes() == data
    assert first.count + second.count == len(data)


def test_an_update_survives_a_restart_of_the_ground_in_mid_fetch(
    tmp_path: Path, keys: Path, credentials: Credentials
) -> None:
    data = random.Random(6).randbytes(3_000_000)
    inbox, meter = FolderInbox(tmp_path / "inbox"), Meter()
    with a_ground(tmp_path / "ground", keys) as (parts, server, _):
        port, offer = server.port, published(parts, data)
        gateway = a_satellite(port, credentials)
        outcome: list[bytes] = []
        fetching = threading.Thread(
            target=lambda: outcome.append(fetch_artifact(gateway, offer, inbox, meter).read_bytes())
        )
        fetching.start()
        while meter.count < 300_000:
            time.sleep(0.01)
    with a_ground(tmp_path / "ground", keys, port):
        fetching.join(60)
        gateway.close()
    assert outcome == [data]
    assert meter.count == len(data)


def test_a_bundle_whose_disk_is_full_is_a_matter_for_later_and_keeps_what_came(
    tmp_path: Path, keys: Path, credentials: Credentials
) -> None:
    parts = compose(GroundSettings(folder=tmp_path, keys=keys / "ground"), VirtualClock(LAUNCH))
    full = threading.Event()

    class Filling(DatagramAnswers):
        def write(self, upload: Upload, start: int, data: bytes) -> Upload:
            if start > 100_000 and full.is_set():
                raise NoSpace("the disk is full")
            return super().write(upload, start, data)

    answers = Filling(parts.receiver, parts.reception, parts.artifacts.find)
    full.set()
    meter = Meter()
    with (
        DatagramServer(answers, parts.link_keys, DatagramSettings(rate=RATE)) as server,
        a_satellite(server.port, credentials) as gateway,
    ):
        with pytest.raises(NotYet, match="takes no more"):
            deliver(gateway, meter)
        full.clear()
        held = gateway.begin(digest_of(BUNDLE), Bytes(len(BUNDLE))).held.count
        assert 50_000 < held < len(BUNDLE)
        again = Meter()
        assert deliver(gateway, again) == 100
        assert again.count == len(BUNDLE) - held
    parts.ledger.close()
