"""Contacts over real sockets that end in the middle of an update: what is here flies, the ground hears it, the rest
comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tests.cut_updates import OLD, Cut, Satellite, a_move
from tests.integration.test_contact_session import Mission, Relay

from orbitloop.domain.delta import Shift
from orbitloop.domain.errors import NotYet
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import Hello, Offer
from orbitloop_edge.adapters.inbox import FolderInbox
from orbitloop_edge.adapters.sessions import FilePending
from orbitloop_edge.usecases.beginnings import try_beginning
from orbitloop_edge.usecases.tally import SessionSummary
from orbitloop_ground.usecases.converse import Reception

STEP = 40_000
"""Bytes of a step, roughly; what else crosses in a contact is a tenth of it."""
LARGE = {**OLD, "large.bias": np.zeros(STEP, np.float32)}


def a_step(seed: int) -> Shift:
    quanta = np.random.default_rng(seed).integers(-127, 128, STEP).astype(np.int8)
    return Shift(tensor="large.bias", exponent=-9, quanta=quanta)


@dataclass
class World:
    """A satellite and its ground, with an update of two steps on offer."""

    mission: Mission
    board: Satellite
    cut: Cut

    def through(self, up: int | None = None) -> SessionSummary:
        """A contact whose link is cut after so many bytes from the ground."""
        self.mission.flying = self.board.flying()
        with Relay(self.mission.server.port, up=up) as relay:
            return self.mission.contact(relay.url, apply=self.board.prove, beginning=self.board.prove.beginning)

    def restart(self) -> None:
        self.board = Satellite(self.board.folder, LARGE)

    def heard(self) -> Digest | None:
        """What flies, as the ground knows it."""
        found = self.mission.parts.ledger.last_hello("sat-1")
        return None if found is None else found[1].flying


@pytest.fixture
def world(tmp_path: Path, keys: Path) -> Iterator[World]:
    with ExitStack() as stack:
        mission = Mission(folder=tmp_path, keys=keys)
        stack.enter_context(mission.spool)
        stack.enter_context(mission.ground())
        cut = Cut(steps=((a_step(1), a_move(1)), (a_step(2),)), onto=LARGE)
        path = tmp_path / "update.olu"
        path.write_bytes(cut.data)
        size = Bytes(len(cut.data))
        published = PublishedUpdate(
            satellite="sat-1", digest=cut.offer.digest, size=size, base=cut.base, result=cut.results[-1], path=path
        )
        mission.parts.ledger.publish_update(published)
        yield World(mission, Satellite(tmp_path / "board", LARGE), cut)


def test_a_contact_that_ends_in_the_middle_lets_the_beginning_fly_and_the_next_one_brings_the_rest(
    world: World,
) -> None:
    early = world.through(up=STEP // 2)
    assert (world.board.flying(), world.board.swapped) == (weights_digest(LARGE), [])

    middle = world.through(up=STEP)
    assert (middle.update, middle.complete) == (None, False)
    assert world.board.flying() == world.cut.results[0]
    assert world.board.swapped == [world.cut.results[0]]
    assert world.mission.outbox().waiting() == []

    later = world.through(up=STEP // 4)  # the ground hears what flies, and goes on with the same update
    assert world.heard() == world.cut.results[0]
    assert later.bytes_up > 0
    assert world.mission.parts.ledger.reports("sat-1") == []
    assert world.board.swapped == [world.cut.results[0]]

    last = world.through()
    assert (last.update, last.complete) == (Outcome.APPLIED, True)
    assert world.board.flying() == world.cut.results[1]
    assert early.bytes_up + middle.bytes_up + later.bytes_up + last.bytes_up == len(world.cut.data)
    (report,) = world.mission.parts.ledger.reports("sat-1")
    assert (report.outcome, report.flying) == (Outcome.APPLIED, world.cut.results[1])
    world.through()
    assert world.heard() == world.cut.results[1]


def test_after_a_restart_the_rest_comes_to_whatever_flies_then(world: World) -> None:
    world.through(up=STEP + STEP // 2)
    assert world.board.flying() == world.cut.results[0]
    world.board.slots.fall_back(None)  # as after deaths with it
    world.restart()
    again = world.through(up=STEP // 4)
    assert world.heard() == weights_digest(LARGE)
    assert again.update is None
    assert world.board.swapped == []  # not tried again
    assert world.through().update == Outcome.APPLIED
    assert world.board.flying() == world.cut.results[1]


def test_a_newer_update_on_the_beginning_takes_the_place_of_the_rest(world: World) -> None:
    world.through(up=STEP + STEP // 2)
    newer = Cut(steps=((a_move(3),),), onto=world.board.slots.active().weights)
    path = world.mission.folder / "newer.olu"
    path.write_bytes(newer.data)
    published = world.mission.parts.ledger.update("sat-1", world.cut.offer.digest)
    assert published is not None
    size = Bytes(len(newer.data))
    result, digest = newer.results[-1], newer.offer.digest
    world.mission.parts.ledger.publish_update(
        replace(published, digest=digest, size=size, base=newer.base, result=result, path=path)
    )
    assert world.through().update == Outcome.APPLIED
    assert world.board.flying() == newer.results[-1]


def test_a_beginning_that_cannot_be_proved_now_waits_on_board(world: World) -> None:
    def busy(path: Path, offer: Offer, here: Bytes) -> Digest | None:
        raise NotYet("the worker is busy")

    world.mission.flying = world.board.flying()
    with Relay(world.mission.server.port, up=STEP + STEP // 2) as relay:
        summary = world.mission.contact(relay.url, apply=world.board.prove, beginning=busy)
    assert "link" in summary.problems[0]
    begun = FilePending(world.mission.folder / "sat" / "begun.json")
    inbox = FolderInbox(world.mission.folder / "sat" / "inbox")
    with pytest.raises(NotYet):
        try_beginning(begun, inbox, busy)
    try_beginning(begun, inbox, world.board.prove.beginning)
    assert world.board.flying() == world.cut.results[0]
    try_beginning(begun, inbox, busy)  # it is over


def test_what_is_offered_builds_on_what_flies(world: World) -> None:
    reception = Reception(world.mission.parts.ledger, VirtualClock(LAUNCH))
    for flying, base in ((world.cut.base, world.cut.base), (world.cut.results[0], world.cut.results[0])):
        hello = Hello(satellite="sat-1", flying=flying, clock=LAUNCH, queued_samples=0, queued_bytes=Bytes(0))
        offer = reception.hello("sat-1", hello).offer
        assert offer is not None
        assert (offer.digest, offer.base, offer.result) == (world.cut.offer.digest, base, world.cut.results[1])
