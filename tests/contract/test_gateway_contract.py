"""What every convergence layer promises the satellite, against a real ground: HTTP and datagrams alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from orbitloop.adapters.sealing import LinkKey
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, NotYet, Untrusted
from orbitloop.domain.ranges import Spans
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.ports.gateway import Gateway
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import pack
from orbitloop.wire.messages import Goodbye, Hello, Offer, Telemetry, UpdateReport
from orbitloop_edge.adapters.credentials import Credentials, read_credentials
from orbitloop_edge.adapters.datagrams import DatagramGateway, DatagramLink
from orbitloop_edge.adapters.gateway import GatewayClient
from orbitloop_edge.adapters.inbox import FolderInbox
from orbitloop_edge.usecases.transfers import fetch_artifact, send_missing
from orbitloop_ground.adapters.datagram_answers import DatagramAnswers
from orbitloop_ground.adapters.datagrams import DatagramServer, DatagramSettings
from orbitloop_ground.app import Dependencies, compose, gateway_thread
from orbitloop_ground.http.server import ServerThread
from orbitloop_ground.settings import GroundSettings

CLOCK = VirtualClock(LAUNCH)
FLYING, NEXT = digest_of(b"weights"), digest_of(b"next weights")
LAYERS = ["http", "datagrams"]
PLENTY = Bytes(2**24)
FAST = BitsPerSecond(40_000_000)


@dataclass(kw_only=True)
class Ground:
    """One ground that hears both layers."""

    parts: Dependencies
    http: ServerThread
    datagrams: DatagramServer
    credentials: Credentials

    def connect(self, layer: str, *, datagram: int = 980) -> GatewayClient | DatagramGateway:
        if layer == "http":
            return GatewayClient(self.http.url, self.credentials, patience=timedelta(seconds=30))
        link = DatagramLink(rate=FAST, datagram=datagram, patience=timedelta(seconds=30))
        return DatagramGateway(("127.0.0.1", self.datagrams.port), "sat-1", LinkKey(self.credentials.link_key), link)

    def publish(self, data: bytes) -> Offer:
        path = self.parts.settings.folder / hexadecimal(digest_of(data))
        path.write_bytes(data)
        update = PublishedUpdate(
            satellite="sat-1", digest=digest_of(data), size=Bytes(len(data)), base=FLYING, result=NEXT, path=path
        )
        self.parts.ledger.publish_update(update)
        return Offer(digest=update.digest, size=update.size, base=FLYING, result=NEXT)


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Ground]:
    options = GroundSettings(
        folder=tmp_path_factory.mktemp("ground"), keys=keys / "ground", max_bundle_bytes=PLENTY, max_open_uploads=64
    )
    parts = compose(options, CLOCK)
    answers = DatagramAnswers(parts.receiver, parts.reception, parts.artifacts.find)
    with (
        gateway_thread(parts) as http,
        DatagramServer(answers, parts.link_keys, DatagramSettings(rate=FAST), parts.metrics) as datagrams,
    ):
        credentials = read_credentials(keys / "satellites" / "sat-1")
        yield Ground(parts=parts, http=http, datagrams=datagrams, credentials=credentials)
    parts.ledger.close()


@pytest.fixture
def ground(_shared: Ground) -> Ground:
    return _shared


@pytest.fixture(params=LAYERS)
def gateway(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Gateway]:
    with ground.connect(request.param) as made:
        yield made


class Meter:
    """Counts what crossed."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, count: Bytes) -> None:
        self.count += count


_numbers = iter(range(0, 10**6, 100))


def a_bundle(count: int = 3, *, size: int = 1_000) -> bytes:
    first = next(_numbers)
    return pack("sat-1", LAUNCH, [a_sample(first + number, size=size) for number in range(count)])


def a_hello(**changes: object) -> Hello:
    said = {"satellite": "sat-1", "flying": FLYING, "clock": LAUNCH, "queued_samples": 0, "queued_bytes": 0}
    return Hello.model_validate(said | changes)


def delivered(gateway: Gateway, bundle: bytes) -> int:
    """Send a bundle whole; returns the bytes that crossed."""
    meter = Meter()
    transfer = gateway.begin(digest_of(bundle), Bytes(len(bundle)))
    assert send_missing(gateway, transfer, memoryview(bundle), PLENTY, meter).complete
    return meter.count


