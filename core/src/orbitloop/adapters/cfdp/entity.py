"""A CFDP entity: sends and receives many files at a time, in contact and out of it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spacepackets.cfdp import TransmissionMode
from spacepackets.cfdp.pdu import DirectiveType, EofPdu, FileDataPdu, FinishedPdu, KeepAlivePdu, MetadataPdu, NakPdu

from orbitloop.adapters.cfdp.contact_time import ContactTime
from orbitloop.adapters.cfdp.datagrams import Address, Datagrams, UdpDatagrams
from orbitloop.adapters.cfdp.inbox import Inbox
from orbitloop.adapters.cfdp.library import parts_of
from orbitloop.adapters.cfdp.numbers import DurableNumbers
from orbitloop.adapters.cfdp.pdus import (
    acknowledges,
    eof_acknowledgement,
    finished_acknowledgement,
    key_of,
    read_pdu,
)
from orbitloop.adapters.cfdp.reception import Identity, Reception
from orbitloop.adapters.cfdp.sending import Order, Sending
from orbitloop.adapters.cfdp.values import (
    Counts,
    EntityId,
    EntitySettings,
    Listener,
    RemoteEntity,
    TransactionKey,
    TransferClass,
)
from orbitloop.domain.errors import BadInput
from orbitloop.domain.token_bucket import TokenBucket
from orbitloop.domain.units import BitsPerSecond, Bytes

_AT_A_TIME = 256  # datagrams in or out between two looks at the timers
_HEADERS = 28  # IPv4 and UDP
_BURST = Bytes(3_000)
_UNPACED = BitsPerSecond(10**12)
_PAUSE = 0.02  # seconds: how fine the timers are
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    at: int
    identity: Identity
    finished: bytes | None


class _Peer:
    """What waits to be sent to one remote entity."""

    def __init__(self, remote: RemoteEntity, now: int) -> None:
        self.remote = remote
        self.address: Address = (remote.host, remote.port)
        self.bucket = TokenBucket(rate=remote.rate or _UNPACED, depth=_BURST, now=now)
        self.answers: deque[bytes] = deque()
        self.unsent: bytes | None = None


class CfdpEntity:
    """One CFDP entity. Steps in its own thread after :meth:`start`, or in the caller's by :meth:`step`.

    All methods may be called from any thread. Partial files do not survive a restart, since the library cannot take up
    a transaction again: they are removed, and the sender's repeated EOF makes it send the file anew.

    Args:
        settings: what it is and whom it knows.
        listener: who hears of results, in the thread that steps.
        datagrams: where PDUs come and go; UDP at the settings' address if None.
        monotonic: nanoseconds of a clock that never goes back.

    Raises:
        BadInput: its address is taken, or the inbox's sequence file is damaged.
    """

    def __init__(
        self,
        settings: EntitySettings,
        listener: Listener,
        *,
        datagrams: Datagrams | None = None,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.counts = Counts()
        self._settings = settings
        self._listener = listener
        self._inbox = Inbox(settings.inbox, listener)
        self._numbers = DurableNumbers(self._inbox.sequence)
        self._time = ContactTime(monotonic)
        self._parts = parts_of(settings.id, settings.remotes, settings.timers, self._time)
        self._peers = {remote.id: _Peer(remote, self._time.now()) for remote in settings.remotes}
        self._sendings: OrderedDict[TransactionKey, Sending] = OrderedDict()
        self._receptions: OrderedDict[TransactionKey, Reception] = OrderedDict()
        self._ended: OrderedDict[TransactionKey, _Ended] = OrderedDict()
        self._guard = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._datagrams = datagrams or UdpDatagrams(settings.host, settings.port)

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self._datagrams.address

    @property
    def suspended(self) -> bool:
        """Whether nothing is sent."""
        return self._time.suspended

    @property
    def busy(self) -> bool:
        """Whether any transaction, or an answer to one, is under way."""
        with self._guard:
            answers = any(peer.answers or peer.unsent for peer in self._peers.values())
            return bool(self._sendings or self._receptions or answers)

    def send(
        self,
        path: Path,
        to: EntityId,
        *,
        name: str | None = None,
        transfer_class: TransferClass = TransferClass.ACKNOWLEDGED,
        closure: bool = False,
    ) -> TransactionKey:
        """Begin to send a file, which must not change until it has ended.

        Args:
            path: the file.
            to: the receiving entity.
            name: under which it is announced; its own if None. At most 255 octets.
            transfer_class: acknowledged or not.
            closure: class 1: ask the receiver to say how it ended.

        Raises:
            BadInput: the entity is not known, or the file or its name cannot be sent.
        """
        if to not in self._peers:
            raise BadInput(f"CFDP entity {to} is not known; give its address, known are {sorted(self._peers)}")
        announced = path.name if name is None else name
        if not path.is_file() or not 1 <= len(announced.encode()) <= 255:
            raise BadInput(f"{path}: no file to send, or no name of 1 to 255 octets: {announced!r}")
        segment = self._peers[to].remote.segment
        order = Order(path=path, to=to, name=announced, segment=segment, transfer_class=transfer_class, closure=closure)
        with self._guard:
            sending = Sending(order, self._parts, self._numbers)
            self._sendings[sending.key] = sending
        return sending.key

    def progress(self, key: TransactionKey) -> Bytes | None:
        """Bytes that were sent, or came, of a transaction under way."""
        with self._guard:
            found = self._sendings.get(key) or self._receptions.get(key)
            return None if found is None else found.progress

    def cancel(self, key: TransactionKey) -> None:
        """Stop sending a file; the listener hears of it. Nothing happens if it has ended."""
        with self._guard:
            if (sending := self._sendings.get(key)) is not None:
                sending.cancel()

    def suspend(self) -> None:
        """Loss of signal: send nothing and let no timer run; what still comes is heard, and answered later."""
        with self._guard:
            self._time.suspend()

    def resume(self) -> None:
        """Acquisition of signal: go on, and say again at once whatever waits for an answer. Idempotent."""
        with self._guard:
            if not self.suspended:
                return
            self._time.resume()
            for transaction in self._transactions():
                transaction.hurry()

    def step(self, wait: float = 0.0) -> None:
        """Hear, decide, and send what the rates allow; then wait up to ``wait`` seconds if there was nothing to do."""
        with self._guard:
            heard = self._hear()
            if not self.suspended:
                for transaction in self._transactions():
                    transaction.tick()
            self._settle()
            pause = wait if self.suspended else min(wait, self._speak())
            self._settle()
        if pause > 0 and heard < _AT_A_TIME:
            self._datagrams.wait(pause)

    def start(self) -> None:
        """Step in a thread of its own until :meth:`close`."""
        self._thread = threading.Thread(target=self._run, name=f"cfdp-{self._settings.id}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; partial files are removed. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        with self._guard:
            for reception in self._receptions.values():
                reception.discard()
            self._receptions.clear()
            self._datagrams.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.step(_PAUSE)

    def _transactions(self) -> list[Sending | Reception]:
        return [*self._sendings.values(), *self._receptions.values()]

    # hearing

    def _hear(self) -> int:
        heard = 0
        for datagram in self._datagrams.receive(_AT_A_TIME):
            heard += 1
            try:
                pdu = read_pdu(datagram)
            except BadInput:
                self.counts.malformed += 1
                continue
            if not self._take(pdu, datagram):
                self.counts.ignored += 1
        return heard

    def _take(self, pdu: Any, raw: bytes) -> bool:
        key = key_of(pdu)
        to_sender = isinstance(pdu, NakPdu | FinishedPdu | KeepAlivePdu) or acknowledges(pdu, DirectiveType.EOF_PDU)
        us, peer = (key.source, pdu.dest_entity_id.value) if to_sender else (pdu.dest_entity_id.value, key.source)
        if us != self._settings.id or peer not in self._peers:
            self.counts.strangers += 1
            return True
        return self._take_answer(key, pdu, peer) if to_sender else self._take_part(key, pdu, raw)

    def _take_answer(self, key: TransactionKey, pdu: Any, peer: EntityId) -> bool:
        sending = self._sendings.get(key)
        if sending is not None:
            return sending.take(pdu)
        if isinstance(pdu, FinishedPdu) and pdu.transmission_mode == TransmissionMode.ACKNOWLEDGED:
            # Our acknowledgement was lost, or this process began anew: without one it is repeated for ever.
            self._answer(peer, finished_acknowledgement(pdu))
            return True
        return False

    def _take_part(self, key: TransactionKey, pdu: Any, raw: bytes) -> bool:
        if (reception := self._receptions.get(key)) is not None:
            if not reception.identity.contradicts(pdu):
                return reception.take(pdu, raw)
            self._end(reception)
            del self._ended[key]
        elif (ended := self._ended.get(key)) is not None:
            if not self._is_new(ended, pdu):
                return self._take_repeated(key, ended, pdu)
            del self._ended[key]
        if not isinstance(pdu, MetadataPdu | FileDataPdu | EofPdu):
            return False
        if len(self._receptions) >= self._settings.limits.transactions:
            self.counts.turned_away += 1
            return True
        reception = Reception(key, self._inbox.part(key), self._parts, self._settings.limits, self._inbox.deliver)
        self._receptions[key] = reception
        return reception.take(pdu, raw)

    def _is_new(self, ended: _Ended, pdu: Any) -> bool:
        age = self._time.now() - ended.at
        old = age >= self._settings.timers.remember.total_seconds() * _NANOSECONDS
        return ended.identity.contradicts(pdu) or (old and isinstance(pdu, MetadataPdu))

    def _take_repeated(self, key: TransactionKey, ended: _Ended, pdu: Any) -> bool:
        """A PDU of a transaction that has ended: its EOF is answered as before, so that the sender ends as well."""
        if not isinstance(pdu, EofPdu) or pdu.transmission_mode != TransmissionMode.ACKNOWLEDGED:
            return False
        self._answer(key.source, eof_acknowledgement(pdu, active=False))
        if ended.finished is not None:
            self._answer(key.source, ended.finished)
        return True

    def _answer(self, peer: EntityId, raw: bytes) -> None:
        answers = self._peers[peer].answers
        if raw not in answers:
            answers.append(raw)

    # ending

    def _settle(self) -> None:
        """Tell of what has ended, and forget it."""
        for key, sending in list(self._sendings.items()):
            if sending.over:
                assert sending.result is not None
                del self._sendings[key]
                self._listener.sent(sending.result)
        for reception in list(self._receptions.values()):
            if reception.over:
                self._end(reception)

    def _end(self, reception: Reception) -> None:
        reception.discard()
        del self._receptions[reception.key]
        for raw in reception.out:
            self._answer(reception.key.source, raw)
        self._ended[reception.key] = _Ended(
            at=self._time.now(), identity=reception.identity, finished=reception.finished
        )
        self._ended.move_to_end(reception.key)
        while len(self._ended) > self._settings.limits.finished:
            self._ended.popitem(last=False)
        if reception.failure is not None:
            self._listener.failed(reception.key, reception.failure)

    # speaking

    def _speak(self) -> float:
        """Send what the rates allow; seconds until there may be more."""
        return min((self._speak_to(peer) for peer in self._peers.values()), default=_PAUSE)

    def _speak_to(self, peer: _Peer) -> float:
        for _ in range(_AT_A_TIME):
            if wait := peer.bucket.wait(Bytes(1), self._time.now()):
                return wait / _NANOSECONDS
            raw = peer.unsent or self._next(peer)
            if raw is None:
                return _PAUSE
            peer.unsent = None
            try:
                if not self._datagrams.send(raw, peer.address):
                    peer.unsent = raw
                    return 0.001
            except OSError:
                self.counts.unsendable += 1  # no way there just now: lost, as on any link
            peer.bucket.reserve(Bytes(len(raw) + _HEADERS), self._time.now())
        return 0.0

    def _next(self, peer: _Peer) -> bytes | None:
        """Answers before data, since the other side waits for them; then files in the order they were given."""
        if peer.answers:
            return peer.answers.popleft()
        for key, reception in self._receptions.items():
            if key.source == peer.remote.id and reception.out:
                return reception.out.popleft()
        for sending in self._sendings.values():
            if sending.order.to == peer.remote.id and (raw := sending.pull()) is not None:
                return raw
        return None
