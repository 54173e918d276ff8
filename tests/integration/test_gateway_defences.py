"""Whoever should not get in, is not let in, told why where that helps, and counted."""

from __future__ import annotations

import io
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from orbitloop.adapters.log_lines import JsonLines
from orbitloop.adapters.shaping.user import UserShaper
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, LinkClosed, OrbitloopError, Untrusted
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.ports.shaper import Peer
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import pack
from orbitloop.wire.messages import Goodbye, Hello
from orbitloop_edge.adapters.credentials import read_credentials
from orbitloop_edge.adapters.gateway import GatewayClient
from orbitloop_ground.adapters.authority import Authority
from orbitloop_ground.app import Dependencies, admin_thread, compose, create_server, gateway_thread, open_authority
from orbitloop_ground.http.server import ServerThread
from orbitloop_ground.settings import GroundSettings

PATIENCE = timedelta(seconds=20)
FLYING = digest_of(b"weights")


class Ground:
    """A gateway with its admin port."""

    def __init__(self, parts: Dependencies, server: ServerThread, admin: ServerThread, keys: Path) -> None:
        self.parts, self.server, self.admin, self.keys = parts, server, admin, keys

    def client(self, satellite: str = "sat-1", keys: Path | None = None) -> GatewayClient:
        folder = (keys or self.keys) / "satellites" / satellite
        return GatewayClient(self.server.url, read_credentials(folder), patience=PATIENCE)

    def raw(self, satellite: str = "sat-1") -> httpx.Client:
        tls = read_credentials(self.keys / "satellites" / satellite).tls
        return httpx.Client(base_url=self.server.url, verify=tls, trust_env=False)

    def connected(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.server.port))
        tls = read_credentials(self.keys / "satellites" / "sat-1").tls
        connection = tls.wrap_socket(plain, server_hostname="gateway.orbitloop")
        connection.settimeout(20)
        return connection

    def metrics(self) -> dict[str, float]:
        lines = httpx.get(f"{self.admin.url}/metrics", trust_env=False).text.splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def refusals(self, why: str) -> float:
        return self.metrics()[f'orbitloop_refusals_total{{reason="{why}"}}']


@contextmanager
def running(folder: Path, keys: Path, **changes: Any) -> Iterator[Ground]:
    settings = GroundSettings(folder=folder, keys=keys / "ground", admin_port=0, **changes)
    parts = compose(settings, VirtualClock(LAUNCH))
    with gateway_thread(parts) as server, admin_thread(parts) as admin:
        yield Ground(parts, server, admin, keys)
    parts.ledger.close()


@pytest.fixture
def ground(tmp_path: Path, keys: Path) -> Iterator[Ground]:
    with running(tmp_path / "ground", keys) as made:
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Authority:
    """An authority whose keys a test may revoke."""
    made = open_authority(tmp_path / "keys", timedelta(days=30))
    made.equip_ground(["127.0.0.1"])
    made.equip("sat-1")
    return made


def a_hello(sequence: int = 1, session: str = "1" * 32, satellite: str = "sat-1") -> Hello:
    return Hello(
        satellite=satellite,
        flying=FLYING,
        clock=LAUNCH,
        queued_samples=7,
        queued_bytes=Bytes(900),
        session=session,
        sequence=sequence,
    )


def in_time(happened: Callable[[], bool]) -> None:
    """Counting comes a little after the peer has noticed."""
    for _ in range(2_000):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_a_client_without_a_certificate_never_reaches_the_gateway(ground: Ground) -> None:
    context = ssl.create_default_context(cafile=str(ground.keys / "ground" / "authority.pem"))
    with pytest.raises(httpx.TransportError), httpx.Client(verify=context, trust_env=False) as client:
        client.get(f"{ground.server.url}/v1/artifacts/x")
    in_time(lambda: ground.refusals("stranger") == 1)


