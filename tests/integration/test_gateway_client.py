"""What the satellite does with answers that its own ground would not give."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orbitloop.adapters.shaping import UserShaper
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.testing.spool import MemorySpool
from orbitloop.wire.messages import Goodbye, Offer
from orbitloop_edge.adapters.credentials import read_credentials
from orbitloop_edge.adapters.egress import Egress
from orbitloop_edge.adapters.gateway import GatewayClient
from orbitloop_edge.adapters.inbox import FolderInbox
from orbitloop_edge.usecases.claims import Claims
from orbitloop_edge.usecases.transfers import fetch_artifact, send_bundles
from orbitloop_ground.adapters.tls import gateway_context

UPDATE = b"update" * 100
OFFER = Offer(digest=digest_of(UPDATE), size=Bytes(len(UPDATE)), base=digest_of(b"old"), result=digest_of(b"new"))


def crossed(count: Bytes) -> None:
    """Nobody counts."""


class Stranger(ThreadingHTTPServer):
    """Answers every request with ``status`` and ``headers``, and remembers what it was asked for."""

    def __init__(self, keys: Path, status: int, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.socket = gateway_context(keys / "ground").wrap_socket(self.socket, server_side=True)
        self.status, self.headers = status, headers
        self.asked: list[str] = []
        self.lengths: list[int] = []
        self.url = f"https://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Stranger

    def _answer(self) -> None:
        self.server.lengths.append(len(self.rfile.read(int(self.headers.get("Content-Length", 0)))))
        self.server.asked.append(f"{self.command} {self.path}")
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815  # http.server looks for these names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's own name
        """Nothing on the console."""


@contextmanager
def answering(keys: Path, status: int, **headers: str) -> Iterator[Stranger]:
    with Stranger(keys, status, {name.replace("_", "-"): value for name, value in headers.items()}) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def test_a_bundle_goes_nowhere_but_to_the_ground_whatever_location_is_answered(keys: Path) -> None:
    bundle = digest_of(b"bundle")
    with (
        answering(keys, 200) as elsewhere,
        answering(keys, 201, Upload_Offset="0", Location=f"{elsewhere.url}/take") as ground,
        GatewayClient(ground.url, read_credentials(keys / "satellites" / "sat-1")) as client,
    ):
        with pytest.raises(NotYet, match="kept bundle"):
            client.send(client.begin(bundle, Bytes(6)), memoryview(b"bundle"), Bytes(6), crossed)
        assert ground.asked == ["POST /v1/bundles", f"PATCH /v1/bundles/{bundle}"]
        assert elsewhere.asked == []


@pytest.mark.parametrize("status", [401, 403, 404, 413, 416])
def test_an_update_that_is_not_served_keeps_what_arrived_and_is_asked_for_again(
    status: int, tmp_path: Path, keys: Path
) -> None:
    inbox = FolderInbox(tmp_path)
    inbox.keep(OFFER.digest, [(0, UPDATE[:50])])
    with (
        answering(keys, status) as ground,
        GatewayClient(ground.url, read_credentials(keys / "satellites" / "sat-1")) as client,
        pytest.raises(NotYet, match=str(status)),
    ):
        fetch_artifact(client, OFFER, inbox, crossed)
    assert inbox.held(OFFER.digest) == Spans.up_to(50)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_bundle_that_is_refused_for_good_is_sealed_afresh_next_time_and_smaller(status: int, keys: Path) -> None:
    spool = MemorySpool("sat-1", VirtualClock(LAUNCH), budget=Bytes(2**20))
    for number in range(3):
        spool.add(*a_sample(number))
    refused = spool.seal(Bytes(2**20))
    with (
        answering(keys, status) as ground,
        GatewayClient(ground.url, read_credentials(keys / "satellites" / "sat-1")) as client,
        pytest.raises(BadInput, match=str(status)),
    ):
        list(send_bundles(client, Claims(spool, Bytes(2**20), Bytes(2**20)), crossed))
    afresh = spool.seal(Bytes(2**20))
    assert refused is not None
    assert afresh is not None
    assert len(afresh[1]) < len(refused[1])
    assert spool.state().samples == 3


@pytest.mark.parametrize("gaps", ["x", "5-2", "0-9", "3-", "-4", "2-3,", "9" * 40 + "-" + "9" * 41], ids=repr)
def test_gaps_that_cannot_be_are_refused(gaps: str, keys: Path) -> None:
    with (
        answering(keys, 201, Upload_Offset="2", Orbitloop_Missing=gaps) as ground,
        GatewayClient(ground.url, read_credentials(keys / "satellites" / "sat-1")) as client,
        pytest.raises(BadInput),
    ):
        client.begin(digest_of(b"bundle"), Bytes(6))


def test_the_first_gap_is_sent_and_no_byte_of_what_is_held(keys: Path) -> None:
    bundle = digest_of(b"bundle")
    with (
        answering(keys, 201, Upload_Offset="2", Orbitloop_Missing="2-2,4-5") as ground,
        GatewayClient(ground.url, read_credentials(keys / "satellites" / "sat-1")) as client,
    ):
        transfer = client.begin(bundle, Bytes(6))
        assert transfer.held == Spans.of([(0, 2), (3, 4)])
        ground.headers = {"Upload-Offset": "4", "Orbitloop-Missing": "4-5"}
        now = client.send(transfer, memoryview(b"bundle"), Bytes(6), crossed)
        assert ground.lengths == [0, 1]
        assert now.held == Spans.up_to(4)


def a_goodbye() -> Goodbye:
    return Goodbye(
        satellite="sat-1",
        session="5e55" * 8,
        bundles=0,
        samples=0,
        bytes_down=Bytes(0),
        bytes_up=Bytes(0),
        complete=True,
    )


def test_only_the_pieces_of_bundles_wait_for_their_turn(keys: Path) -> None:
    bundle, data = digest_of(b"bundle"), bytes(10_000)
    turns: list[int] = []
    with (
        answering(keys, 200, Upload_Offset="0") as ground,
        GatewayClient(ground.url, read_credentials(keys / "satellites" / "sat-1"), turn=turns.append) as client,
    ):
        client.goodbye(a_goodbye())
        transfer = client.begin(bundle, Bytes(len(data)))
        assert turns == []
        ground.headers = {"Upload-Offset": str(len(data))}
        assert client.send(transfer, memoryview(data), Bytes(len(data)), crossed).complete
        assert sum(turns) == len(data)
        client.goodbye(a_goodbye())
        assert sum(turns) == len(data)


def test_threads_that_send_at_once_share_one_rate(keys: Path) -> None:
    size, rate = 150_000, BitsPerSecond(4_000_000)
    policy = LinkPolicy(downlink=rate, reserve_percent=10)
    digests = [digest_of(bytes([number])) for number in range(4)]
    with (
        answering(keys, 200, Upload_Offset="0") as ground,
        UserShaper() as shaper,
        Egress(shaper, policy).towards("127.0.0.1") as turn,
        GatewayClient(ground.url, read_credentials(keys / "satellites" / "sat-1"), turn=turn) as client,
        ThreadPoolExecutor(len(digests)) as threads,
    ):
        transfers = [client.begin(digest, Bytes(size)) for digest in digests]
        ground.headers = {"Upload-Offset": str(size)}
        begun = time.monotonic()
        sending = [
            threads.submit(client.send, each, memoryview(bytes(size)), Bytes(size), crossed) for each in transfers
        ]
        assert all(sent.result().complete for sent in sending)
        took = time.monotonic() - begun
    assert sum(ground.lengths) == size * len(digests)
    # However slow the machine is, it is never too fast; that it loses no time is told in virtual time.
    assert size * len(digests) * 8 / took < 1.1 * rate * 0.9