def test_the_messages_of_a_session_reach_the_ledger(gateway: Gateway, ground: Ground) -> None:
    welcome = gateway.hello(a_hello(queued_samples=7))
    assert welcome.clock == CLOCK.now()
    heard = ground.parts.ledger.last_hello("sat-1")
    assert heard is not None
    assert heard[1].queued_samples == 7
    telemetry = Telemetry(
        satellite="sat-1", frames_captured=5, frames_processed=5, captured_bytes=Bytes(9), samples_spooled=3
    )
    gateway.telemetry(telemetry)
    assert ground.parts.ledger.last_telemetry("sat-1") == (CLOCK.now(), telemetry)
    report = UpdateReport(
        satellite="sat-1", update=NEXT, outcome=Outcome.REFUSED, reason="worse " * 300, flying=FLYING, at=LAUNCH
    )
    gateway.report(report)
    gateway.report(report)
    assert ground.parts.ledger.reports("sat-1") == [report]
    nothing = Bytes(0)
    gateway.goodbye(
        Goodbye(
            satellite="sat-1", session="", bundles=0, samples=0, bytes_down=nothing, bytes_up=nothing, complete=True
        )
    )


def test_nobody_speaks_for_another_satellite(gateway: Gateway) -> None:
    with pytest.raises(Untrusted, match="may not speak for"):
        gateway.hello(a_hello(satellite="sat-2"))


def test_a_bundle_is_sent_whole_and_receipted_once(gateway: Gateway) -> None:
    bundle = a_bundle(20)
    name = digest_of(bundle)
    assert gateway.receipt(name) is None
    assert delivered(gateway, bundle) == len(bundle)
    receipt = gateway.receipt(name)
    assert receipt is not None
    assert (receipt.bundle, receipt.samples) == (name, 20)
    assert gateway.begin(name, Bytes(len(bundle))).complete
    assert gateway.receipt(name) == receipt


def test_resuming_with_nothing_missing_sends_nothing_and_ends(gateway: Gateway) -> None:
    bundle = a_bundle()
    delivered(gateway, bundle)
    assert delivered(gateway, bundle) == 0
    receipt = gateway.receipt(digest_of(bundle))
    assert receipt is not None
    assert delivered(gateway, bundle) == 0


def test_the_same_small_bundle_sent_many_times_never_fails(gateway: Gateway) -> None:
    bundle = a_bundle(1)
    crossed = []
    for _ in range(5):
        crossed.append(delivered(gateway, bundle))
        receipt = gateway.receipt(digest_of(bundle))
        assert receipt is not None
        assert receipt.samples == 1
    assert crossed == [len(bundle), 0, 0, 0, 0]


def test_a_budget_is_kept_to_the_byte_and_the_rest_follows(gateway: Gateway) -> None:
    bundle = a_bundle(20)
    meter = Meter()
    transfer = gateway.begin(digest_of(bundle), Bytes(len(bundle)))
    for most in (5_000, 1, 333):
        before = transfer.held.count
        transfer = send_missing(gateway, transfer, memoryview(bundle), Bytes(most), meter)
        assert transfer.held.count - before == most
    assert send_missing(gateway, transfer, memoryview(bundle), PLENTY, meter).complete
    assert meter.count == len(bundle)
    assert gateway.receipt(digest_of(bundle)) is not None


@pytest.mark.parametrize("gaps", [[(1_000, 3_000)], [(0, 1), (5_000, 5_700), (9_999, 12_000)]], ids=len)
def test_only_gaps_are_sent(gateway: Gateway, ground: Ground, gaps: list[tuple[int, int]]) -> None:
    bundle = a_bundle(20)
    digest, size = digest_of(bundle), Bytes(len(bundle))
    upload = ground.parts.uploads.open("sat-1", digest, size)
    for span in Spans.of(gaps).missing(size):
        ground.parts.uploads.write(upload, span.start, bundle[span.start : span.end])
    transfer = gateway.begin(digest, size)
    assert transfer.missing == Spans.of(gaps)
    assert delivered(gateway, bundle) == Spans.of(gaps).count
    receipt = gateway.receipt(digest)
    assert receipt is not None
    assert receipt.samples == 20


