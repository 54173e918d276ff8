"""The ground's gateway over sealed datagrams: for links that lose, fade and reorder, where TCP stalls."""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

from pydantic import BaseModel

from orbitloop.adapters.datagram_session import OPTIONS_HERE, Pace, Session
from orbitloop.adapters.sealing import LinkKey, Seal, Unseal
from orbitloop.domain.bulk import Outgoing
from orbitloop.domain.errors import BadInput, LinkClosed, NotYet, Untrusted
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import BitsPerSecond, Bytes, Digest
from orbitloop.ports.gateway import Crossed, Transfer
from orbitloop.wire.datagram_messages import (
    About,
    Announcement,
    Purpose,
    Question,
    Reply,
    Request,
    Standing,
    bounded,
    packed,
    raised,
    read,
    spans_of,
    unpacked,
)
from orbitloop.wire.datagrams import (
    HEADER,
    IP_UDP,
    LARGEST,
    NONCE,
    SMALLEST,
    Kind,
    Open,
    Options,
    kind_of,
    parse_accept,
)
from orbitloop.wire.messages import Goodbye, Hello, Receipt, Telemetry, UpdateReport, Welcome
from orbitloop.wire.node_messages import NodeEvents
from orbitloop_edge.adapters.arrivals import Arrivals, joined
from orbitloop_edge.adapters.datagram_socket import Way, drain, received

_log = logging.getLogger(__name__)

FRAME_PAYLOAD = 1_008
"""Bytes that a frame of the recorded downlink carries."""
_OPEN_AGAIN_S = 0.3
_REOPEN_S = 0.5
_LISTEN_S = 0.1
_LARGEST_OBJECT = 2**32 - 1
_NUMBERS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DatagramLink:
    """How a satellite uses its datagrams.

    Args:
        rate: of everything that it sends, headers included.
        header: bytes that the link charges for each datagram beside its payload.
        datagram: bytes of the largest UDP payload; by default it fills one frame of the recorded downlink.
        patience: how long the ground may take to answer at all.
        fade: how long it may then be silent, in the midst of something, before the contact counts as lost. Fades of
            127 s occur in a recorded pass.
        lasts: what is left of the pass, at the end of which the contact is over; ``None`` where nobody knows.
        raptorq: whether to make losses good by repair symbols, where both sides can.
    """

    rate: BitsPerSecond = BitsPerSecond(100_000_000)
    datagram: int = FRAME_PAYLOAD - IP_UDP
    header: int = IP_UDP
    patience: timedelta = timedelta(seconds=20)
    fade: timedelta = timedelta(seconds=150)
    lasts: timedelta | None = None
    raptorq: bool = True

    def __post_init__(self) -> None:
        if not SMALLEST <= self.datagram <= LARGEST:
            raise BadInput(f"datagrams of {self.datagram} bytes; choose {SMALLEST} to {LARGEST}")
        if self.rate <= 0 or min(self.patience, self.fade) <= timedelta(0):
            raise BadInput("rate, patience and fade of a datagram link must be positive")


