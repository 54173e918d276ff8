"""Chunks of a damaged model come up with the next contact, whichever layer carries it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.last_month import GroundOfLastMonth

from orbitloop.adapters.sealing import LinkKey
from orbitloop.domain.chunks import CHUNK
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import NotYet
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.gateway import Gateway
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.testing.builders import a_digest, a_model
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import DamagedChunk, Offer, UpdateReport
from orbitloop.wire.model_folder import WEIGHTS, Model
from orbitloop_edge.adapters.credentials import read_credentials
from orbitloop_edge.adapters.datagrams import DatagramGateway, DatagramLink
from orbitloop_edge.adapters.gateway import GatewayClient
from orbitloop_edge.adapters.inbox import FolderInbox
from orbitloop_edge.adapters.outbox import FolderOutbox
from orbitloop_edge.adapters.sessions import FilePending, FileSessions
from orbitloop_edge.adapters.slot_state import keep_repair
from orbitloop_edge.adapters.slots import Slots
from orbitloop_edge.adapters.spool import DiskSpool
from orbitloop_edge.usecases.contact import Aboard, ContactSession, Occasion
from orbitloop_edge.usecases.repairs import RepairIntake
from orbitloop_edge.usecases.tally import SessionSummary
from orbitloop_ground.app import Dependencies, compose, datagram_server, gateway_thread, open_models
from orbitloop_ground.settings import GroundSettings

CLOCK = VirtualClock(LAUNCH)
WIDE = np.random.default_rng(1).standard_normal(40_000).astype(np.float32)


def the_model() -> Model:
    return a_model({"wide": WIDE, "bias": WIDE[:7]})


@dataclass(kw_only=True)
class Mission:
    """A satellite with two damaged copies of its model, and a ground."""

    folder: Path
    settings: GroundSettings
    parts: Dependencies
    gateway: Gateway

    def __post_init__(self) -> None:
        self.slots = Slots(self.folder / "slots")
        self.slots.install(the_model())
        for slot in ("a", "b"):
            path = self.folder / "slots" / slot / WEIGHTS
            data = bytearray(path.read_bytes())
            data[-1] ^= 1  # the last chunk of "wide"
            data[-60_000] ^= 1  # the one before
            path.write_bytes(data)

    def damaged(self) -> tuple[DamagedChunk, ...]:
        return Slots(self.folder / "slots").mend(()).missing

    def contact(self, ground: Gateway | None = None) -> SessionSummary:
        with DiskSpool(self.folder / "spool", "sat-1", CLOCK, budget=Bytes(2**20)) as spool:
            aboard = Aboard(
                satellite="sat-1",
                spool=spool,
                outbox=FolderOutbox(self.folder / "outbox"),
                inbox=FolderInbox(self.folder / "inbox"),
                pending=FilePending(self.folder / "pending" / "offer.json"),
                sessions=FileSessions(self.folder / "session", CLOCK),
                clock=CLOCK,
                largest_update=Bytes(2**20),
                repairs=RepairIntake(
                    inbox=FolderInbox(self.folder / "repairs"), keep=partial(keep_repair, self.folder / "slots")
                ),
            )
            flying = self.slots.standing()[0]
            occasion = Occasion(flying=flying, budget=Bytes(0), telemetry=None, damaged=self.damaged())
            return ContactSession(aboard, ground or self.gateway, _never).run(occasion)


def _never(path: Path, offer: Offer) -> UpdateReport:
    raise NotYet("nothing is proved here")


@pytest.fixture(params=["http", "datagrams"])
def mission(request: pytest.FixtureRequest, tmp_path: Path, keys: Path) -> Iterator[Mission]:
    settings = GroundSettings(folder=tmp_path / "ground", keys=keys / "ground", datagram_port=0, uplink=None)
    credentials = read_credentials(keys / "satellites" / "sat-1")
    with ExitStack() as stack:
        parts = compose(settings, CLOCK)
        stack.callback(parts.ledger.close)
        gateway: GatewayClient | DatagramGateway
        if request.param == "http":
            url = stack.enter_context(gateway_thread(parts)).url
            gateway = GatewayClient(url, credentials, patience=timedelta(seconds=30))
        else:
            port = stack.enter_context(datagram_server(parts)).port
            link = DatagramLink(rate=BitsPerSecond(40_000_000), patience=timedelta(seconds=30))
            gateway = DatagramGateway(("127.0.0.1", port), "sat-1", LinkKey(credentials.link_key), link)
        stack.enter_context(gateway)
        (tmp_path / "sat").mkdir()
        yield Mission(folder=tmp_path / "sat", settings=settings, parts=parts, gateway=gateway)


def test_a_contact_brings_the_chunks_that_nobody_on_board_has(mission: Mission) -> None:
    open_models(mission.settings).put(the_model())
    asked = mission.damaged()
    assert [(chunk.part, chunk.index) for chunk in asked] == [("wide", 1), ("wide", 2)]
    summary = mission.contact()
    assert summary.complete
    assert summary.bytes_up == CHUNK + (WIDE.nbytes - 2 * CHUNK)
    assert not mission.damaged()
    assert weights_digest(Slots(mission.folder / "slots").active().weights) == weights_digest(the_model().weights)
    assert not mission.slots.repairs
    assert mission.contact().bytes_up == 0
    assert not list((mission.settings.folder / "chunks" / "sat-1").iterdir())  # nor does the ground keep them


def test_a_ground_that_does_not_know_the_model_leaves_the_rest_of_the_contact_alone(mission: Mission) -> None:
    assert mission.contact().complete
    assert len(mission.damaged()) == 2


def test_a_ground_of_last_month_is_asked_and_says_nothing_of_it(mission: Mission) -> None:
    open_models(mission.settings).put(the_model())
    assert mission.contact(GroundOfLastMonth(mission.gateway, "repairs")).complete  # type: ignore[arg-type]  # all else is passed on
    assert len(mission.damaged()) == 2


def test_chunks_that_were_not_asked_for_are_not_fetched(mission: Mission) -> None:
    open_models(mission.settings).put(the_model())
    satellites = mission.damaged()
    other = DamagedChunk(model=satellites[0].model, part="bias", index=0, digest=digest_of(WIDE[:7].tobytes()))
    assert len(mission.parts.chunks.lay_out("sat-1", (*satellites, other))) == 3
    wrong = DamagedChunk(model=satellites[0].model, part="bias", index=0, digest=a_digest())
    assert mission.parts.chunks.lay_out("sat-1", (wrong,)) == ()
    assert mission.parts.artifacts.find("sat-2", satellites[0].digest) is None


def test_an_update_that_was_rolled_back_late_is_offered_once_more(mission: Mission) -> None:
    base, ledger = weights_digest(the_model().weights), mission.parts.ledger
    path = mission.folder / "update"
    path.write_bytes(b"update")
    update = digest_of(b"update")
    ledger.publish_update(
        PublishedUpdate(satellite="sat-1", digest=update, size=Bytes(6), base=base, result=a_digest(), path=path)
    )

    def report(outcome: Outcome, *, late: bool = False) -> None:
        CLOCK.advance(timedelta(hours=1))
        said = UpdateReport(
            satellite="sat-1", update=update, outcome=outcome, flying=base, at=CLOCK.now(), late=late, reason="died"
        )
        for _ in range(2):  # the same report again is one
            ledger.record_report(said, CLOCK.now())

    report(Outcome.APPLIED)
    report(Outcome.ROLLED_BACK, late=True)
    offered = ledger.offer_for("sat-1", base)
    assert offered is not None
    assert offered.digest == update
    assert ledger.node_reports(0)[0].outcomes[update] is Outcome.ROLLED_BACK  # so a job learns of it
    report(Outcome.ROLLED_BACK, late=True)
    assert ledger.offer_for("sat-1", base) is None