def test_a_client_that_speaks_no_tls_at_all_never_reaches_the_gateway(ground: Ground) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{ground.server.port}/v1/artifacts/x", trust_env=False)
    in_time(lambda: ground.refusals("stranger") == 1)


def test_a_satellite_of_another_authority_is_a_stranger(ground: Ground, tmp_path: Path) -> None:
    foreign = open_authority(tmp_path / "foreign", timedelta(days=30))
    folder = foreign.equip("sat-1")
    (folder / "authority.pem").write_bytes((ground.keys / "ground" / "authority.pem").read_bytes())
    with ground.client(keys=tmp_path / "foreign") as client, pytest.raises(OrbitloopError):
        client.hello(a_hello())
    in_time(lambda: ground.refusals("stranger") == 1)
    assert ground.parts.ledger.last_hello("sat-1") is None


def test_an_expired_certificate_is_not_taken(ground: Ground, own: Authority, tmp_path: Path) -> None:
    long_ago = VirtualClock(datetime.now(UTC) - timedelta(days=20))
    Authority(tmp_path / "keys", long_ago, lifetime=timedelta(days=10)).renew("sat-1")
    with running(tmp_path / "other", tmp_path / "keys") as strict:
        with strict.client() as client, pytest.raises((Untrusted, LinkClosed)):
            client.hello(a_hello())
        in_time(lambda: strict.refusals("expired") == 1)
        own.renew("sat-1")
        with strict.client() as client:
            client.hello(a_hello())


def test_a_gateways_certificate_does_not_make_a_satellite(ground: Ground) -> None:
    context = ssl.create_default_context(cafile=str(ground.keys / "ground" / "authority.pem"))
    context.load_cert_chain(ground.keys / "ground" / "gateway.pem", ground.keys / "ground" / "gateway.key")
    with pytest.raises(httpx.TransportError), httpx.Client(verify=context, trust_env=False) as client:
        client.get(f"{ground.server.url}/v1/artifacts/x")
    in_time(lambda: ground.refusals("stranger") == 1)


def test_a_revoked_satellite_is_turned_away_in_the_middle_of_its_session(tmp_path: Path, own: Authority) -> None:
    with running(tmp_path / "ground", tmp_path / "keys") as ground, ground.client() as client:
        client.hello(a_hello())
        own.revoke("sat-1")
        with pytest.raises(Untrusted, match="was revoked; ask"):
            client.hello(a_hello(2))
        assert ground.refusals("revoked") == 1
        own.renew("sat-1")
        with ground.client() as renewed:
            renewed.hello(a_hello(2))


def test_a_satellite_that_speaks_for_another_is_refused(ground: Ground) -> None:
    with ground.client("sat-2") as client, pytest.raises(Untrusted, match="may not speak for 'sat-1'"):
        client.hello(a_hello())
    assert ground.refusals("impersonation") == 1


def test_a_replayed_hello_is_refused_and_readmission_lets_a_new_disk_speak(ground: Ground) -> None:
    with ground.client() as client:
        client.hello(a_hello(1))
        client.hello(a_hello(2, "2" * 32))
        with pytest.raises(Untrusted, match="session 1 of sat-1 is over"):
            client.hello(a_hello(1))
        assert ground.refusals("replayed") == 1
        assert ground.parts.ledger.readmit("sat-1")
        client.hello(a_hello(1))


def test_uploads_and_messages_that_are_too_large_are_refused(tmp_path: Path, keys: Path) -> None:
    with running(tmp_path, keys, max_bundle_bytes=1_000) as ground:
        with ground.client() as client, pytest.raises(BadInput, match="413"):
            client.begin(digest_of(b"bundle"), Bytes(1_001))
        with ground.raw() as client:
            assert client.post("/v1/contacts", content=b"x" * 100_000).status_code == 413
        assert ground.refusals("too_large") == 2


def test_a_gateway_of_another_mission_is_not_spoken_to(ground: Ground, own: Authority, tmp_path: Path) -> None:
    with ground.client(keys=tmp_path / "keys") as client, pytest.raises(Untrusted, match="is not the ground"):
        client.hello(a_hello())


