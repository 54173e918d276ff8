"""One contact session: what waits goes down, an update comes up, and a lost signal costs nothing twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from orbitloop.domain.errors import LinkClosed, OrbitloopError, Refused
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.gateway import Gateway, Inbox, Outbox
from orbitloop.ports.spool import Spool
from orbitloop.wire.messages import Hello, Offer, Telemetry, UpdateReport
from orbitloop_edge.usecases.transfers import fetch_update, send_bundles

_log = logging.getLogger(__name__)

_LONGEST_REASON = 2_000


class Direction(StrEnum):
    """Which way bytes cross."""

    DOWN = "down"
    UP = "up"


OnUpdate = Callable[[Path, Offer], UpdateReport]
"""Proves and swaps a fetched update. May raise ``Refused``, which is reported, or ``NotYet``, which keeps the file."""
OnProgress = Callable[[Direction, Bytes], None]
"""Told of bytes that have just crossed; called from two threads."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aboard:
    """The satellite's side of a session.

    Args:
        largest_update: updates larger than this are turned down without fetching them, bytes.
    """

    satellite: str
    spool: Spool
    outbox: Outbox
    inbox: Inbox
    clock: Clock
    largest_update: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What one contact is about.

    Args:
        flying: digest of the weights in service.
        budget: most bytes of bundles that may go down.
        telemetry: counters since launch.
    """

    flying: Digest
    budget: Bytes
    telemetry: Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary:
    """What one contact achieved.

    Args:
        bundles: bundles that the ground acknowledged.
        samples: samples in them.
        bytes_down: bytes of bundles that were sent, acknowledged or not.
        bytes_up: bytes of the update that arrived.
        update: what became of an update that was fetched or turned down.
        complete: the signal held and nothing was refused; what still waits, waits for another budget.
        problems: why it is not complete.
    """

    bundles: int
    samples: int
    bytes_down: Bytes
    bytes_up: Bytes
    update: Outcome | None
    complete: bool
    problems: tuple[str, ...]


@dataclass(slots=True)
class _Tally:
    bundles: int = 0
    samples: int = 0
    crossed: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(Direction, 0))
    report: UpdateReport | None = None
    fetched: tuple[Path, Offer] | None = None
    linked: bool = True
    problems: list[str] = field(default_factory=list)

    def summary(self) -> SessionSummary:
        return SessionSummary(
            bundles=self.bundles,
            samples=self.samples,
            bytes_down=Bytes(self.crossed[Direction.DOWN]),
            bytes_up=Bytes(self.crossed[Direction.UP]),
            update=self.report.outcome if self.report else None,
            complete=not self.problems,
            problems=tuple(self.problems),
        )

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Let a problem end one part of the session and leave the others to go on."""
        try:
            yield
        except OrbitloopError as error:
            self.linked &= not isinstance(error, LinkClosed)
            self.problems.append(str(error))


class ContactSession:
    """What a satellite does while a ground station hears it.

    Small things go first, so that the shortest contact is enough for them: reports, telemetry, hello. Then bundles go
    down and an update comes up, side by side. A fetched update is tried even after the signal was lost.
    """

    def __init__(
        self, aboard: Aboard, ground: Gateway, on_update: OnUpdate, on_progress: OnProgress | None = None
    ) -> None:
        self._aboard = aboard
        self._ground = ground
        self._on_update = on_update
        self._on_progress = on_progress

    def run(self, occasion: Occasion) -> SessionSummary:
        """Use one contact; returns when nothing is left to do, the budget is used up or the signal is lost."""
        tally = _Tally()
        with tally.noting():
            self._send_reports(tally)
            self._send_telemetry(occasion, tally)
            offer = self._ground.hello(self._hello(occasion)).offer
            with ThreadPoolExecutor(max_workers=1, thread_name_prefix="uplink") as uplink:
                coming = uplink.submit(self._receive, offer, occasion, tally)
                self._send(occasion, tally)
                coming.result()
        self._apply(occasion, tally)
        if tally.report is not None and tally.linked:
            with tally.noting():
                self._send_reports(tally)
        summary = tally.summary()
        _log.info("contact_ended", extra={"bundles": summary.bundles, "problems": summary.problems})
        return summary

    def _hello(self, occasion: Occasion) -> Hello:
        waiting = self._aboard.spool.state()
        return Hello(
            satellite=self._aboard.satellite,
            flying=occasion.flying,
            clock=self._aboard.clock.now(),
            queued_samples=waiting.samples,
            queued_bytes=waiting.bytes,
        )

    def _send_reports(self, tally: _Tally) -> None:
        for report in self._aboard.outbox.waiting():
            with _unless_refused(tally):
                self._ground.report(report)
                self._aboard.outbox.acknowledged(report)

    def _send_telemetry(self, occasion: Occasion, tally: _Tally) -> None:
        with _unless_refused(tally):
            self._ground.telemetry(occasion.telemetry)

    def _send(self, occasion: Occasion, tally: _Tally) -> None:
        def crossed(count: Bytes) -> None:
            self._crossed(tally, Direction.DOWN, count)

        with tally.noting():
            for receipt in send_bundles(self._ground, self._aboard.spool, occasion.budget, crossed):
                tally.bundles += 1
                tally.samples += receipt.samples

    def _receive(self, offer: Offer | None, occasion: Occasion, tally: _Tally) -> None:
        def crossed(count: Bytes) -> None:
            self._crossed(tally, Direction.UP, count)

        if offer is None:
            return
        with tally.noting():
            if (why := self._objection(offer, occasion)) is not None:
                self._report(tally, self._refusal(offer, occasion, why))
                return
            try:
                tally.fetched = fetch_update(self._ground, offer, self._aboard.inbox, crossed), offer
            except Refused as error:
                self._aboard.inbox.discard(offer.digest)
                self._report(tally, self._refusal(offer, occasion, str(error)))

    def _objection(self, offer: Offer, occasion: Occasion) -> str | None:
        if offer.size > self._aboard.largest_update:
            return f"{offer.size} bytes exceed the {self._aboard.largest_update} that an update may have"
        if offer.base != occasion.flying:
            return f"made for {offer.base}, but {occasion.flying} flies"
        return None

    def _apply(self, occasion: Occasion, tally: _Tally) -> None:
        if tally.fetched is None:
            return
        path, offer = tally.fetched
        with tally.noting():
            try:
                report = self._on_update(path, offer)
            except Refused as error:
                report = self._refusal(offer, occasion, str(error))
            self._report(tally, report)
            self._aboard.inbox.discard(offer.digest)

    def _report(self, tally: _Tally, report: UpdateReport) -> None:
        self._aboard.outbox.put(report)
        tally.report = report

    def _refusal(self, offer: Offer, occasion: Occasion, why: str) -> UpdateReport:
        return UpdateReport(
            satellite=self._aboard.satellite,
            update=offer.digest,
            outcome=Outcome.REFUSED,
            reason=why[:_LONGEST_REASON],
            flying=occasion.flying,
            at=self._aboard.clock.now(),
        )

    def _crossed(self, tally: _Tally, direction: Direction, count: Bytes) -> None:
        tally.crossed[direction] += count
        if self._on_progress is not None:
            self._on_progress(direction, count)


@contextmanager
def _unless_refused(tally: _Tally) -> Iterator[None]:
    """What the ground does not want must not keep the rest of the session from it."""
    try:
        yield
    except Refused as error:
        tally.problems.append(str(error))
