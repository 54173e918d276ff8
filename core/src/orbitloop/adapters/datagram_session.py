"""One session of the datagram layer, the same on either side: no socket, no thread, and time is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from orbitloop.adapters.fountain import AVAILABLE, Blocks
from orbitloop.adapters.sealing import Seal, Unseal, nearest
from orbitloop.domain.bulk import BLOCK, REORDERED, Incoming, Outgoing
from orbitloop.domain.errors import BadInput
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import BitsPerSecond
from orbitloop.wire.datagrams import (
    DATA,
    IP_UDP,
    LARGEST_MESSAGE,
    OVERHEAD,
    REPAIR,
    Kind,
    Report,
    fragments,
    most_gaps,
    pack_report,
    parse_data,
    parse_fragment,
    parse_repair,
    parse_report,
    symbol_size,
)

OPTIONS_HERE = AVAILABLE
_REPORT_S = 0.1
_MANY_GAPS_S = 0.02
_SILENCE_S = 0.4
_PROBE_S = 0.2
_ASK_AGAIN_S = 0.4
_STOP_AGAIN_S = 0.5
_OVERTAKE_S = 0.05
"""Longer than datagrams are late behind each other."""
_BURST_S = 0.004
_WINDOW_S = 1.0
_ANSWERS_KEPT = 64
_MOST_PARTIAL = 16
_MOST_OBJECTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast one side may send.

    Args:
        rate: of everything that it sends, headers included.
        datagram: bytes of the largest UDP payload.
        repairs: whether both sides have the codec.
        header: bytes that the link charges for each datagram beside its payload.
        watchful: whether to probe also while something is only expected: the side that can open another session must
            find out when the other has lost this one.
    """

    rate: BitsPerSecond
    datagram: int
    repairs: bool
    header: int = IP_UDP
    watchful: bool = False


@dataclass(slots=True)
class _Going:
    out: Outgoing
    data: memoryview
    blocks: Blocks | None


@dataclass(slots=True)
class _Coming:
    incoming: Incoming
    keep: Callable[[int, memoryview], None]
    settled: Callable[[], bool]
    blocks: Blocks | None
    due: bool = False
    stopped: bool = False


@dataclass(slots=True)
class _Asked:
    bodies: list[bytes]
    at: float