def test_nothing_is_said_to_a_gateway_without_tls(keys: Path) -> None:
    with pytest.raises(BadInput, match="https"):
        GatewayClient("http://127.0.0.1:1", read_credentials(keys / "satellites" / "sat-1"))


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HT", b"POST /v1/contacts HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{"],
    ids=["nothing", "half a head", "half a message"],
)
def test_a_client_that_dawdles_is_dropped(tmp_path: Path, keys: Path, said: bytes) -> None:
    short = timedelta(seconds=0.3)
    with running(tmp_path, keys, head=short, silence=short) as ground, ground.connected() as connection:
        connection.sendall(said)
        answer = b""
        while data := receive(connection):
            answer += data
            if b"408" in answer:
                break
        assert (b"408" in answer) == (b"Length" in said)
        in_time(lambda: ground.refusals("too_slow") == 1)


def receive(connection: ssl.SSLSocket) -> bytes:
    try:
        return connection.recv(4_096)
    except (ConnectionResetError, ssl.SSLError):
        return b""


def test_a_head_that_drips_in_is_dropped_although_it_is_never_silent(tmp_path: Path, keys: Path) -> None:
    with running(tmp_path, keys, head=timedelta(seconds=0.5)) as ground, ground.connected() as connection:
        for _ in range(2_000):
            try:
                connection.sendall(b"G")
            except OSError:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("it was never dropped")
        assert ground.refusals("too_slow") == 1


def test_a_handshake_that_never_comes_is_dropped(tmp_path: Path, keys: Path) -> None:
    with running(tmp_path, keys, handshake=timedelta(seconds=0.3)) as ground:
        with socket.create_connection(("127.0.0.1", ground.server.port)) as silent:
            silent.settimeout(20)
            assert silent.recv(1) == b""
        in_time(lambda: ground.refusals("too_slow") == 1)


def test_more_connections_from_one_address_than_are_allowed_are_closed_and_room_is_made_again(
    tmp_path: Path, keys: Path
) -> None:
    with running(tmp_path, keys, max_connections_from_address=3) as ground:
        held = [ground.connected() for _ in range(3)]
        with socket.create_connection(("127.0.0.1", ground.server.port)) as one_more:
            one_more.settimeout(20)
            assert receive_plain(one_more) == b""
        assert ground.refusals("too_many") == 1
        for connection in held:
            connection.close()

        def heard() -> bool:
            try:
                with ground.client() as client:
                    client.hello(a_hello())
            except LinkClosed:
                return False
            return True

        in_time(heard)


def receive_plain(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1)
    except ConnectionResetError:
        return b""


def test_a_satellites_newest_connection_takes_the_place_of_its_oldest(tmp_path: Path, keys: Path) -> None:
    with running(tmp_path, keys, max_connections_of_satellite=2) as ground:
        oldest, second, newest = (ground.connected() for _ in range(3))
        assert receive(oldest) == b""
        for connection in (second, newest):
            connection.sendall(b"GET /v1/artifacts/x HTTP/1.1\r\nHost: x\r\n\r\n")
            assert receive(connection).startswith(b"HTTP/1.1 404")
        for connection in (oldest, second, newest):
            connection.close()


def deliver(client: GatewayClient) -> bytes:
    bundle = pack("sat-1", LAUNCH, [a_sample(number) for number in range(3)])
    transfer = client.begin(digest_of(bundle), Bytes(len(bundle)))
    client.send(transfer, memoryview(bundle), Bytes(len(bundle)), lambda count: None)
    return bundle