class DatagramGateway:
    """The :class:`~orbitloop.ports.gateway.Gateway` at ``address`` (host and UDP port). Threads may share one.

    A thread of its own carries the datagrams. A silent link is no end: it goes on the moment anything is heard, and
    opens a new session by itself when the ground was restarted.
    """

    def __init__(
        self, address: tuple[str, int], satellite: str, key: LinkKey, link: DatagramLink | None = None
    ) -> None:
        self._satellite, self._key, self._link = satellite, key, link or DatagramLink()
        self._ends = None if self._link.lasts is None else time.monotonic() + self._link.lasts.total_seconds()
        self._way = Way(address)
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._guard = threading.Condition()
        self._session: Session | None = None
        self._number = -1
        self._generation = 0
        self._opening: Open | None = self._new_opening()
        self._opened_at = -1.0e9
        self._reset_at = -1.0e9
        self._announced: dict[Digest, tuple[int, int]] = {}
        self._down = self._up = 0
        self._closed = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="datagrams", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; whoever waits is told that the link was lost."""
        with self._guard:
            self._closed = True
            self._guard.notify_all()
        self._stir()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        for end in (self._way, self._wake, self._woken):
            end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def hello(self, hello: Hello) -> Welcome:
        """Open the session."""
        return read(self._ask(Purpose.HELLO, hello), Welcome)

    def report(self, report: UpdateReport) -> None:
        """Say what became of an update."""
        self._ask(Purpose.REPORT, report)

    def telemetry(self, telemetry: Telemetry) -> None:
        """Say what happened since launch."""
        self._ask(Purpose.TELEMETRY, telemetry)

    def events(self, events: NodeEvents) -> None:
        """Say what happened at the node."""
        self._ask(Purpose.EVENTS, events)

    def goodbye(self, goodbye: Goodbye) -> None:
        """End the session."""
        self._ask(Purpose.GOODBYE, goodbye)

    def begin(self, bundle: Digest, size: Bytes) -> Transfer:
        """Announce a bundle, or find how far it came before, durably."""
        if size > _LARGEST_OBJECT:
            raise BadInput(f"bundle {bundle} of {size} bytes is too large for datagrams; the most is {_LARGEST_OBJECT}")
        with self._guard:
            known = self._announced.get(bundle)
            if known is None:
                self._down = (self._down + 1) % _NUMBERS
            number = self._down if known is None else known[0]
        announcement = Announcement(number=number, bundle=bundle, size=size)
        body, generation = self._wait((_packed(Purpose.BEGIN, announcement), None))
        standing = read(body, Standing)
        with self._guard:
            self._announced[bundle] = number, generation
        return Transfer(bundle=bundle, size=size, held=spans_of(standing.missing, size).missing(size))

    def send(self, transfer: Transfer, data: memoryview, most: Bytes, crossed: Crossed) -> Transfer:
        """Send up to ``most`` of the missing bytes of the bundle ``data``; returns where it stands, durably.

        Raises:
            LinkClosed: nothing was heard for as long as the link's patience; what the ground has is kept there.
            NotYet: the ground does not keep it now.
        """
        wanted = transfer.missing.first(most)
        before = transfer
        while wanted:
            with self._guard:
                number, announced = self._announced.get(transfer.bundle, (-1, -1))
                session = self._session if announced == self._generation else None
                out = None if session is None else session.send(number, data, wanted)
            if out is not None:
                self._stir()
                self._follow(out, wanted.count, announced, crossed)
            transfer = self.begin(transfer.bundle, transfer.size)
            wanted = _common(wanted, transfer)
            if out is not None and out.stopped and wanted:
                raise NotYet(f"the ground takes no more of bundle {transfer.bundle} now; go on next contact")
        if transfer.held.count < before.held.count:
            raise NotYet(f"the ground has lost some of bundle {transfer.bundle}; go on next contact")
        return transfer

    def receipt(self, bundle: Digest) -> Receipt | None:
        """The ground's word that it holds the bundle durably."""
        body = self._ask(Purpose.RECEIPT, About(bundle=bundle))
        with self._guard:
            self._announced.pop(bundle, None)
        return read(body, Receipt) if body else None

    @contextmanager
    def fetch(self, artifact: Digest, size: Bytes, missing: Spans) -> Iterator[Iterator[tuple[int, bytes]]]:
        """The missing bytes of an artifact with their offsets, in the order in which they arrive.

        Raises:
            BadInput: the ground has no such artifact, or none of that length; from the iterator.
        """
        with closing(self._pieces_of(artifact, size, missing)) as pieces:
            yield pieces

    def _pieces_of(self, artifact: Digest, size: Bytes, missing: Spans) -> Generator[tuple[int, bytes], None, None]:
        while missing:
            with self._guard:
                self._up = number = (self._up + 1) % _NUMBERS
            arrivals = Arrivals(number, size, missing)
            request = Request(number=number, artifact=artifact, size=size, missing=bounded(missing, size))
            try:
                _, generation = self._wait((_packed(Purpose.FETCH, request), arrivals.expect))
                for start, piece in self._arriving(arrivals, generation):
                    missing = _without(missing, start, start + len(piece), size)
                    yield start, piece
                    if not missing:
                        break
            finally:
                self._finish(arrivals)

    def _arriving(self, arrivals: Arrivals, generation: int) -> Iterator[tuple[int, bytes]]:
        """What arrives in this session, until it is replaced by another."""
        since = time.monotonic()
        while True:
            with self._guard:
                arrivals.taken = True  # whoever asks for more has kept what it was given
                if not arrivals.came:
                    if generation != self._generation:
                        return
                    self._demand_life(since)
                    self._guard.wait(_LISTEN_S)
                ready = [arrivals.came.popleft() for _ in range(len(arrivals.came))]
                arrivals.taken = not ready
            yield from joined(ready)

    def _finish(self, arrivals: Arrivals) -> None:
        with self._guard:
            arrivals.taken = True
            if self._session is not None and arrivals.incoming is not None:
                if arrivals.incoming.complete:
                    self._session.poll_reports()
                else:
                    self._session.release(arrivals.number)
        self._stir()

    # Waiting for the ground

    def _ask(self, purpose: Purpose, message: BaseModel) -> str:
        return self._wait((_packed(purpose, message), None))[0]

    def _wait(self, asking: tuple[bytes, Callable[[Session], object] | None]) -> tuple[str, int]:
        """Ask until it is answered, again in every new session; returns the answer and the session's generation."""
        question, before = asking
        asked, number = -1, 0
        since = time.monotonic()
        with self._guard:
            while True:
                self._demand_life(since)
                session = self._session
                if session is not None and asked != self._generation:
                    asked = self._generation
                    if before is not None:
                        before(session)
                    number = session.ask(question, time.monotonic())
                    self._stir()
                elif session is not None and number in session.answers:
                    return raised(unpacked(session.answers.pop(number), Reply)), asked
                self._guard.wait(_LISTEN_S)

    def _follow(self, out: Outgoing, told: int, generation: int, crossed: Crossed) -> None:
        since = time.monotonic()
        while True:
            with self._guard:
                if not out.done and generation == self._generation:
                    self._demand_life(since)
                    self._guard.wait(_LISTEN_S)
                left, over = out.left, out.done or generation != self._generation
            if left < told:
                crossed(Bytes(told - left))
                told = left
            if over:
                return

    def _demand_life(self, since: float) -> None:
        """Raises ``LinkClosed`` unless something was heard lately, counted from ``since``."""
        if self._failure is not None:
            raise LinkClosed(f"the datagrams' thread ended: {self._failure}") from self._failure
        now = time.monotonic()
        if self._ends is not None and now > self._ends:
            raise LinkClosed("the pass is over; go on next contact")
        heard = since if self._session is None else max(since, self._session.heard_at)
        allowed = self._link.patience if self._session is None else self._link.fade
        if self._closed or now - heard > allowed.total_seconds():
            raise LinkClosed("the link was lost: the ground is silent; go on next contact")

    # The thread

    def _stir(self) -> None:
        try:
            self._wake.send(b"\0")
        except OSError:
            return  # it is awake already, or gone

    def _run(self) -> None:
        try:
            while not self._closed:
                self._carry()
        except Exception as error:  # noqa: BLE001  # whoever waits is told, instead of waiting for ever
            _log.exception("datagrams_failed")
            with self._guard:
                self._failure = error
                self._guard.notify_all()

    def _carry(self) -> None:
        with self._guard:
            now = time.monotonic()
            ready = self._due(now)
            pause = min(
                0.0 if ready else 1.0,
                _OPEN_AGAIN_S if self._session is None else self._session.next_poll(now),
            )
        for datagram in ready:
            self._way.send(datagram)
        readable, _, _ = select.select([*self._way.sockets, self._woken], [], [], pause)
        if self._woken in readable:
            drain(self._woken)
        for inlet in [one for one in self._way.sockets if one in readable]:
            came = received(inlet)
            with self._guard:
                for datagram in came:
                    self._take(datagram, time.monotonic())
                self._guard.notify_all()
            if self._session is not None:
                self._way.settle(inlet)
                break

    def _due(self, now: float) -> list[bytes]:
        ready: list[bytes] = []
        if self._opening is not None and now - self._opened_at >= _OPEN_AGAIN_S:
            self._opened_at = now
            self._way.turn()
            signed = self._opening.signed()
            ready.append(signed + self._key.sign(signed))
        if self._session is not None:
            ready += self._session.poll(now)
        return ready

    def _take(self, datagram: bytes, now: float) -> None:
        """One datagram; what is not of this session is dropped without a word."""
        try:
            kind = kind_of(datagram)
            if kind is Kind.ACCEPT:
                self._accept(datagram, now)
            elif kind is Kind.RESET:
                self._was_reset(datagram, now)
            elif kind is not None and self._session is not None and kind >= Kind.DATA:
                self._session.receive(kind, datagram, now)
        except (BadInput, Untrusted):
            return

    def _accept(self, datagram: bytes, now: float) -> None:
        accept, code = parse_accept(datagram)
        if self._opening is None:
            return
        self._key.check(code, self._opening.signed(), accept.signed())
        down, up = self._key.directions(self._opening.nonce + accept.nonce, accept.options)
        pace = Pace(
            rate=self._link.rate,
            datagram=min(accept.datagram, self._link.datagram),
            repairs=bool(accept.options & Options.RAPTORQ),
            header=self._link.header,
            watchful=True,
        )
        self._session = Session(Seal(down, accept.session), Unseal(up), pace, now)
        self._number, self._opening = accept.session, None
        self._generation += 1
        self._announced = {bundle: (number, -1) for bundle, (number, _) in self._announced.items()}

    def _was_reset(self, datagram: bytes, now: float) -> None:
        if len(datagram) != HEADER.size or HEADER.unpack(datagram)[1] != self._number:
            return
        if self._opening is None and now - self._reset_at > _REOPEN_S:
            self._reset_at = now
            self._opening = self._new_opening()
            self._opened_at = -1.0e9

    def _new_opening(self) -> Open:
        options = Options.RAPTORQ if self._link.raptorq and OPTIONS_HERE else Options(0)
        return Open(satellite=self._satellite, nonce=os.urandom(NONCE), options=options, datagram=self._link.datagram)


def _packed(purpose: Purpose, message: BaseModel) -> bytes:
    return packed(Question(purpose=purpose, body=message.model_dump_json()))


def _common(wanted: Spans, transfer: Transfer) -> Spans:
    held = [*transfer.held, *wanted.missing(transfer.size)]
    return Spans.of(held).missing(transfer.size)


def _without(missing: Spans, start: int, end: int, size: int) -> Spans:
    return missing.missing(size).add(start, end).missing(size)