class Session:
    """Objects and messages in both directions over one pair of keys.

    Feed it with :meth:`receive`, and send what :meth:`poll` returns; both in one thread, or under one lock.
    """

    def __init__(self, seal: Seal, unseal: Unseal, pace: Pace, now: float) -> None:
        self._seal, self._unseal, self._pace = seal, unseal, pace
        self.symbol = symbol_size(pace.datagram)
        self.heard_at = now
        self.answers: dict[int, bytes] = {}
        """Answers that have come, by the number of what was asked; whoever takes one removes it."""
        self.asked: deque[tuple[int, bytes]] = deque()
        """What the other side asks, once each; answer with :meth:`answer`."""
        self._asking: dict[int, _Asked] = {}
        self._last_asked = 0
        self._told: dict[int, list[bytes] | None] = {}
        self._partial: dict[tuple[Kind, int], dict[int, bytes]] = {}
        self._going: dict[int, _Going] = {}
        self._coming: dict[int, _Coming] = {}
        self._control: deque[tuple[Kind, bytes]] = deque()
        self._tokens = 0.0
        self._filled = now
        self._reported = self._probed = self._flown = now
        self._stops: dict[int, float] = {}

    # What the owner does

    def ask(self, message: bytes, now: float) -> int:
        """Ask the other side, again and again until it answers; returns the number to look for in :attr:`answers`."""
        self._last_asked = number = self._last_asked + 1
        self._asking[number] = _Asked(fragments(number, message, self._pace.datagram), now)
        self._say(Kind.ASK, self._asking[number].bodies)
        return number

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        self._asking.pop(number, None)
        self.answers.pop(number, None)

    def answer(self, number: int, message: bytes) -> None:
        """Answer what was asked; said again if it is asked again."""
        self._told[number] = bodies = fragments(number, message, self._pace.datagram)
        while len(self._told) > _ANSWERS_KEPT:
            del self._told[next(iter(self._told))]
        self._say(Kind.ANSWER, bodies)

    def send(self, number: int, data: memoryview, missing: Spans) -> Outgoing:
        """Begin to send what is ``missing`` of ``data`` as object ``number``; replaces one of that number."""
        repairs = self._pace.repairs
        out = Outgoing(len(data), missing, self.symbol, repairs=repairs)
        self._going[number] = _Going(out, data, Blocks(self.symbol) if repairs else None)
        while len(self._going) > _MOST_OBJECTS:
            del self._going[next(iter(self._going))]
        return out

    def drop(self, number: int) -> None:
        """Send no more of an object."""
        self._going.pop(number, None)

    def take(
        self,
        number: int,
        size: int,
        held: Spans,
        keep: Callable[[int, memoryview], None],
        *,
        settled: Callable[[], bool] = lambda: True,
    ) -> Incoming:
        """Expect object ``number``; ``keep`` is given its new bytes with their offsets, by :meth:`receive`.

        A report acknowledges what arrived, so none is made before ``settled`` says that a kill would not lose it.
        """
        repairs = self._pace.repairs
        incoming = Incoming(size, held, self.symbol, repairs=repairs)
        self._coming.pop(number, None)
        self._coming[number] = _Coming(incoming, keep, settled, Blocks(self.symbol) if repairs else None)
        while len(self._coming) > _MOST_OBJECTS:
            del self._coming[next(iter(self._coming))]
        return incoming

    def refuse(self, number: int) -> None:
        """Take no more of an object that is coming, and say so whenever more of it comes."""
        if (coming := self._coming.get(number)) is not None:
            coming.stopped = coming.due = True

    def poll_reports(self) -> None:
        """Let the next :meth:`poll` report on everything that is coming, whatever the time."""
        for coming in self._coming.values():
            coming.due = True
        self._reported = -1.0e9

    def release(self, number: int) -> None:
        """Forget an object that was coming."""
        self._coming.pop(number, None)

    # What the socket does

    def receive(self, kind: Kind, datagram: bytes, now: float) -> None:
        """Take in one sealed datagram.

        Raises:
            Untrusted: it is not of this session, or a repetition.
            BadInput: whoever sealed it speaks another language.
        """
        body = self._unseal.open(datagram)
        self.heard_at = now
        if kind is Kind.DATA:
            self._data(body, now)
        elif kind is Kind.REPAIR:
            self._repair(body, now)
        elif kind is Kind.REPORT:
            self._heard(parse_report(body))
        elif kind in (Kind.ASK, Kind.ANSWER):
            self._message(kind, body)
        elif kind is Kind.PROBE:
            for coming in self._coming.values():
                coming.due = True
            self._reported = now - _REPORT_S
            self._control.append((Kind.ECHO, b""))

    def poll(self, now: float) -> list[bytes]:
        """The datagrams to send now."""
        self._tend(now)
        ready = [self._sealed(kind, body) for kind, body in self._control]
        self._control.clear()
        self._refill(now)
        self._tokens -= sum(len(datagram) + self._pace.header for datagram in ready)
        if self._silent(now):
            if now - self._probed >= _PROBE_S:
                self._probed = now
                ready.append(self._sealed(Kind.PROBE, b""))
            return ready
        before = len(ready)
        self._bulk(ready)
        if len(ready) > before:
            self._flown = now
        elif self._waiting() and min(now - self._flown, now - self._probed) >= _OVERTAKE_S:
            # All is sent: whatever of it has not arrived when this does, is lost.
            self._probed = now
            self._seal.skip(REORDERED)
            ready.append(self._sealed(Kind.PROBE, b""))
        return ready

    def reports_at(self, now: float) -> bool:
        """Whether the next :meth:`poll` acknowledges what has arrived."""
        return now - self._reported >= _REPORT_S and any(coming.due for coming in self._coming.values())

    def next_poll(self, now: float) -> float:
        """Seconds until :meth:`poll` has something to do, if nothing comes."""
        if self._control:
            return 0.0
        if any(going.out.has_more for going in self._going.values()) and not self._silent(now) and not self._full():
            return max(
                0.0, (self._pace.datagram + self._pace.header - self._tokens) * 8 / self._pace.rate, _BURST_S / 4
            )
        if self._going or self._asking or any(coming.due for coming in self._coming.values()):
            return 0.02
        return 0.2

    @property
    def busy(self) -> bool:
        """Whether anything is being sent or waited for."""
        return bool(self._asking) or any(not going.out.done for going in self._going.values())

    # Sending

    def _sealed(self, kind: Kind, body: bytes) -> bytes:
        return self._seal.seal(kind, body)

    def _say(self, kind: Kind, bodies: list[bytes]) -> None:
        self._control.extend((kind, body) for body in bodies)

    def _tend(self, now: float) -> None:
        for asked in self._asking.values():
            if now - asked.at >= _ASK_AGAIN_S:
                asked.at = now
                self._say(Kind.ASK, asked.bodies)
        if now - self._reported >= _REPORT_S:
            for number, coming in self._coming.items():
                if coming.due and coming.settled():
                    self._reported = now
                    coming.due = False
                    self._say(Kind.REPORT, [self._report(number, coming)])

    def _report(self, number: int, coming: _Coming) -> bytes:
        gaps, upto = coming.incoming.gaps(most_gaps(self._pace.datagram))
        if upto < coming.incoming.size:
            self._reported -= _REPORT_S - _MANY_GAPS_S  # the rest soon
        highest = self._unseal.highest & 0xFFFF_FFFF
        return pack_report(Report(object=number, stopped=coming.stopped, highest=highest, upto=upto, gaps=gaps))

    def _refill(self, now: float) -> None:
        rate = self._pace.rate / 8
        depth = max(4.0 * (self._pace.datagram + self._pace.header), rate * _BURST_S)
        self._tokens = min(depth, self._tokens + (now - self._filled) * rate)
        self._filled = now

    def _silent(self, now: float) -> bool:
        """Whether the link seems to have gone while something is on its way or expected: then only probes are sent."""
        if now - self.heard_at <= _SILENCE_S:
            return False
        expected = self._pace.watchful and any(not coming.incoming.complete for coming in self._coming.values())
        return expected or any(going.out.in_flight and not going.out.done for going in self._going.values())

    def _full(self) -> bool:
        flying = sum(going.out.in_flight for going in self._going.values())
        return flying * self.symbol > max(2**18, self._pace.rate / 8 * _WINDOW_S)

    def _waiting(self) -> bool:
        active = [going.out for going in self._going.values() if not going.out.done]
        return bool(active) and (self._full() or not any(out.has_more for out in active))

    def _bulk(self, ready: list[bytes]) -> None:
        cost = self.symbol + OVERHEAD + self._pace.header
        while self._tokens >= cost and not self._full():
            # The oldest first: one is stored at the other end while the next is on its way, and none waits for all.
            oldest = next((going for going in self._going.items() if going[1].out.has_more), None)
            if oldest is None:
                return
            number, going = oldest
            for _ in range(16):
                if self._tokens < cost or (datagram := self._symbol_of(number, going)) is None:
                    break
                self._tokens -= len(datagram) + self._pace.header
                ready.append(datagram)

    def _symbol_of(self, number: int, going: _Going) -> bytes | None:
        what = going.out.take()
        if what is None:
            return None
        if what.repair >= 0 and going.blocks is not None:
            length = BLOCK * self.symbol
            block = what.start // length
            source = bytes(going.data[block * length : (block + 1) * length])
            count = -(-len(source) // self.symbol)
            body = REPAIR.pack(number, block, count + what.repair)
            datagram = self._sealed(Kind.REPAIR, body + going.blocks.repair(block, source, what.repair))
        else:
            datagram = self._sealed(Kind.DATA, DATA.pack(number, what.start) + going.data[what.start : what.end])
        going.out.sent(what, self._seal.sequence)
        return datagram

    # Receiving

    def _data(self, body: bytes, now: float) -> None:
        number, start, data = parse_data(body)
        coming = self._expected(number, now)
        if coming is not None and coming.incoming.arrived(start, data):
            coming.keep(start, data)
            if coming.blocks is not None and coming.incoming.solvable(start // (BLOCK * self.symbol)):
                self._solve(coming, start // (BLOCK * self.symbol))
            if coming.incoming.complete:
                self._reported = now - _REPORT_S

    def _repair(self, body: bytes, now: float) -> None:
        number, block, symbol, data = parse_repair(body)
        coming = self._expected(number, now)
        if coming is None or coming.blocks is None:
            return
        length = max(0, min(BLOCK * self.symbol, coming.incoming.size - block * BLOCK * self.symbol))
        place = symbol - -(-length // self.symbol)
        if place >= 0 and coming.incoming.repaired(block, place, data):
            self._solve(coming, block)
            if coming.incoming.complete:
                self._reported = now - _REPORT_S

    def _solve(self, coming: _Coming, block: int) -> None:
        assert coming.blocks is not None
        solved = coming.blocks.solve(*coming.incoming.puzzle(block))
        if solved is not None:
            for start, piece in coming.incoming.solved(block, solved):
                coming.keep(start, piece)

    def _expected(self, number: int, now: float) -> _Coming | None:
        coming = self._coming.get(number)
        if coming is None:
            if now - self._stops.get(number, -1.0e9) > _STOP_AGAIN_S:
                self._stops[number] = now
                stop = Report(object=number, stopped=True, highest=0, upto=0, gaps=Spans())
                self._control.append((Kind.REPORT, pack_report(stop)))
            return None
        coming.due = True
        return None if coming.stopped else coming

    def _heard(self, report: Report) -> None:
        going = self._going.get(report.object)
        if going is None:
            return
        if report.stopped:
            going.out.stopped = True
        else:
            going.out.heard(report.gaps, report.upto, nearest(report.highest, self._seal.sequence))

    def _message(self, kind: Kind, body: bytes) -> None:
        number, part, count, data = parse_fragment(body)
        if kind is Kind.ANSWER and number not in self._asking:
            return
        if kind is Kind.ASK and number in self._told:
            if part == 0 and (told := self._told[number]) is not None:
                self._say(Kind.ANSWER, told)
            return
        parts = self._partial.setdefault((kind, number), {})
        parts[part] = data
        if len(parts) == count:
            del self._partial[kind, number]
            self._complete(kind, number, b"".join(parts[place] for place in range(count) if place in parts))
        while len(self._partial) > _MOST_PARTIAL:
            del self._partial[next(iter(self._partial))]

    def _complete(self, kind: Kind, number: int, message: bytes) -> None:
        if len(message) > LARGEST_MESSAGE:
            raise BadInput(f"a message of {len(message)} bytes; the most is {LARGEST_MESSAGE}")
        if kind is Kind.ASK:
            self._told[number] = None
            self.asked.append((number, message))
        else:
            del self._asking[number]
            self.answers[number] = message
