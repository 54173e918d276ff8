"""The bridge and the gateway as they run: over HTTP, with a gateway that is killed, away and reinstalled."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_selection_offers import a_package, unsigned

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, Untrusted
from orbitloop.domain.units import Digest
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import Hello
from orbitloop.wire.node_messages import NodeEvent, NodeEvents
from orbitloop.wire.selection_file import pack_selection
from orbitloop_ground.app import admin_thread, compose, opened_ledger
from orbitloop_ground.settings import GroundSettings
from orbitloop_operators.adapters.nodes import HttpGateway
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.desired_state import desired_state, encoded
from orbitloop_operators.handlers.logic_claims import Claim
from orbitloop_operators.handlers.node_reports import LogicReport, NodeReport, report_of
from orbitloop_operators.handlers.offers import Offered
from orbitloop_operators.usecases.bridge import Away, NodeBridge, Position, Shores, UnknownNode

GROUND = [sys.executable, "-c", "import sys; from orbitloop_ground.cli import main; sys.exit(main())"]
TOKEN = "a token of more than sixteen characters"
FLYING = digest_of(b"weights")
GENEROUS_S = 60.0


def a_dataset(name: str, node: str = "sat-1") -> Document:
    metadata = {"name": name, "namespace": "default", "uid": f"Dataset/{name}", "resourceVersion": "1"}
    spec = {"url": f"/data/{name}.txt", "format": "txt", "nodeName": node}
    return {"apiVersion": "sedna.io/v1alpha1", "kind": "Dataset", "metadata": metadata, "spec": spec}


def an_event(count: int) -> NodeEvents:
    event = NodeEvent(sequence=count, subject="dataset/default/images", at=LAUNCH, value={"numberOfSamples": count})
    return NodeEvents(satellite="sat-1", origin="0" * 32, events=(event,))


@dataclass(kw_only=True)
class Ground:
    folder: Path
    keys: Path
    port: int

    @property
    def settings(self) -> GroundSettings:
        return GroundSettings(folder=self.folder / "ground", keys=self.keys / "ground")

    @property
    def token(self) -> Path:
        return self.folder / "token"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [*GROUND, "serve", "--folder", self.folder / "ground", "--keys", self.keys / "ground", "--port", 0]
        command += ["--admin-port", self.port, "--operator-token", self.token]
        with (self.folder / "gateway.log").open("ab") as log:
            process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=log)
            with process:
                try:
                    assert process.stdout is not None
                    assert process.stdout.readline(), "it listens"
                    yield process
                finally:
                    process.kill()

    def wanted(self) -> Digest | None:
        with opened_ledger(self.settings) as ledger:
            found = ledger.desired("sat-1")
        return None if found is None else found.digest

    def tell(self, count: int) -> None:
        with opened_ledger(self.settings) as ledger:
            ledger.record_events(an_event(count), LAUNCH)


@dataclass(kw_only=True)
class Cluster:
    store: Store = field(default_factory=Store)
    versions: list[int] = field(default_factory=list)

    def observed(self, document: Document) -> None:
        self.versions.append(int(document["metadata"]["resourceVersion"]))
        assert self.store.put(document)

    def report(self) -> NodeReport:
        found = report_of(self.store, "sat-1")
        return NodeReport(node="sat-1", observed={}) if found is None else found

    def samples(self) -> int | None:
        dataset = self.report().dataset("default", "images")
        return None if dataset is None else dataset.number_of_samples

    def digest(self) -> Digest:
        return digest_of(encoded(desired_state("sat-1", self.store)))


@asynccontextmanager
async def bridged(ground: Ground, cluster: Cluster) -> AsyncIterator[NodeBridge]:
    gateway = HttpGateway(f"http://127.0.0.1:{ground.port}", ground.token)
    shores = Shores(
        gateway=gateway,
        view=cluster.store,
        is_complete=lambda: True,
        observed=cluster.observed,
        monotonic=time.monotonic,
    )
    bridge = NodeBridge(shores)
    task = asyncio.create_task(bridge.run())
    try:
        yield bridge
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        gateway.close()


async def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GENEROUS_S
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {GENEROUS_S} s"
        await asyncio.sleep(0.1)


@pytest.fixture
def ground(tmp_path: Path, keys: Path) -> Ground:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = int(unused.getsockname()[1])
    made = Ground(folder=tmp_path, keys=keys, port=port)
    made.token.write_text(TOKEN)
    return made


def test_what_is_wanted_and_what_was_said_cross_the_bridge_whatever_is_killed(ground: Ground) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        cluster.store.put(a_dataset("images"))
        async with bridged(ground, cluster) as bridge:
            with ground.running():
                await until(lambda: ground.wanted() == cluster.digest(), "the desired state is left")
                ground.tell(1)
                await until(lambda: cluster.samples() == 1, "the event is known")
            cluster.store.put(a_dataset("more"))
            bridge.changed(a_dataset("more"))
            ground.tell(2)
            with ground.running():
                await until(lambda: ground.wanted() == cluster.digest(), "it is left once the gateway is back")
                await until(lambda: cluster.samples() == 2, "what was said meanwhile is known")
        again = Cluster()
        again.store.put(a_dataset("images"))
        async with bridged(ground, again):
            with ground.running():
                await until(lambda: again.samples() == 2, "an operator that was restarted knows it")
                await until(lambda: ground.wanted() == again.digest(), "and leaves what it wants")
        assert cluster.versions == sorted(set(cluster.versions))

    asyncio.run(scenario())


def test_a_gateway_that_is_reinstalled_gets_all_again(ground: Ground) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        cluster.store.put(a_dataset("images"))
        async with bridged(ground, cluster):
            with ground.running():
                await until(lambda: ground.wanted() == cluster.digest(), "the desired state is left")
            shutil.rmtree(ground.folder / "ground")
            with ground.running():
                await until(lambda: ground.wanted() == cluster.digest(), "it is left again")

    asyncio.run(scenario())


@contextmanager
def served(folder: Path, keys: Path) -> Iterator[tuple[HttpGateway, Any]]:
    (folder / "token").write_text(TOKEN)
    settings = GroundSettings(
        folder=folder / "ground", keys=keys / "ground", admin_port=0, operator_token=folder / "token"
    )
    parts = compose(settings, VirtualClock(LAUNCH))
    with admin_thread(parts) as server:
        gateway = HttpGateway(server.url, folder / "token")
        yield gateway, parts.ledger
        gateway.close()
    parts.ledger.close()


def test_a_report_is_read_as_the_handlers_read_it(tmp_path: Path, keys: Path) -> None:
    with served(tmp_path, keys) as (gateway, ledger):
        told = {"satellite": "sat-1", "flying": FLYING, "clock": LAUNCH, "queued_samples": 7, "queued_bytes": 700}
        ledger.record_hello(Hello.model_validate(told), LAUNCH)
        ledger.record_events(an_event(12), LAUNCH)
        others: tuple[tuple[str, dict[str, str]], ...] = (
            ("model/default/job", {"error": "no room"}),
            ("node/desired", {"error": "odd"}),
            ("worker/a/b", {}),
        )
        for number, (subject, value) in enumerate(others, start=20):
            event = NodeEvent.model_validate({"sequence": number, "subject": subject, "at": LAUNCH, "value": value})
            ledger.record_events(NodeEvents(satellite="sat-1", origin="0" * 32, events=(event,)), LAUNCH)
        moved = asyncio.run(gateway.moved(Position(), 0))
    (news,) = moved.nodes
    report = NodeReport(node="sat-1", observed=news.observed)
    satellite, dataset = report.satellite(), report.dataset("default", "images")
    assert report.last_contact() == LAUNCH
    assert satellite is not None
    assert (satellite.flying, satellite.queued_samples, satellite.queued_bytes) == (FLYING, 7, 700)
    assert dataset is not None
    assert dataset.number_of_samples == 12
    assert news.observed["models"] == {"default/job": {"error": "no room"}}
    assert news.observed["node"] == {"desired": {"error": "odd"}}
    assert "workers" not in news.observed, "of a worker without a value nothing is known any more"


def test_a_token_that_is_not_the_gateways_is_an_error_that_says_so(tmp_path: Path, keys: Path) -> None:
    other = tmp_path / "other"
    other.write_text("another token, as long as that")
    with served(tmp_path, keys) as (gateway, _):
        wrong = HttpGateway(gateway._url, other)
        with pytest.raises(Untrusted, match="operator_token"):
            asyncio.run(wrong.want("sat-1", b"{}"))
        other.unlink()
        with pytest.raises(BadInput, match="cannot be read"):
            asyncio.run(wrong.want("sat-1", b"{}"))
        wrong.close()


def test_a_node_that_the_gateway_does_not_know_is_an_error_that_says_so(tmp_path: Path, keys: Path) -> None:
    with served(tmp_path, keys) as (gateway, _), pytest.raises(UnknownNode, match="has no keys"):
        asyncio.run(gateway.want("sat-99", b"{}"))


def test_nobody_at_the_gateways_address_is_to_be_asked_again(ground: Ground) -> None:
    gateway = HttpGateway(f"http://127.0.0.1:{ground.port}", ground.token)
    offer, claim = Offered(node="sat-1", digest=FLYING, url="/x"), a_claim("/x")
    for asked in (gateway.want("sat-1", b"{}"), gateway.offer(offer), gateway.fit(claim), gateway.unfit("sat-1")):
        with pytest.raises(Away, match="is it running"):
            asyncio.run(asked)


def a_claim(url: str, digest: Digest = FLYING) -> Claim:
    key = Key(api_version="orbitloop.io/v1alpha1", kind="SelectionLogic", namespace="default", name="ships")
    return Claim(logic=key, node="sat-1", digest=digest, url=url)


def test_a_logic_is_left_told_of_and_withdrawn_over_http(tmp_path: Path, keys: Path) -> None:
    path = tmp_path / "selection.ols"
    path.write_bytes(data := pack_selection(a_package(), unsigned))
    with served(tmp_path, keys) as (gateway, ledger):
        ledger.set_desired("sat-1", b"{}")
        made = asyncio.run(gateway.fit(a_claim(str(path), digest_of(data))))
        assert (made.source, made.version, made.application) == (digest_of(data), 1, "ships")
        (news,) = asyncio.run(gateway.moved(Position(), 0)).nodes
        assert news.selection == LogicReport(offered=made)
        with pytest.raises(BadInput, match="cannot be read"):
            asyncio.run(gateway.fit(a_claim("/missing.ols")))
        for _ in range(2):
            asyncio.run(gateway.unfit("sat-1"))
        (news,) = asyncio.run(gateway.moved(Position(), 0)).nodes
        assert news.selection == LogicReport()


@pytest.mark.parametrize("url", ["", "gateway:8401", "ftp://gateway", "http://gateway/path"])
def test_an_address_that_is_none_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="write http"):
        HttpGateway(url, tmp_path / "token")