def test_more_gaps_than_a_report_can_name_are_all_filled(gateway: Gateway, ground: Ground) -> None:
    bundle = a_bundle(40, size=4_000)
    digest, size = digest_of(bundle), Bytes(len(bundle))
    upload = ground.parts.uploads.open("sat-1", digest, size)
    for start in range(0, len(bundle) - 1, 1_000):
        ground.parts.uploads.write(upload, start, bundle[start : start + 600])
    meter = Meter()
    transfer = gateway.begin(digest, size)
    assert send_missing(gateway, transfer, memoryview(bundle), PLENTY, meter).complete
    assert meter.count == sum(max(0, min(start + 1_000, size) - start - 600) for start in range(0, size, 1_000))
    assert gateway.receipt(digest) is not None


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda bundle: bundle[:-1] + bytes([bundle[-1] ^ 1]), Untrusted),
        (lambda _: b"not a bundle at all", BadInput),
    ],
    ids=["damaged", "no bundle"],
)
def test_a_bad_bundle_is_refused_and_forgotten(
    gateway: Gateway, spoil: Callable[[bytes], bytes], error: type[Exception]
) -> None:
    bundle = a_bundle()
    bad = spoil(bundle)
    name = digest_of(bundle) if error is Untrusted else digest_of(bad)

    def send_and_ask(gateway: Gateway) -> None:
        transfer = gateway.begin(name, Bytes(len(bad)))
        send_missing(gateway, transfer, memoryview(bad), PLENTY, Meter())
        gateway.receipt(name)

    with pytest.raises(error):
        send_and_ask(gateway)
    assert gateway.receipt(name) is None
    if error is Untrusted:
        delivered(gateway, bundle)
        assert gateway.receipt(name) is not None


def test_a_bundle_too_large_is_refused_at_once(gateway: Gateway) -> None:
    with pytest.raises(BadInput, match=r"largest|limit"):
        gateway.begin(digest_of(b"large"), Bytes(PLENTY + 1))


@pytest.mark.parametrize("held", [[], [(0, 5_000)], [(100, 300), (7_000, 50_000)]], ids=len)
def test_an_update_comes_up_by_its_missing_spans_only(
    gateway: Gateway, ground: Ground, held: list[tuple[int, int]], tmp_path: Path
) -> None:
    data = np.random.default_rng(next(_numbers)).bytes(60_000)
    offer = ground.publish(data)
    inbox = FolderInbox(tmp_path)
    inbox.keep(offer.digest, [(start, data[start:end]) for start, end in held])
    meter = Meter()
    assert fetch_artifact(gateway, offer, inbox, meter).read_bytes() == data
    assert meter.count == len(data) - Spans.of(held).count


def test_an_update_that_was_never_published_is_to_be_asked_for_again(gateway: Gateway, tmp_path: Path) -> None:
    offer = Offer(digest=digest_of(b"never"), size=Bytes(5), base=FLYING, result=NEXT)
    with pytest.raises(NotYet, match="not served now"):
        fetch_artifact(gateway, offer, FolderInbox(tmp_path), Meter())


@pytest.mark.parametrize("layers", [("http", "datagrams"), ("datagrams", "http")], ids=" then ".join)
def test_a_pass_begins_on_one_layer_and_goes_on_with_the_other(
    ground: Ground, layers: tuple[str, str], tmp_path: Path
) -> None:
    bundle, data = a_bundle(40, size=4_000), np.random.default_rng(next(_numbers)).bytes(60_000)
    offer, inbox = ground.publish(data), FolderInbox(tmp_path)
    down, up = Meter(), Meter()
    with ground.connect(layers[0]) as first:
        transfer = first.begin(digest_of(bundle), Bytes(len(bundle)))
        send_missing(first, transfer, memoryview(bundle), Bytes(70_000), down)
        with first.fetch(offer.digest, offer.size, Spans.up_to(offer.size)) as pieces:
            some: list[tuple[int, bytes]] = []
            while sum(len(piece) for _, piece in some) < 20_000:
                some.append(next(pieces))
        inbox.keep(offer.digest, some)
        up.count += sum(len(piece) for _, piece in some)
    with ground.connect(layers[1]) as second:
        transfer = second.begin(digest_of(bundle), Bytes(len(bundle)))
        assert send_missing(second, transfer, memoryview(bundle), PLENTY, down).complete
        assert second.receipt(digest_of(bundle)) is not None
        assert fetch_artifact(second, offer, inbox, up).read_bytes() == data
    assert down.count == len(bundle)
    assert up.count == len(data)
