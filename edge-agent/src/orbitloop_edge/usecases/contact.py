"""One contact session: what waits goes down, an update comes up, and a lost signal costs nothing twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orbitloop.domain.errors import NotYet, Refused
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.gateway import Gateway, Inbox, Outbox
from orbitloop.ports.node_channel import EventsOutbox
from orbitloop.ports.spool import Spool
from orbitloop.wire.messages import (
    MOST_UNFINISHED,
    DamagedChunk,
    Desired,
    Goodbye,
    Hello,
    LedgerPosition,
    LogicOnBoard,
    Offer,
    OfferedSelection,
    Telemetry,
    UpdateReport,
    Welcome,
)
from orbitloop_edge.usecases.beginnings import OnBeginning, try_beginning
from orbitloop_edge.usecases.claims import Claims
from orbitloop_edge.usecases.node_channel import DesiredIntake, fetch_desired, send_events
from orbitloop_edge.usecases.repairs import RepairIntake, fetch_repair
from orbitloop_edge.usecases.selection_channel import SelectionIntake, fetch_selection
from orbitloop_edge.usecases.tally import SessionSummary, Tally
from orbitloop_edge.usecases.transfers import fetch_artifact, send_bundles

_log = logging.getLogger(__name__)

_LONGEST_REASON = 2_000


OnUpdate = Callable[[Path, Offer], UpdateReport]
"""Proves and swaps a fetched update. May raise ``Refused``, which is reported, or ``NotYet``, which keeps the file."""
OnProgress = Callable[[Direction, Bytes], None]
"""Told of bytes that have just crossed; called from two threads."""


class Sessions(Protocol):
    """Numbers the contact sessions since launch."""

    def begin(self) -> tuple[int, str]:
        """Sequence and random name of a new session; the sequence never goes back, whatever is killed."""
        ...


class Pending(Protocol):
    """The offer whose update was fetched, whole or in part, and is not proved yet."""

    def put(self, offer: Offer) -> None:
        """Keep it durably."""
        ...

    def offer(self) -> Offer | None:
        """What waits to be proved, if anything does."""
        ...

    def drop(self) -> None:
        """It was proved, or another one takes its place. Idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aboard:
    """The satellite's side of a session.

    Args:
        largest_update: updates larger than this are turned down without fetching them, bytes.
        bundle: size of a bundle while there is much of the pass left, bytes.
        senders: bundles that are under way at a time, so that the link is busy while the ground stores one.
        events: what happened at the node; ``None`` where nobody says.
        desired: where the state goes that the ground wants of the node; ``None`` where nobody takes it.
        repairs: where chunks of damaged models go; ``None`` where nobody mends any.
        selection: where selection logics go; ``None`` where nobody goes by any.
        begun: the offer of an update whose beginning waits to be proved; ``None`` where only whole ones fly.
    """

    satellite: str
    spool: Spool
    outbox: Outbox
    inbox: Inbox
    pending: Pending
    sessions: Sessions
    clock: Clock
    largest_update: Bytes
    bundle: Bytes = Bytes(16 * 2**20)
    senders: int = 4
    events: EventsOutbox | None = None
    desired: DesiredIntake | None = None
    repairs: RepairIntake | None = None
    selection: SelectionIntake | None = None
    begun: Pending | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What one contact is about.

    Args:
        flying: digest of the weights in service; ``None`` on a node that has no model of ours to fly.
        budget: most bytes of bundles that may go down.
        telemetry: counters since launch; ``None`` where nobody knows them now.
        damaged: chunks of models that the ground is asked for.
        logic: what became of selection logics; ``None`` where nobody knows.
    """

    flying: Digest | None
    budget: Bytes
    telemetry: Telemetry | None
    damaged: tuple[DamagedChunk, ...] = ()
    logic: LogicOnBoard | None = None


class ContactSession:
    """What a satellite does while a ground station hears it.

    Small things go first, so that the shortest contact is enough for them: hello, reports, telemetry, node events. Then
    bundles go down and, side by side with them, the desired state and an update come up; the update is proved, and its
    report sent, without waiting for the bundles. A fetched update is tried even after the signal was lost, and so is
    the beginning of one that was not fetched whole.
    """

    def __init__(
        self,
        aboard: Aboard,
        ground: Gateway,
        on_update: OnUpdate,
        on_progress: OnProgress | None = None,
        *,
        on_beginning: OnBeginning | None = None,
    ) -> None:
        self._aboard = aboard
        self._ground = ground
        self._on_update = on_update
        self._on_progress = on_progress
        self._on_beginning = on_beginning

    def run(self, occasion: Occasion) -> SessionSummary:
        """Use one contact; returns when nothing is left to do, the budget is used up or the signal is lost."""
        tally = Tally()
        with tally.noting():
            hello = self._hello(occasion)
            welcome = self._ground.hello(hello)
            self._settle(welcome, tally)
            self._send_reports(tally)
            self._send_telemetry(occasion, tally)
            self._send_events(welcome, tally)
            self._exchange(welcome, occasion, tally)
            if tally.linked:
                self._ground.goodbye(self._goodbye(hello, tally.summary()))
        summary = tally.summary()
        _log.info("contact_ended", extra={"bundles": summary.bundles, "problems": summary.problems})
        return summary

    def _exchange(self, welcome: Welcome, occasion: Occasion, tally: Tally) -> None:
        """Both directions at once."""
        claims = Claims(self._aboard.spool, occasion.budget, self._aboard.bundle)
        with ThreadPoolExecutor(max_workers=self._aboard.senders, thread_name_prefix="contact") as threads:
            parts = [threads.submit(self._send, claims, tally) for _ in range(self._aboard.senders - 1)]
            parts.append(threads.submit(self._receive, welcome, occasion, tally))
            self._send(claims, tally)
            for part in parts:
                part.result()

    def _hello(self, occasion: Occasion) -> Hello:
        waiting = self._aboard.spool.state()
        sequence, session = self._aboard.sessions.begin()
        return Hello(
            satellite=self._aboard.satellite,
            flying=occasion.flying,
            clock=self._aboard.clock.now(),
            queued_samples=waiting.samples,
            queued_bytes=waiting.bytes,
            session=session,
            sequence=sequence,
            position=LedgerPosition(delivered=waiting.delivered, last=waiting.last),
            unfinished=self._aboard.spool.unfinished()[:MOST_UNFINISHED],
            desired=None if self._aboard.desired is None else self._aboard.desired.shelf.digest(),
            damaged=occasion.damaged,
            selection=None if self._aboard.selection is None else self._aboard.selection.shelf.digest(),
            logic=occasion.logic,
        )

    def _settle(self, welcome: Welcome, tally: Tally) -> None:
        """Take in what the ground knows: receipts that were lost, its position, its wishes."""
        for receipt in welcome.held:
            self._aboard.spool.delivered(receipt.bundle)
            tally.arrived(receipt.samples)
        delivered = self._aboard.spool.state().delivered
        if welcome.received != delivered:
            _log.warning("ledgers_differ", extra={"delivered": delivered, "received": welcome.received})
        if welcome.priorities is not None:
            self._aboard.spool.prefer(welcome.priorities)

    def _goodbye(self, hello: Hello, summary: SessionSummary) -> Goodbye:
        return Goodbye(
            satellite=hello.satellite,
            session=hello.session,
            bundles=summary.bundles,
            samples=summary.samples,
            bytes_down=summary.bytes_down,
            bytes_up=summary.bytes_up,
            complete=summary.complete,
        )

    def _send_reports(self, tally: Tally) -> None:
        for report in self._aboard.outbox.waiting():
            with _unless_refused(tally):
                self._ground.report(report)
                self._aboard.outbox.acknowledged(report)

    def _send_telemetry(self, occasion: Occasion, tally: Tally) -> None:
        if occasion.telemetry is not None:
            with _unless_refused(tally):
                self._ground.telemetry(occasion.telemetry)

    def _send_events(self, welcome: Welcome, tally: Tally) -> None:
        if welcome.events and self._aboard.events is not None:
            with _unless_refused(tally):
                tally.events = send_events(self._ground, self._aboard.satellite, self._aboard.events)

    def _send(self, claims: Claims, tally: Tally) -> None:
        def crossed(count: Bytes) -> None:
            self._crossed(tally, Direction.DOWN, count)

        with tally.noting():
            for receipt in send_bundles(self._ground, claims, crossed):
                tally.arrived(receipt.samples)

    def _receive(self, welcome: Welcome, occasion: Occasion, tally: Tally) -> None:
        """What the ground has for the satellite, one after the other: what makes good, what should be done, what should
        fly, and what frames go by.
        """
        self._receive_repairs(welcome, occasion, tally)
        if welcome.desired is not None:
            self._receive_desired(welcome.desired, tally)
        if welcome.offer is not None and occasion.flying is not None and tally.linked:
            self._receive_update(welcome.offer, occasion.flying, tally)
        if welcome.selection is not None and tally.linked:
            self._receive_selection(welcome.selection, tally)

    def _receive_repairs(self, welcome: Welcome, occasion: Occasion, tally: Tally) -> None:
        def crossed(count: Bytes) -> None:
            self._crossed(tally, Direction.UP, count)

        asked = {chunk.digest for chunk in occasion.damaged}
        for repair in welcome.repairs:
            if self._aboard.repairs is not None and repair.digest in asked and tally.linked:
                with tally.noting():
                    fetch_repair(self._ground, repair, self._aboard.repairs, crossed)

    def _receive_desired(self, wanted: Desired, tally: Tally) -> None:
        def crossed(count: Bytes) -> None:
            self._crossed(tally, Direction.UP, count)

        if self._aboard.desired is not None:
            with tally.noting():
                fetch_desired(self._ground, wanted, self._aboard.desired, crossed)

    def _receive_selection(self, offer: OfferedSelection, tally: Tally) -> None:
        def crossed(count: Bytes) -> None:
            self._crossed(tally, Direction.UP, count)

        if self._aboard.selection is not None:
            with tally.noting():
                fetch_selection(self._ground, offer, self._aboard.selection, crossed)

    def _receive_update(self, offer: Offer, flying: Digest, tally: Tally) -> None:
        with tally.noting():
            if (why := self._objection(offer, flying)) is not None:
                self._aboard.outbox.put(self._refused(tally, offer, flying, why))
            elif (path := self._fetch(offer, flying, tally)) is not None:
                tally.report = prove_pending(path, offer, self._aboard, self._on_update, flying)
        if tally.report is not None and tally.linked:
            with tally.noting():
                self._send_reports(tally)

    def _fetch(self, offer: Offer, flying: Digest, tally: Tally) -> Path | None:
        def crossed(count: Bytes) -> None:
            self._crossed(tally, Direction.UP, count)

        if (before := self._aboard.pending.offer()) is not None and before.digest != offer.digest:
            self._aboard.pending.drop()
        try:
            path = fetch_artifact(self._ground, offer, self._aboard.inbox, crossed)
        except Refused as error:
            self._aboard.inbox.discard(offer.digest)
            self._aboard.outbox.put(self._refused(tally, offer, flying, str(error)))
            return None
        except NotYet:
            self._begin(offer)
            raise
        self._aboard.pending.put(offer)
        if self._aboard.begun is not None:
            self._aboard.begun.drop()
        return path

    def _begin(self, offer: Offer) -> None:
        """Prove what is here of an update, or have it proved later."""
        aboard = self._aboard
        if aboard.begun is None or self._on_beginning is None:
            return
        try:
            aboard.begun.put(offer)
            try_beginning(aboard.begun, aboard.inbox, self._on_beginning)
        except NotYet as error:
            _log.warning("beginning_put_off", extra={"update": offer.digest, "why": str(error)})

    def _objection(self, offer: Offer, flying: Digest) -> str | None:
        if offer.size > self._aboard.largest_update:
            return f"{offer.size} bytes exceed the {self._aboard.largest_update} that an update may have"
        if offer.base != flying:
            return f"made for {offer.base}, but {flying} flies"
        return None

    def _refused(self, tally: Tally, offer: Offer, flying: Digest, why: str) -> UpdateReport:
        tally.report = _refusal(self._aboard, offer, flying, why)
        return tally.report

    def _crossed(self, tally: Tally, direction: Direction, count: Bytes) -> None:
        with tally.guard:
            tally.crossed[direction] += count
        if self._on_progress is not None:
            self._on_progress(direction, count)


def prove_pending(path: Path, offer: Offer, aboard: Aboard, on_update: OnUpdate, flying: Digest) -> UpdateReport:
    """Prove an update that is here whole; its report waits in the outbox before the update is forgotten.

    Raises:
        NotYet: it cannot be proved now; it stays.
    """
    try:
        report = on_update(path, offer)
    except Refused as error:
        report = _refusal(aboard, offer, flying, str(error))
    aboard.outbox.put(report)
    aboard.pending.drop()
    aboard.inbox.discard(offer.digest)
    return report


def _refusal(aboard: Aboard, offer: Offer, flying: Digest, why: str) -> UpdateReport:
    return UpdateReport(
        satellite=aboard.satellite,
        update=offer.digest,
        outcome=Outcome.REFUSED,
        reason=why[:_LONGEST_REASON],
        flying=flying,
        at=aboard.clock.now(),
    )


@contextmanager
def _unless_refused(tally: Tally) -> Iterator[None]:
    """What the ground does not want must not keep the rest of the session from it."""
    try:
        yield
    except Refused as error:
        tally.problems.append(str(error))