def test_the_metrics_tell_of_a_session(ground: Ground) -> None:
    with ground.client() as client:
        client.hello(a_hello())
        bundle = deliver(client)
        during = ground.metrics()
        goodbye = Goodbye(
            satellite="sat-1",
            session="1" * 32,
            bundles=1,
            samples=3,
            bytes_down=Bytes(len(bundle)),
            bytes_up=Bytes(0),
            complete=True,
        )
        client.goodbye(goodbye)
    after = ground.metrics()
    assert during['orbitloop_contact_open{satellite="sat-1"}'] == 1
    assert after['orbitloop_bundles_total{satellite="sat-1"}'] == 1
    assert after['orbitloop_samples_total{satellite="sat-1"}'] == 3
    assert after['orbitloop_sessions_total{satellite="sat-1"}'] == 1
    assert after['orbitloop_queued_samples{satellite="sat-1"}'] == 7
    assert after['orbitloop_queued_bytes{satellite="sat-1"}'] == 900
    assert after['orbitloop_last_contact_timestamp_seconds{satellite="sat-1"}'] == LAUNCH.timestamp()
    assert after['orbitloop_payload_bytes_total{direction="in",satellite="sat-1"}'] > len(bundle)
    assert httpx.get(f"{ground.admin.url}/healthz", trust_env=False).json() == {"status": "ok"}


def test_no_secret_is_logged_measured_or_answered(tmp_path: Path, own: Authority) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines("gateway"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with running(tmp_path / "ground", tmp_path / "keys", access_log=True) as ground:
            with ground.client() as client:
                client.hello(a_hello())
                deliver(client)
                own.revoke("sat-1")
                with pytest.raises(Untrusted) as refused:
                    client.hello(a_hello())
            said = written.getvalue() + str(ground.metrics()) + str(refused.value) + repr(ground.parts)
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    assert "sat-1" in said
    for secret in tmp_path.glob("keys/**/*.key"):
        data = secret.read_bytes()
        lines = data.decode().splitlines()[1:-1] if data.startswith(b"-----") else [data.hex(), repr(data)[2:-1]]
        for line in lines:
            assert line not in said, secret
    assert "PRIVATE KEY" not in said


def test_many_strangers_at_once_do_not_keep_a_satellite_out(ground: Ground) -> None:
    strangers = [socket.create_connection(("127.0.0.1", ground.server.port)) for _ in range(60)]
    threads = [threading.Thread(target=stranger.sendall, args=(b"\x16\x03\x01",)) for stranger in strangers]
    for thread in threads:
        thread.start()
    with ground.client() as client:
        assert client.hello(a_hello()).received == 0
    for thread, stranger in zip(threads, strangers, strict=True):
        thread.join()
        stranger.close()


class RecordingShaper(UserShaper):
    """What was asked for, by peer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Peer, Bytes]] = []

    def pace(self, peer: Peer, size: Bytes) -> timedelta:
        self.asked.append((peer, size))
        return super().pace(peer, size)


def test_an_update_goes_up_in_small_pieces_each_of_which_asks_for_its_time(tmp_path: Path, keys: Path) -> None:
    parts = compose(GroundSettings(folder=tmp_path, keys=keys / "ground"), VirtualClock(LAUNCH))
    path = tmp_path / "update"
    path.write_bytes(bytes(50_000))
    digest, size = digest_of(path.read_bytes()), Bytes(50_000)
    parts.ledger.publish_update(
        PublishedUpdate(satellite="sat-1", digest=digest, size=size, base=FLYING, result=FLYING, path=path)
    )
    with RecordingShaper() as shaper:
        shaper.limit(Peer(address="127.0.0.1"), BitsPerSecond(100_000_000))
        credentials = read_credentials(keys / "satellites" / "sat-1")
        with (
            ServerThread(create_server(parts, shaper=shaper)) as server,
            GatewayClient(server.url, credentials) as client,
            client.fetch(digest, size, Spans.of([(0, size)])) as pieces,
        ):
            fetched = b"".join(piece for _, piece in pieces)
    parts.ledger.close()
    assert fetched == path.read_bytes()
    sizes = [asked for peer, asked in shaper.asked if peer == Peer(address="127.0.0.1")]
    assert sum(sizes) == size
    assert max(sizes) <= 4_096
