"""The gateway for datagrams: one UDP socket, one thread that carries, a few that work on disk and ledger."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from orbitloop.adapters.datagram_session import OPTIONS_HERE, Pace, Session
from orbitloop.adapters.sealing import LinkKey, Replayed, Seal, Unseal
from orbitloop.domain.errors import BadInput, OrbitloopError, Untrusted
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.ports.uploads import Upload
from orbitloop.wire.datagrams import (
    HEADER,
    IP_UDP,
    LARGEST,
    NONCE,
    Accept,
    Kind,
    Open,
    Options,
    kind_of,
    parse_open,
    reset,
)
from orbitloop_ground.usecases.watch import NobodyWatches, Refusal, Watch, Way

_log = logging.getLogger(__name__)

_AT_ONCE = 128
_BUFFER = 8 * 2**20
_FLUSH_BYTES = 256 * 2**10
_FLUSH_S = 0.02
_SWEEP_S = 1.0
_MOST_HALF_OPEN = 8
_HALF_OPEN_S = 30.0
_FORGOTTEN_S = 900.0
_WORKERS = 4
_RESETS_A_SECOND = 100

Address = tuple[str, int] | tuple[str, int, int, int]
Effect = Callable[[Session], None]
"""What an answer changes in the session; carried out in its thread."""
Answered = tuple[bytes, Effect | None]


class Answers(Protocol):
    """What the ground does with a question; may take its time, and is called in several threads."""

    def answer(self, satellite: str, question: bytes, peer: Peer) -> Answered:
        """The reply, and what it changes in the session."""
        ...

    def write(self, upload: Upload, start: int, data: bytes) -> Upload:
        """Keep bytes of an upload. Raises ``NoSpace``, ``NotYet`` or ``BadInput``."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Peer:
    """One session with one satellite."""

    satellite: str
    number: int
    key: LinkKey
    session: Session
    address: Address
    opened: float
    proved: bool = False
    accepted: tuple[bytes, bytes] = (b"", b"")
    uploads: dict[int, Upload] = field(default_factory=dict)
    arrived: list[tuple[int, int, memoryview]] = field(default_factory=list)
    waiting: int = 0

    def keep(self, number: int) -> Callable[[int, memoryview], None]:
        """What to do with bytes of object ``number``: gather them, to be written many at a time."""

        def gather(start: int, data: memoryview) -> None:
            self.arrived.append((number, start, data))
            self.waiting += len(data)

        return gather


@dataclass(frozen=True, slots=True, kw_only=True)
class DatagramSettings:
    """How the ground takes datagrams.

    Args:
        host: address to listen on.
        port: UDP port; 0 takes a free one.
        rate: of everything that is sent to one satellite, headers included.
        header: bytes that the link charges for each datagram beside its payload.
        datagram: bytes of the largest UDP payload that is agreed on.
    """

    host: str = "127.0.0.1"
    port: int = 0
    rate: BitsPerSecond = BitsPerSecond(1_000_000)
    datagram: int = LARGEST
    header: int = IP_UDP


