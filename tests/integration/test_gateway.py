"""The ground's gateway, spoken to over real sockets: tus, messages, artifacts."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard
from starlette.types import ASGIApp, Receive, Scope, Send

from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.sample_store import Blobs
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.testing.blobs import MemoryBlobs
from orbitloop.testing.builders import a_digest
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import MAGIC, pack
from orbitloop.wire.messages import Hello, SketchText, Telemetry, UpdateReport
from orbitloop_edge.adapters.credentials import read_credentials
from orbitloop_ground.app import Dependencies, compose, create_app, gateway_thread
from orbitloop_ground.http.server import ServerThread
from orbitloop_ground.settings import GroundSettings

TUS = {"Tus-Resumable": "1.0.0"}
BODY = TUS | {"Content-Type": "application/offset+octet-stream"}
CLOCK = VirtualClock(LAUNCH)
FLYING, NEXT = digest_of(b"weights"), digest_of(b"next weights")


def settings(folder: Path, keys: Path, **changes: Any) -> GroundSettings:
    return GroundSettings(folder=folder, keys=keys / "ground", **changes)


def certified(keys: Path, satellite: str = "sat-1") -> ssl.SSLContext:
    return read_credentials(keys / "satellites" / satellite).tls


def announced(digest: Digest) -> str:
    return f"filename eA==,digest {base64.b64encode(digest.encode()).decode()}"


class Ground:
    """A running gateway, its parts, and clients with the certificates of sat-1 and of sat-2."""

    def __init__(self, parts: Dependencies, server: ServerThread) -> None:
        self.parts = parts
        self.server = server
        keys = parts.settings.keys.parent
        self.client = httpx.Client(base_url=server.url, verify=certified(keys), trust_env=False)
        self.other = httpx.Client(base_url=server.url, verify=certified(keys, "sat-2"), trust_env=False)

    def close(self) -> None:
        self.client.close()
        self.other.close()
        self.parts.ledger.close()

    def create(self, bundle: bytes, digest: Digest | None = None, size: int | None = None) -> httpx.Response:
        length = str(len(bundle) if size is None else size)
        headers = TUS | {"Upload-Length": length, "Upload-Metadata": announced(digest or digest_of(bundle))}
        return self.client.post("/v1/bundles", headers=headers)

    def patch(self, where: str, data: bytes, offset: int = 0, **headers: str) -> httpx.Response:
        return self.client.patch(where, content=data, headers=BODY | {"Upload-Offset": str(offset)} | headers)

    def upload(self, bundle: bytes, digest: Digest | None = None) -> httpx.Response:
        return self.patch(self.create(bundle, digest).headers["Location"], bundle)

    def received(self) -> int:
        return self.parts.ledger.count_received("sat-1")


class Socket:
    """One listening uvicorn for a whole module: starting and ending one takes longer than most tests."""

    def __init__(self) -> None:
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


def parts_of(options: GroundSettings, blobs: Blobs | None = None) -> Dependencies:
    made = compose(options, CLOCK)
    return made if blobs is None else replace(made, blobs=blobs)


@contextmanager
def running(options: GroundSettings, blobs: Blobs | None = None) -> Iterator[Ground]:
    """A gateway of its own."""
    parts = parts_of(options, blobs)
    with gateway_thread(parts) as server:
        ground = Ground(parts, server)
        yield ground
        ground.close()


@pytest.fixture(scope="module")
def listening(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Socket, ServerThread]]:
    listener = Socket()
    parts = parts_of(settings(tmp_path_factory.mktemp("listening"), keys))
    with gateway_thread(parts, listener) as server:
        yield listener, server
    parts.ledger.close()


@pytest.fixture
def ground(tmp_path: Path, keys: Path, listening: tuple[Socket, ServerThread]) -> Iterator[Ground]:
    listener, server = listening
    parts = parts_of(settings(tmp_path / "ground", keys, max_bundle_bytes=200_000, max_unpacked_bytes=400_000))
    listener.app = create_app(parts)
    ground = Ground(parts, server)
    yield ground
    ground.close()


def a_bundle(first: int = 0, count: int = 3, satellite: str = "sat-1") -> bytes:
    return pack(satellite, LAUNCH, [a_sample(first + number, satellite=satellite) for number in range(count)])


def test_options_name_version_extensions_and_the_largest_bundle(ground: Ground) -> None:
    answer = ground.client.options("/v1/bundles")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Extension"] == "creation,termination"
    assert answer.headers["Tus-Max-Size"] == "200000"


def test_a_bundle_sent_whole_is_stored_with_its_pixels(ground: Ground) -> None:
    bundle = a_bundle()
    answer = ground.upload(bundle)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(len(bundle)))
    receipt = ground.client.get(f"/v1/bundles/{digest_of(bundle)}/receipt").json()
    assert (receipt["bundle"], receipt["samples"]) == (digest_of(bundle), 3)
    waiting = ground.parts.ledger.waiting()
    assert [item.sample.id for item in waiting] == [a_sample(number)[0].id for number in range(3)]
    assert [ground.parts.blobs.get(item.blob) for item in waiting] == [a_sample(number)[1] for number in range(3)]


def test_a_bundle_sent_in_pieces_is_stored_once_it_is_whole(ground: Ground) -> None:
    bundle = a_bundle()
    where = ground.create(bundle).headers["Location"]
    for start in range(0, len(bundle), 1_000):
        assert ground.client.get(f"{where}/receipt").status_code == 404
        assert ground.patch(where, bundle[start : start + 1_000], start).status_code == 204
    assert ground.client.get(f"{where}/receipt").json()["samples"] == 3


def test_creating_a_bundle_again_gives_its_place_and_where_it_stands(ground: Ground) -> None:
    bundle = a_bundle()
    first = ground.create(bundle)
    assert (first.status_code, first.headers["Upload-Offset"]) == (201, "0")
    ground.patch(first.headers["Location"], bundle[:500])
    again = ground.create(bundle)
    assert (again.status_code, again.headers["Upload-Offset"]) == (201, "500")
    assert again.headers["Location"] == first.headers["Location"]
    assert ground.create(bundle, size=len(bundle) + 1).status_code == 422


def test_a_bundle_sent_twice_is_counted_once(ground: Ground) -> None:
    bundle = a_bundle()
    ground.upload(bundle)
    again = ground.create(bundle)
    assert again.headers["Upload-Offset"] == str(len(bundle))
    assert ground.patch(again.headers["Location"], b"", len(bundle)).status_code == 204
    assert ground.patch(again.headers["Location"], bundle, 0).status_code == 409
    assert ground.create(bundle, size=7).status_code == 422
    assert ground.received() == 3


def test_a_sample_in_two_bundles_is_counted_once(ground: Ground) -> None:
    assert ground.upload(a_bundle(0, 3)).status_code == 204
    assert ground.upload(a_bundle(2, 3)).status_code == 204
    assert ground.received() == 5


def test_the_same_small_bundle_sent_many_times_never_fails(ground: Ground) -> None:
    bundle = a_bundle(count=1)
    for _ in range(5):
        where = ground.create(bundle).headers["Location"]
        offset = int(ground.client.head(where, headers=TUS).headers["Upload-Offset"])
        assert ground.patch(where, bundle[offset:], offset).status_code == 204
    assert ground.received() == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Tus-Resumable": "0.2.0"}, 412),
        ({"Content-Type": "application/json"}, 415),
        ({"Upload-Offset": "7"}, 409),
        ({"Upload-Offset": "-1"}, 400),
        ({"Upload-Offset": "nan"}, 400),
    ],
    ids=str,
)
def test_a_wrong_patch_is_refused_with_the_code_that_tus_says(
    ground: Ground, change: dict[str, str], status: int
) -> None:
    bundle = a_bundle()
    where = ground.create(bundle).headers["Location"]
    answer = ground.patch(where, bundle, 0, **change)
    assert answer.status_code == status
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert set(answer.json()) == {"error", "detail"}
    assert ground.client.head(where, headers=TUS).headers["Upload-Offset"] == "0"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upload-Length": "5"}, 400),
        ({"Upload-Metadata": "digest c2hhMjU2Og==", "Upload-Length": "5"}, 400),
        ({"Upload-Metadata": "digest %%%", "Upload-Length": "5"}, 400),
        ({"Upload-Metadata": "digest eA=="}, 400),
        ({"Upload-Metadata": "digest eA==", "Upload-Length": "200001"}, 413),
        ({"Upload-Metadata": "digest eA==", "Upload-Length": "9" * 40}, 400),
    ],
    ids=["no metadata", "no digest", "no base64", "no length", "too large", "endless number"],
)
def test_a_wrong_announcement_is_refused(ground: Ground, headers: dict[str, str], status: int) -> None:
    assert ground.client.post("/v1/bundles", headers=TUS | headers).status_code == status


def test_more_bytes_than_were_announced_are_refused_and_the_rest_still_fits(ground: Ground) -> None:
    bundle = a_bundle()
    where = ground.create(bundle).headers["Location"]
    assert ground.patch(where, bundle + b"more").status_code == 413
    chunked = ground.client.patch(where, content=iter([bundle, b"more"]), headers=BODY | {"Upload-Offset": "0"})
    assert chunked.status_code == 413
    assert ground.patch(where, bundle).status_code == 204
    assert ground.received() == 3


def test_an_upload_that_was_never_announced_or_given_up_is_not_found(ground: Ground) -> None:
    bundle = a_bundle()
    assert ground.client.head(f"/v1/bundles/{digest_of(bundle)}", headers=TUS).status_code == 404
    where = ground.create(bundle).headers["Location"]
    ground.patch(where, bundle[:100])
    assert ground.client.delete(where, headers=TUS).status_code == 204
    assert ground.client.head(where, headers=TUS).status_code == 404
    assert ground.create(bundle).headers["Upload-Offset"] == "0"


def test_a_client_behind_a_proxy_may_say_patch_and_delete_by_header(ground: Ground) -> None:
    bundle = a_bundle()
    where = ground.create(bundle).headers["Location"]
    headers = BODY | {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0"}
    assert ground.client.post(where, content=bundle, headers=headers).status_code == 204
    assert ground.received() == 3
    assert ground.client.post(where, headers=TUS).status_code == 405


def test_a_stock_tus_client_can_deliver_a_bundle_and_go_on_where_it_was(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = pytest.importorskip("tusclient.client")
    bundle = a_bundle(count=20)
    (tmp_path / "bundle").write_bytes(bundle)
    keys = ground.parts.settings.keys.parent / "satellites" / "sat-1"
    certificate = (str(keys / "satellite.pem"), str(keys / "satellite.key"))
    tus = client.TusClient(f"{ground.server.url}/v1/bundles", client_cert=certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(keys / "authority.pem"))
    options: dict[str, Any] = {"chunk_size": 5_000, "metadata": {"digest": digest_of(bundle)}}
    half = tus.uploader(str(tmp_path / "bundle"), **options)
    half.upload_chunk()
    rest = tus.uploader(str(tmp_path / "bundle"), url=half.url, **options)
    assert rest.offset == 5_000
    rest.upload()
    assert ground.received() == 20


def flipped(bundle: bytes) -> bytes:
    return bundle[:-1] + bytes([bundle[-1] ^ 1])


def bomb() -> bytes:
    frame = zstandard.ZstdCompressor(write_content_size=True).compress(bytes(50 * 2**20))
    return MAGIC + bytes.fromhex(hexadecimal(digest_of(frame))) + frame


@pytest.mark.parametrize(
    ("bundle", "announced", "status", "says"),
    [
        (flipped(a_bundle()), digest_of(a_bundle()), 460, "send it again"),
        (a_bundle()[:-10], None, 403, "cut or altered"),
        (b"not a bundle at all", None, 422, "not a bundle"),
        (bomb(), None, 422, "unpacks to 52428800 bytes"),
        (a_bundle(satellite="sat-2"), None, 403, "sat-2"),
    ],
    ids=["tampered on the way", "truncated", "no bundle", "bomb", "of another satellite"],
)
def test_a_bad_bundle_is_discarded_and_touches_nothing_else(
    ground: Ground, bundle: bytes, announced: Digest | None, status: int, says: str
) -> None:
    ground.upload(a_bundle(50, 2))
    answer = ground.upload(bundle, announced)
    assert answer.status_code == status
    assert says in answer.json()["detail"]
    where = f"/v1/bundles/{announced or digest_of(bundle)}"
    assert ground.client.head(where, headers=TUS).status_code == 404
    assert not list(ground.parts.settings.folder.glob("uploads/*/*"))
    assert ground.received() == 2
    if announced is not None:
        assert ground.upload(a_bundle()).status_code == 204
        assert ground.received() == 5


def test_an_empty_bundle_announced_with_no_bytes_is_refused_not_stuck(ground: Ground) -> None:
    where = ground.create(b"").headers["Location"]
    assert ground.patch(where, b"").status_code == 422


def test_a_satellite_may_have_only_so_many_unfinished_bundles(ground: Ground) -> None:
    most = ground.parts.settings.max_open_uploads
    for number in range(most):
        ground.patch(ground.create(a_bundle(number)).headers["Location"], a_bundle(number)[:10])
    answer = ground.create(a_bundle(most))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert ground.create(a_bundle(0)).headers["Upload-Offset"] == "10"
    ground.client.delete(f"/v1/bundles/{digest_of(a_bundle(0))}", headers=TUS)
    assert ground.create(a_bundle(most)).status_code == 201


def test_only_the_satellite_itself_may_speak_for_it(ground: Ground) -> None:
    hello = Hello(satellite="sat-1", flying=FLYING, clock=LAUNCH, queued_samples=0, queued_bytes=Bytes(0))
    answer = ground.other.post("/v1/contacts", content=hello.model_dump_json())
    assert (answer.status_code, answer.json()["error"]) == (403, "Impersonated")
    assert ground.parts.ledger.last_hello("sat-1") is None


def test_nobody_sees_the_bundles_of_another_satellite(ground: Ground) -> None:
    bundle = a_bundle()
    where = ground.create(bundle).headers["Location"]
    assert ground.other.head(where, headers=TUS).status_code == 404
    assert ground.other.patch(where, content=bundle, headers=BODY | {"Upload-Offset": "0"}).status_code == 404
    ground.patch(where, bundle)
    assert ground.other.get(f"{where}/receipt").status_code == 404


def publish(ground: Ground, data: bytes, *, base: Digest = FLYING) -> PublishedUpdate:
    path = ground.parts.settings.folder / hexadecimal(digest_of(data))
    path.write_bytes(data)
    update = PublishedUpdate(
        satellite="sat-1", digest=digest_of(data), size=Bytes(len(data)), base=base, result=NEXT, path=path
    )
    ground.parts.ledger.publish_update(update)
    return update


def offered(ground: Ground, flying: Digest = FLYING) -> str | None:
    hello = Hello(satellite="sat-1", flying=flying, clock=LAUNCH, queued_samples=0, queued_bytes=Bytes(0))
    offer = ground.client.post("/v1/contacts", content=hello.model_dump_json()).json()["offer"]
    return None if offer is None else str(offer["digest"])


def report(update: Digest, outcome: Outcome) -> UpdateReport:
    return UpdateReport(satellite="sat-1", update=update, outcome=outcome, flying=FLYING, at=LAUNCH)


def test_the_newest_update_for_what_flies_is_offered(ground: Ground) -> None:
    assert offered(ground) is None
    old, new = publish(ground, b"old"), publish(ground, b"new")
    publish(ground, b"for another base", base=NEXT)
    assert offered(ground) == new.digest
    ground.client.post("/v1/reports", content=report(new.digest, Outcome.ROLLED_BACK).model_dump_json())
    assert offered(ground) == old.digest
    ground.client.post("/v1/reports", content=report(old.digest, Outcome.REFUSED).model_dump_json())
    assert offered(ground) is None
    assert offered(ground, digest_of(b"something else")) is None


def test_a_report_sent_twice_is_recorded_once(ground: Ground) -> None:
    told = report(NEXT, Outcome.APPLIED)
    for _ in range(2):
        assert ground.client.post("/v1/reports", content=told.model_dump_json()).status_code == 204
    assert ground.parts.ledger.reports("sat-1") == [told]


def test_the_last_telemetry_is_kept(ground: Ground) -> None:
    first, last = (
        Telemetry(
            satellite="sat-1",
            frames_captured=count,
            frames_processed=count,
            captured_bytes=Bytes(1),
            samples_spooled=0,
        )
        for count in (1, 2)
    )
    for told in (first, last):
        assert ground.client.post("/v1/telemetry", content=told.model_dump_json()).status_code == 204
    assert ground.parts.ledger.last_telemetry("sat-1") == (LAUNCH, last)


def test_drift_is_told_by_what_the_flying_model_saw_first_and_last(ground: Ground) -> None:
    def say(model: str, brightness: float, frames: int = 4) -> float | None:
        told = SketchText(
            model=a_digest(model),
            frames=frames,
            tiles=64 * frames,
            scores=(0,) * 15 + (20,),
            classes=(20,),
            sums=(brightness * 64 * frames,) * 7,
            squares=((brightness**2 + 0.01) * 64 * frames,) * 7,
        )
        message = Telemetry(
            satellite="sat-1",
            frames_captured=9,
            frames_processed=9,
            captured_bytes=Bytes(1),
            samples_spooled=0,
            sketch=told,
        )
        assert ground.client.post("/v1/telemetry", content=message.model_dump_json()).status_code == 204
        [report] = ground.parts.ledger.node_reports(0)
        return report.drift

    assert say("old", 0.9, frames=3) is None  # too few to say what it usually sees
    assert say("old", 0.3) == 0
    assert say("old", 0.4) == pytest.approx(1.0)
    assert say("new", 0.4) == 0
    assert say("new", 0.4) == 0


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"\xff\xfe", b"[" * 5_000], ids=repr)
def test_a_malformed_message_is_refused(ground: Ground, body: bytes) -> None:
    for path in ("contacts", "reports", "telemetry"):
        answer = ground.client.post(f"/v1/{path}", content=body)
        assert (answer.status_code, answer.json()["error"]) == (422, "BadInput")


def test_a_message_too_long_to_be_one_is_refused(ground: Ground) -> None:
    assert ground.client.post("/v1/reports", content=b"x" * 100_000).status_code == 413


@pytest.mark.parametrize(
    ("headers", "status", "content"),
    [
        ({}, 200, b"0123456789"),
        ({"Range": "bytes=4-"}, 206, b"456789"),
        ({"Range": "bytes=2-3"}, 206, b"23"),
        ({"Range": "bytes=-2"}, 206, b"89"),
        ({"Range": "bytes=4-", "If-Range": "ETAG"}, 206, b"456789"),
        ({"Range": "bytes=4-", "If-Range": '"another"'}, 200, b"0123456789"),
        ({"Range": "bytes=10-"}, 416, None),
    ],
    ids=str,
)
def test_an_artifact_is_served_by_ranges(
    ground: Ground, headers: dict[str, str], status: int, content: bytes | None
) -> None:
    update = publish(ground, b"0123456789")
    etag = f'"{update.digest}"'
    headers = {name: etag if value == "ETAG" else value for name, value in headers.items()}
    answer = ground.client.get(f"/v1/artifacts/{update.digest}", headers=headers)
    assert answer.status_code == status
    if content is not None:
        assert answer.content == content
        assert answer.headers["ETag"] == etag
    else:
        assert answer.headers["Content-Range"] == "bytes */10"


def test_an_artifact_is_only_for_the_satellite_that_it_was_published_for(ground: Ground) -> None:
    update = publish(ground, b"0123456789")
    assert ground.other.get(f"/v1/artifacts/{update.digest}").status_code == 404
    assert ground.client.get("/v1/artifacts/..%2F..%2Fledger.db").status_code == 404


def test_an_artifact_whose_file_is_gone_is_to_be_asked_for_later(ground: Ground) -> None:
    update = publish(ground, b"0123456789")
    update.path.unlink()
    answer = ground.client.get(f"/v1/artifacts/{update.digest}")
    assert (answer.status_code, answer.json()["error"]) == (503, "NotYet")


def test_an_update_that_is_not_what_it_is_said_to_be_cannot_be_published(ground: Ground) -> None:
    update = publish(ground, b"0123456789")
    update.path.write_bytes(b"9876543210")
    with pytest.raises(BadInput, match="is not the file"):
        ground.parts.ledger.publish_update(update)


def test_a_sample_is_consumed_by_one_round_only(ground: Ground) -> None:
    ground.upload(a_bundle(0, 4))
    ledger = ground.parts.ledger
    names = [item.sample.id for item in ledger.waiting(limit=3)]
    assert ledger.consume(names[:2], "round-1") == 2
    assert ledger.consume(names, "round-2") == 1
    assert ledger.consume(names[:2], "round-1") == 0
    assert [item.sample.id for item in ledger.consumed("round-1")] == names[:2]
    assert ledger.count_waiting(["sat-1"]) == 1
    assert ledger.count_waiting(["sat-2"]) == 0


def test_a_port_that_is_taken_is_named(ground: Ground) -> None:
    port = ground.server.port
    second = gateway_thread(ground.parts, port=port)
    with pytest.raises(BadInput, match=f"port {port}.*choose another"):
        second.__enter__()


def test_a_new_connection_takes_over_from_one_that_hangs(ground: Ground) -> None:
    bundle = a_bundle(count=60)
    where = ground.create(bundle).headers["Location"]
    with hanging_patch(ground, where, 0, bundle[:5_000]) as hanging:
        hanging.settimeout(0.2)
        with pytest.raises(TimeoutError):
            hanging.recv(1)
        assert ground.client.head(where, headers=TUS).headers["Upload-Offset"] == "5000"
        assert ground.patch(where, bundle[5_000:], 5_000).status_code == 204
    assert ground.received() == 60


def test_many_connections_that_send_the_same_bundle_at_once_store_it_once(ground: Ground) -> None:
    bundle = a_bundle(count=20)
    threads = [threading.Thread(target=ground.upload, args=(bundle,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    where = ground.create(bundle).headers["Location"]
    offset = int(ground.client.head(where, headers=TUS).headers["Upload-Offset"])
    ground.patch(where, bundle[offset:], offset)
    assert ground.received() == 20


def hanging_patch(ground: Ground, where: str, offset: int, data: bytes) -> socket.socket:
    """A connection that promises 50 000 bytes, sends ``data`` and then says nothing more."""
    plain = socket.create_connection(("127.0.0.1", ground.server.port))
    connection = certified(ground.parts.settings.keys.parent).wrap_socket(plain, server_hostname="gateway.orbitloop")
    head = f"PATCH {where} HTTP/1.1\r\nHost: ground\r\nContent-Length: 50000\r\n"
    tus = "".join(f"{name}: {value}\r\n" for name, value in (BODY | {"Upload-Offset": str(offset)}).items())
    connection.sendall(f"{head}{tus}\r\n".encode() + data)
    return connection


def test_a_connection_that_falls_silent_is_given_up_and_what_it_sent_is_kept(tmp_path: Path, keys: Path) -> None:
    bundle = a_bundle(count=60)
    with running(settings(tmp_path, keys, silence=timedelta(seconds=0.2))) as ground:
        where = ground.create(bundle).headers["Location"]
        with hanging_patch(ground, where, 0, bundle[:5_000]) as connection:
            connection.settimeout(20)
            answer = connection.recv(10_000)
        assert b"204" in answer.splitlines()[0]
        assert b"upload-offset: 5000" in answer.lower()


def test_a_full_disk_keeps_the_bundle_and_the_receipt_finishes_it_later(tmp_path: Path, keys: Path) -> None:
    blobs = MemoryBlobs(full=True)
    with running(settings(tmp_path, keys), blobs) as ground:
        bundle = a_bundle()
        answer = ground.upload(bundle)
        assert (answer.status_code, answer.json()["error"]) == (507, "NoSpace")
        assert "Retry-After" in answer.headers
        where = f"/v1/bundles/{digest_of(bundle)}"
        assert ground.client.get(f"{where}/receipt").status_code == 507
        assert ground.client.head(where, headers=TUS).headers["Upload-Offset"] == str(len(bundle))
        assert ground.received() == 0
        blobs.full = False
        assert ground.client.get(f"{where}/receipt").json()["samples"] == 3
        assert ground.received() == 3


def test_what_arrived_before_a_restart_of_the_gateway_is_kept(tmp_path: Path, keys: Path) -> None:
    bundle = a_bundle()
    with running(settings(tmp_path, keys)) as ground:
        ground.patch(ground.create(bundle).headers["Location"], bundle[:1_500])
    with running(settings(tmp_path, keys)) as ground:
        answer = ground.create(bundle)
        assert answer.headers["Upload-Offset"] == "1500"
        ground.patch(answer.headers["Location"], bundle[1_500:], 1_500)
    with running(settings(tmp_path, keys)) as ground:
        assert ground.client.get(f"/v1/bundles/{digest_of(bundle)}/receipt").json()["samples"] == 3
        assert ground.received() == 3
