"""Desired state and node events in contact sessions, by every convergence layer, against a real ground."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.last_month import GroundOfLastMonth

from orbitloop.adapters.sealing import LinkKey
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, LinkClosed, NotYet, Untrusted
from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.ports.gateway import Gateway
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.node_channel import MemoryEvents, RememberedState
from orbitloop.testing.samples import LAUNCH
from orbitloop.testing.spool import MemorySpool
from orbitloop.wire.messages import Offer, UpdateReport
from orbitloop.wire.node_messages import NodeEvent, NodeEvents
from orbitloop_edge.adapters.credentials import read_credentials
from orbitloop_edge.adapters.datagrams import DatagramGateway, DatagramLink
from orbitloop_edge.adapters.desired import FileDesired
from orbitloop_edge.adapters.gateway import GatewayClient
from orbitloop_edge.adapters.inbox import FolderInbox
from orbitloop_edge.adapters.outbox import FolderOutbox
from orbitloop_edge.adapters.sessions import FilePending, FileSessions
from orbitloop_edge.usecases.contact import Aboard, ContactSession, Occasion
from orbitloop_edge.usecases.node_channel import DesiredIntake, send_events
from orbitloop_edge.usecases.tally import SessionSummary
from orbitloop_ground.app import Dependencies, compose, datagram_server, gateway_thread
from orbitloop_ground.settings import GroundSettings

CLOCK = VirtualClock(LAUNCH)
FLYING = digest_of(b"weights")
DOCUMENT = b'{"datasets": {"default/images": {"url": "/data/images.txt", "format": "txt"}}}'


@dataclass(kw_only=True)
class Mission:
    folder: Path
    parts: Dependencies
    gateway: Gateway
    state: RememberedState = field(default_factory=RememberedState)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    up: int = 0

    def contact(self, ground: Gateway | None = None) -> SessionSummary:
        """One session, as a satellite that has just restarted would hold it."""
        shelf = FileDesired(self.folder / "desired", self.state)
        aboard = Aboard(
            satellite="sat-1",
            spool=MemorySpool("sat-1", CLOCK, budget=Bytes(2**20)),
            outbox=FolderOutbox(self.folder / "outbox"),
            inbox=FolderInbox(self.folder / "inbox"),
            pending=FilePending(self.folder / "pending" / "offer.json"),
            sessions=FileSessions(self.folder / "session", CLOCK),
            clock=CLOCK,
            largest_update=Bytes(2**20),
            events=self.events,
            desired=DesiredIntake(inbox=FolderInbox(self.folder / "desired" / "inbox"), shelf=shelf),
        )
        occasion = Occasion(flying=FLYING, budget=Bytes(0), telemetry=None)
        return ContactSession(aboard, ground or self.gateway, _never, self.count).run(occasion)

    def count(self, direction: Direction, count: Bytes) -> None:
        self.up += count if direction is Direction.UP else 0

    def known(self) -> dict[str, NodeEvent]:
        reports = self.parts.ledger.node_reports(0)
        return dict(reports[0].events) if reports else {}


def _never(path: Path, offer: Offer) -> UpdateReport:
    raise NotYet("nothing is proved here")


@contextmanager
def missions(layer: str, folder: Path, keys: Path) -> Iterator[Mission]:
    settings = GroundSettings(folder=folder / "ground", keys=keys / "ground", datagram_port=0, uplink=None)
    credentials = read_credentials(keys / "satellites" / "sat-1")
    with ExitStack() as stack:
        parts = compose(settings, CLOCK)
        stack.callback(parts.ledger.close)
        gateway: GatewayClient | DatagramGateway
        if layer == "http":
            url = stack.enter_context(gateway_thread(parts)).url
            gateway = GatewayClient(url, credentials, patience=timedelta(seconds=30))
        else:
            port = stack.enter_context(datagram_server(parts)).port
            link = DatagramLink(rate=BitsPerSecond(40_000_000), patience=timedelta(seconds=30))
            gateway = DatagramGateway(("127.0.0.1", port), "sat-1", LinkKey(credentials.link_key), link)
        stack.enter_context(gateway)
        (folder / "sat").mkdir()
        yield Mission(folder=folder / "sat", parts=parts, gateway=gateway)


@pytest.fixture(params=["http", "datagrams"])
def mission(request: pytest.FixtureRequest, tmp_path: Path, keys: Path) -> Iterator[Mission]:
    with missions(request.param, tmp_path, keys) as made:
        yield made


@pytest.fixture
def by_http(tmp_path: Path, keys: Path) -> Iterator[Mission]:
    with missions("http", tmp_path, keys) as made:
        yield made


def test_a_desired_state_arrives_once_and_costs_nothing_while_it_stays(mission: Mission) -> None:
    mission.parts.ledger.set_desired("sat-1", DOCUMENT)
    assert mission.contact().complete
    assert (mission.state.documents, mission.up) == ([DOCUMENT], len(DOCUMENT))
    assert mission.contact().complete
    assert mission.up == len(DOCUMENT)
    (report,) = mission.parts.ledger.node_reports(0)
    assert report.wanted == report.taken == digest_of(DOCUMENT)


def test_a_large_one_arrives_beside_an_update_and_the_newest_counts(mission: Mission) -> None:
    large = b'"' + np.random.default_rng(1).bytes(120_000).hex().encode() + b'"'
    mission.parts.ledger.set_desired("sat-1", DOCUMENT)
    mission.parts.ledger.set_desired("sat-1", large)
    path = mission.folder / "update"
    path.write_bytes(bytes(50_000))
    update = PublishedUpdate(
        satellite="sat-1",
        digest=digest_of(bytes(50_000)),
        size=Bytes(50_000),
        base=FLYING,
        result=digest_of(b"next"),
        path=path,
    )
    mission.parts.ledger.publish_update(update)
    summary = mission.contact()
    assert mission.state.documents == [large]
    assert summary.bytes_up == mission.up == len(large) + 50_000


def test_another_nodes_desired_state_is_not_served(mission: Mission) -> None:
    other = mission.parts.ledger.set_desired("sat-2", DOCUMENT)
    missing = FolderInbox(mission.folder / "in").held(other.digest).missing(len(DOCUMENT))
    with (
        pytest.raises(BadInput, match="published for sat-1"),
        mission.gateway.fetch(other.digest, Bytes(len(DOCUMENT)), missing) as pieces,
    ):
        next(pieces)


def test_a_desired_state_that_cannot_be_used_is_a_problem_once_and_is_not_fetched_again(mission: Mission) -> None:
    mission.state = RememberedState([BadInput("no document of ours"), BadInput("no document of ours")])
    mission.parts.ledger.set_desired("sat-1", b"[]")
    assert mission.contact().problems == ("no document of ours",)
    assert mission.contact().complete
    assert mission.up == 2


def test_events_reach_the_ground_once_in_effect(mission: Mission) -> None:
    for count in range(3):
        mission.events.add("dataset/default/images", LAUNCH, {"numberOfSamples": count})
    last = mission.events.add("worker/default/train", LAUNCH, {"status": "running"})
    assert mission.contact().events == 4
    assert mission.events.pending(0) == []
    assert mission.known()["dataset/default/images"].value == {"numberOfSamples": 2}
    assert mission.known()["worker/default/train"] == last
    before = mission.parts.ledger.bearings().sequence
    mission.gateway.events(NodeEvents(satellite="sat-1", origin=mission.events.origin, events=(last,)))
    assert mission.parts.ledger.bearings().sequence == before
    assert mission.contact().events == 0


def test_many_events_go_in_small_messages_and_the_rest_waits_for_the_next_contact(mission: Mission) -> None:
    for number in range(1_500):
        mission.events.add(f"worker/default/{number}", LAUNCH, {"status": "running"})
    told = mission.contact().events
    assert 0 < told < 1_500
    assert len(mission.events.pending(0)) == 1_500 - told
    assert told + mission.contact().events == 1_500
    assert len(mission.known()) == 1_500


def test_nobody_tells_of_another_satellites_node(mission: Mission) -> None:
    event = MemoryEvents().add("node/power", LAUNCH, {})
    with pytest.raises(Untrusted, match="may not speak for"):
        mission.gateway.events(NodeEvents(satellite="sat-2", origin="0" * 32, events=(event,)))


class NotToBeTold(GroundOfLastMonth):
    """One that would not understand events."""

    def events(self, events: NodeEvents) -> None:
        raise AssertionError("it was told of events")


def test_a_ground_of_last_month_is_told_of_no_events(by_http: Mission) -> None:
    by_http.events.add("node/power", LAUNCH, {})
    assert by_http.contact(NotToBeTold(by_http.gateway, "desired", "events")).complete  # type: ignore[arg-type]
    assert len(by_http.events.pending(0)) == 1


class Failing:
    """Takes events until one is to fail, whose subject ends so."""

    def __init__(self, ending: str, error: Exception) -> None:
        self._ending, self._error = ending, error
        self.taken: list[int] = []

    def events(self, events: NodeEvents) -> None:
        if any(event.subject.endswith(self._ending) for event in events.events):
            raise self._error
        self.taken += [event.sequence for event in events.events]


def some_events() -> MemoryEvents:
    events = MemoryEvents()
    for name in ("a", "bad", "c"):
        events.add(f"node/{name}", LAUNCH, {})
    return events


def test_an_event_that_the_ground_refuses_does_not_keep_the_others() -> None:
    events, ground = some_events(), Failing("bad", BadInput("no such subject"))
    assert send_events(ground, "sat-1", events) == 2  # type: ignore[arg-type]
    assert ground.taken == [1, 3]
    assert events.pending(0) == []


@pytest.mark.parametrize("error", [LinkClosed("lost"), NotYet("full"), Untrusted("revoked")], ids=str)
def test_events_that_were_not_acknowledged_wait(error: Exception) -> None:
    events = some_events()
    with pytest.raises(type(error)):
        send_events(Failing("c", error), "sat-1", events)  # type: ignore[arg-type]
    assert len(events.pending(0)) == 3