class DatagramServer:
    """Serves satellites for as long as the ``with`` block lasts.

    Strangers, repetitions and nonsense are dropped without a word, and counted by reason. The answer to an opening
    datagram is not longer than it, and only those made with a satellite's key are answered.

    Args:
        answers: see :class:`~orbitloop_ground.adapters.datagram_answers.DatagramAnswers`.
        key_of: the link key of a satellite that may speak, by name; asked again every second, so that revoking one
            ends its session.
        watch: told whenever a datagram is dropped, and of bytes of bundles and datagrams as they cross.
    """

    def __init__(
        self,
        answers: Answers,
        key_of: Callable[[str], bytes | None],
        settings: DatagramSettings | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._answers, self._key_of, self._watch = answers, key_of, watch or NobodyWatches()
        self._settings = settings or DatagramSettings()
        self._peers: dict[int, Peer] = {}
        self._done: deque[tuple[Peer, int, Answered]] = deque()
        self._swept = self._flushed = 0.0
        self._resets = _RESETS_A_SECOND
        self._stopped = False

    @property
    def port(self) -> int:
        """The UDP port that it listens on."""
        return int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        """Begin to listen. Raises ``BadInput`` if the port cannot be had."""
        self._socket = _bound(self._settings.host, self._settings.port)
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._workers = ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="datagram-answers")
        self._thread = threading.Thread(target=self._run, name="datagrams", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stopped = True
        self._stir()
        self._thread.join()
        self._workers.shutdown()
        for end in (self._socket, self._wake, self._woken):
            end.close()

    def _run(self) -> None:
        while not self._stopped:
            now = time.monotonic()
            pause = 1.0
            for peer in self._peers.values():
                if peer.arrived and peer.session.reports_at(now):
                    self._flush(peer)  # what is acknowledged survives a kill
                ready = peer.session.poll(now)
                for datagram in ready:
                    self._send(datagram, peer.address)
                if ready and peer.proved:
                    self._watch.crossed(peer.satellite, Way.OUT, Bytes(sum(map(len, ready))))
                pause = min(pause, 0.0 if ready else peer.session.next_poll(now))
                if peer.arrived:
                    pause = min(pause, _FLUSH_S)
            readable, _, _ = select.select([self._socket, self._woken], [], [], pause)
            if self._woken in readable:
                self._woken.recv(4_096)
            if self._socket in readable:
                self._receive()
            self._settle(time.monotonic())
        for peer in self._peers.values():
            self._flush(peer)

    def _settle(self, now: float) -> None:
        due = now - self._flushed >= _FLUSH_S
        for peer in self._peers.values():
            if peer.arrived and (due or peer.waiting >= _FLUSH_BYTES or peer.session.asked):
                self._flush(peer)
            while peer.session.asked:
                self._workers.submit(self._work, peer, *peer.session.asked.popleft())
        if due:
            self._flushed = now
        while self._done:
            peer, number, (reply, effect) = self._done.popleft()
            if effect is not None:
                effect(peer.session)
            peer.session.answer(number, reply)
        if now - self._swept >= _SWEEP_S:
            self._sweep(now)

    def _work(self, peer: Peer, number: int, question: bytes) -> None:
        try:
            answered = self._answers.answer(peer.satellite, question, peer)
        except Exception:
            _log.exception("datagram_answer_failed", extra={"satellite": peer.satellite})
            raise
        self._done.append((peer, number, answered))
        self._stir()

    def _stir(self) -> None:
        try:
            self._wake.send(b"\0")
        except BlockingIOError:
            return  # it is awake already

    def _flush(self, peer: Peer) -> None:
        """Write what has arrived, neighbours together."""
        arrived, peer.arrived, peer.waiting = peer.arrived, [], 0
        place = 0
        while place < len(arrived):
            number, start, _ = arrived[place]
            end, parts = start, []
            while place < len(arrived) and arrived[place][:2] == (number, end):
                parts.append(arrived[place][2])
                end += len(arrived[place][2])
                place += 1
            try:
                self._answers.write(peer.uploads[number], start, b"".join(parts))
                self._watch.crossed(peer.satellite, Way.IN, Bytes(end - start))
            except OrbitloopError as error:
                _log.warning("datagrams_not_kept", extra={"satellite": peer.satellite, "why": str(error)})
                peer.session.refuse(number)

    def _receive(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                datagram, address = self._socket.recvfrom(LARGEST + 1)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP answer to what was sent before
            try:
                self._take(datagram, address)
            except Replayed:
                self._watch.refused(Refusal.REPLAYED)
            except Untrusted:
                self._watch.refused(Refusal.STRANGER)
            except BadInput:
                self._watch.refused(Refusal.MALFORMED)

    def _take(self, datagram: bytes, address: Address) -> None:
        kind = kind_of(datagram)
        now = time.monotonic()
        if kind is Kind.OPEN:
            self._open(datagram, address, now)
            return
        if kind is None or kind < Kind.DATA or len(datagram) < HEADER.size:
            return  # of a later version, or an answer that went astray
        _, number, sequence = HEADER.unpack_from(datagram)
        peer = self._peers.get(number)
        if peer is None:
            self._watch.refused(Refusal.STRANGER)
            if self._resets > 0:
                self._resets -= 1
                self._send(reset(number, sequence), address)
            return
        peer.session.receive(kind, datagram, now)
        peer.address = address
        if not peer.proved:
            self._prove(peer)

    def _open(self, datagram: bytes, address: Address, now: float) -> None:
        wanted, code = parse_open(datagram)
        key = self._key(wanted.satellite)
        if key is None:
            raise Untrusted(f"no satellite {wanted.satellite!r} has a link key here")
        key.check(code, wanted.signed())
        mine = [peer for peer in self._peers.values() if peer.satellite == wanted.satellite]
        again = next((peer for peer in mine if peer.accepted[0] == wanted.nonce), None)
        if again is None:
            half_open = [peer for peer in mine if not peer.proved]
            if len(half_open) >= _MOST_HALF_OPEN:
                self._watch.refused(Refusal.TOO_MANY)
                del self._peers[half_open[0].number]
            again = self._accept(wanted, key, address, now)
        self._send(again.accepted[1], address)

    def _key(self, satellite: str) -> LinkKey | None:
        try:
            secret = self._key_of(satellite)
        except OrbitloopError as error:
            _log.error("link_key_damaged", extra={"satellite": satellite, "why": str(error)})
            return None
        return None if secret is None else LinkKey(secret)

    def _accept(self, wanted: Open, key: LinkKey, address: Address, now: float) -> Peer:
        number = int.from_bytes(os.urandom(2), "big")
        while number in self._peers:
            number = (number + 1) % 2**16
        options = wanted.options & (Options.AES_GCM | (Options.RAPTORQ if OPTIONS_HERE else Options(0)))
        datagram = min(wanted.datagram, self._settings.datagram)
        accept = Accept(session=number, nonce=os.urandom(NONCE), options=options, datagram=datagram)
        down, up = key.directions(wanted.nonce + accept.nonce, options)
        pace = Pace(
            rate=self._settings.rate,
            datagram=datagram,
            repairs=bool(options & Options.RAPTORQ),
            header=self._settings.header,
        )
        answer = accept.signed() + key.sign(wanted.signed(), accept.signed())
        self._peers[number] = peer = Peer(
            satellite=wanted.satellite,
            number=number,
            key=key,
            session=Session(Seal(up, number), Unseal(down), pace, now),
            address=address,
            opened=now,
            accepted=(wanted.nonce, answer),
        )
        return peer

    def _prove(self, peer: Peer) -> None:
        """The satellite has shown that it knows the session's key: any older session of it is over."""
        peer.proved = True
        for other in [other for other in self._peers.values() if other.satellite == peer.satellite]:
            if other is not peer and other.opened <= peer.opened:
                self._flush(other)
                del self._peers[other.number]
        _log.info("datagram_session", extra={"satellite": peer.satellite, "session": peer.number})

    def _sweep(self, now: float) -> None:
        self._swept, self._resets = now, _RESETS_A_SECOND
        for peer in list(self._peers.values()):
            age = now - peer.session.heard_at
            if self._key(peer.satellite) != peer.key:
                self._watch.refused(Refusal.REVOKED)
            elif age <= (_FORGOTTEN_S if peer.proved else _HALF_OPEN_S):
                continue
            self._flush(peer)
            del self._peers[peer.number]

    def _send(self, datagram: bytes, address: Address) -> None:
        try:
            self._socket.sendto(datagram, address)
        except BlockingIOError:
            return  # lost, like any datagram
        except OSError as error:
            if error.errno not in (errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM):
                raise


def _bound(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise BadInput(
            f"cannot listen for datagrams on {host} port {port}: {error.strerror}; free it or choose another"
        ) from error
    return made
