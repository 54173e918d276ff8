"""What satellites say about themselves, and the ground's answer; the same whichever layer carried it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from orbitloop.domain.errors import Untrusted
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.node_ledger import Artifact, DesiredDocument, EventLedger
from orbitloop.ports.sample_store import Entered
from orbitloop.ports.updates import ContactLedger, PublishedUpdate, UpdateLedger
from orbitloop.wire.messages import (
    DamagedChunk,
    Desired,
    Goodbye,
    Hello,
    Offer,
    OfferedSelection,
    Priorities,
    Receipt,
    Repair,
    Telemetry,
    UpdateReport,
    Welcome,
)
from orbitloop.wire.node_messages import NodeEvents
from orbitloop_ground.usecases.watch import NobodyWatches, Watch

_log = logging.getLogger(__name__)


LayOut = Callable[[str, tuple[DamagedChunk, ...]], tuple[Repair, ...]]


class Replayed(Untrusted):
    """A message that was said before, in a session that is over; whoever repeats it is not the satellite."""


class Impersonated(Untrusted):
    """A satellite speaks for another."""


class MessageLedger(ContactLedger, UpdateLedger, EventLedger, Protocol):
    """What the messages are written to, and answers are read from."""

    def entered(self, satellite: str, bundle: Digest) -> Entered | None:
        """A bundle that was entered, if it was."""
        ...

    def count_received(self, satellite: str) -> int:
        """How many samples of a satellite the ground holds."""
        ...

    def last_session(self, satellite: str) -> tuple[int, str]:
        """Sequence and name of the latest session; ``(0, "")`` before the first."""
        ...

    def priorities(self, satellite: str) -> Priorities | None:
        """What the ground wants most of this satellite, if somebody said so."""
        ...

    def desired(self, node: str) -> DesiredDocument | None:
        """What is wanted of a node, if anything is."""
        ...


class Reception:
    """The conversation of a contact session. Idempotent: every message may come twice, late or never.

    ``sender`` is the identity that the convergence layer has proved.

    Args:
        lay_out: prepares chunks of models that a satellite asks for, those that are here; ``None``: there are none.
        selection: the selection logic that a satellite is offered, if any; ``None``: there are none.
    """

    def __init__(
        self,
        ledger: MessageLedger,
        clock: Clock,
        watch: Watch | None = None,
        lay_out: LayOut | None = None,
        *,
        selection: Callable[[str], Artifact | None] | None = None,
    ) -> None:
        self._selection = selection or (lambda satellite: None)
        self._lay_out = lay_out or (lambda satellite, damaged: ())
        self._ledger = ledger
        self._clock = clock
        self._watch = watch or NobodyWatches()

    def hello(self, sender: str, hello: Hello) -> Welcome:
        """A contact begins: answered with the time, an update that fits what flies, and what arrived unacknowledged.

        Raises:
            Impersonated: it speaks for another satellite.
            Replayed: a later session has begun already.
        """
        _demand(sender, hello.satellite)
        now = self._clock.now()
        if not self._ledger.record_hello(hello, now):
            raise Replayed(
                f"session {hello.sequence} of {sender} is over, {self._ledger.last_session(sender)[0]} was the last; "
                "if its disk was replaced, readmit the satellite"
            )
        update = None if hello.flying is None else self._ledger.offer_for(sender, hello.flying)
        _log.info("contact", extra={"satellite": sender, "sequence": hello.sequence, "offers": update is not None})
        return Welcome(
            clock=now,
            offer=None if update is None or hello.flying is None else _offer(update, hello.flying),
            held=self._held(sender, hello),
            received=self._ledger.count_received(sender),
            priorities=self._ledger.priorities(sender),
            desired=self._desired(sender, hello),
            events=True,
            repairs=self._lay_out(sender, hello.damaged),
            selection=self._offered_selection(sender, hello),
        )

    def report(self, sender: str, report: UpdateReport) -> None:
        """What became of an update. Raises ``Impersonated``."""
        _demand(sender, report.satellite)
        self._ledger.record_report(report, self._clock.now())
        fields = {"update": report.update, "outcome": str(report.outcome), "why": report.reason}
        _log.info("update_report", extra={"satellite": sender, **fields})

    def telemetry(self, sender: str, telemetry: Telemetry) -> None:
        """Counters since launch. Raises ``Impersonated``."""
        _demand(sender, telemetry.satellite)
        self._ledger.record_telemetry(telemetry, self._clock.now())

    def events(self, sender: str, events: NodeEvents) -> None:
        """What happened at a node. Raises ``Impersonated``."""
        _demand(sender, events.satellite)
        new = self._ledger.record_events(events, self._clock.now())
        _log.info("node_events", extra={"satellite": sender, "events": len(events.events), "news": new})

    def goodbye(self, sender: str, goodbye: Goodbye) -> None:
        """A contact ends before the signal does. Raises ``Impersonated``."""
        _demand(sender, goodbye.satellite)
        self._ledger.record_goodbye(goodbye, self._clock.now())
        self._watch.left(sender)
        _log.info("goodbye", extra={"satellite": sender, "complete": goodbye.complete})

    def _held(self, sender: str, hello: Hello) -> tuple[Receipt, ...]:
        found = (self._ledger.entered(sender, bundle) for bundle in hello.unfinished)
        return tuple(entered.receipt for entered in found if entered is not None)

    def _desired(self, sender: str, hello: Hello) -> Desired | None:
        """What is wanted, where the satellite has something else."""
        wanted = self._ledger.desired(sender)
        if wanted is None or wanted.digest == hello.desired:
            return None
        return Desired(digest=wanted.digest, size=Bytes(len(wanted.content)))

    def _offered_selection(self, sender: str, hello: Hello) -> OfferedSelection | None:
        """The logic that a satellite is offered, where it has fetched another one, or none."""
        offered = self._selection(sender)
        if offered is None or offered.digest == hello.selection:
            return None
        return OfferedSelection(digest=offered.digest, size=offered.size)


def _demand(sender: str, satellite: str) -> None:
    if sender != satellite:
        raise Impersonated(f"{sender!r} may not speak for {satellite!r}; use that satellite's identity")


def _offer(update: PublishedUpdate, flying: Digest) -> Offer:
    """What flies is what it builds on: its base, or what a beginning of it has made."""
    return Offer(digest=update.digest, size=update.size, base=flying, result=update.result)
