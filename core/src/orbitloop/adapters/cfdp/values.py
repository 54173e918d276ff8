"""What an entity is told and what it tells: settings, transactions, results."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, StrEnum
from pathlib import Path
from typing import NamedTuple, NewType, Protocol

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import BitsPerSecond, Bytes, Digest

EntityId = NewType("EntityId", int)
_LARGEST_ID = 2**16 - 1
_LARGEST_PORT = 2**16 - 1
_LARGEST_SEGMENT = 65_000  # with headers it still is one datagram


class TransferClass(Enum):
    """CFDP's classes of service (CCSDS 727.0-B-5, 1.4): 1 sends once, 2 repeats what is missing."""

    UNACKNOWLEDGED = 1
    ACKNOWLEDGED = 2


class TransactionKey(NamedTuple):
    """What names a transaction everywhere: the sending entity and its sequence number."""

    source: EntityId
    number: int

    def __str__(self) -> str:
        return f"{self.source}-{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteEntity:
    """A peer.

    Args:
        id: its entity id, 0 to 65535.
        host: where it listens.
        port: UDP port.
        rate: what may be sent to it, IP and UDP headers included; None sends as fast as the socket takes it.
        segment: file data in one PDU. 1,000 bytes stay below every Ethernet's largest packet.

    Raises:
        BadInput: a value is out of range.
    """

    id: EntityId
    host: str
    port: int
    rate: BitsPerSecond | None = None
    segment: Bytes = Bytes(1_000)

    def __post_init__(self) -> None:
        check_id(self.id)
        if not self.host or not 1 <= self.port <= _LARGEST_PORT:
            raise BadInput(f"CFDP entity {self.id}: no address {self.host!r}, port {self.port}; give HOST:PORT")
        if self.rate is not None and self.rate <= 0:
            raise BadInput(f"CFDP entity {self.id}: a rate of {self.rate} bit/s sends nothing")
        if not 16 <= self.segment <= _LARGEST_SEGMENT:
            raise BadInput(f"CFDP entity {self.id}: segments of {self.segment} bytes; 16 to {_LARGEST_SEGMENT} fit")


def remote_at(entity: int, address: str, rate: BitsPerSecond | None) -> RemoteEntity:
    """The peer with entity id ``entity`` at ``address``, written ``HOST:PORT``. Raises ``BadInput``."""
    host, port = host_and_port(address)
    return RemoteEntity(id=EntityId(entity), host=host, port=port, rate=rate)


def host_and_port(text: str) -> tuple[str, int]:
    """``HOST:PORT``, taken apart. Raises ``BadInput``."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > _LARGEST_PORT:
        raise BadInput(f"{text!r} is no address; write HOST:PORT, for instance 127.0.0.1:7002")
    return host, int(port)


def check_id(entity: int) -> None:
    """Raises ``BadInput`` unless ``entity`` is an entity id of at most two octets."""
    if not 0 <= entity <= _LARGEST_ID:
        raise BadInput(f"{entity} is no CFDP entity id; use 0 to {_LARGEST_ID}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """How long an entity waits; all of it in time of contact, which stands still while it is suspended.

    No timer bounds a whole transfer: one that makes progress may take as long as it needs.

    Args:
        repeat: until an EOF, Finished or NAK that was not answered is sent again.
        inactivity: of silence until a transaction is given up.
        check: class 1: how long data that an EOF overtook may still come.
        remember: how long a finished transaction is known, so that what the link repeats is not taken for a new file.

    Raises:
        BadInput: a duration is not positive, or ``inactivity`` leaves no time to repeat anything.
    """

    repeat: timedelta = timedelta(seconds=3)
    inactivity: timedelta = timedelta(minutes=5)
    check: timedelta = timedelta(seconds=5)
    remember: timedelta = timedelta(seconds=60)

    def __post_init__(self) -> None:
        if min(self.repeat, self.check, self.remember) <= timedelta(0) or self.inactivity < self.repeat * 2:
            raise BadInput(f"{self}: every time must be positive, inactivity at least twice the time to repeat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an entity takes from outside.

    Args:
        file: length of the largest file.
        transactions: files on their way in at one time.
        early: bytes kept of a transaction before its metadata arrive.
        finished: finished transactions that are remembered.
    """

    file: Bytes = Bytes(64 * 2**20)
    transactions: int = 64
    early: Bytes = Bytes(2**20)
    finished: int = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitySettings:
    """One entity.

    Args:
        id: its own entity id.
        host: address it listens on.
        port: UDP port; 0 takes a free one.
        inbox: folder of received files, each named by its SHA-256; partial ones wait in ``.quarantine`` there.
        remotes: every peer it talks to; PDUs of any other are dropped.

    Raises:
        BadInput: two peers have one id, or a peer has the entity's own.
    """

    id: EntityId
    host: str
    port: int
    inbox: Path
    remotes: tuple[RemoteEntity, ...]
    timers: Timers = field(default_factory=Timers)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_id(self.id)
        ids = [self.id, *(remote.id for remote in self.remotes)]
        if len(set(ids)) < len(ids):
            raise BadInput(f"CFDP entity ids {ids} are not all different; the first is this entity's own")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedFile:
    """A whole file whose checksum was right.

    Args:
        key: the transaction that brought it.
        path: where it lies, in the inbox under the name of its digest.
        announced: the name that the sender gave it; text from outside, never a path to open.
    """

    key: TransactionKey
    path: Path
    size: Bytes
    digest: Digest
    announced: str


class Outcome(StrEnum):
    """How a file that was sent ended."""

    DELIVERED = "delivered"
    """The receiver said that it holds the whole file."""
    SENT = "sent"
    """Class 1 without closure: all of it was sent; nobody says whether it arrived."""
    REFUSED = "refused"
    """The receiver ended the transaction with a fault."""
    ABANDONED = "abandoned"
    """Nothing was heard for as long as the timers allow."""
    CANCELLED = "cancelled"
    """It was cancelled here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    """A file that was sent, or was not.

    Args:
        size: length of the file.
        sent: bytes of file data that were sent, repeated ones included.
        resent: those of them that were repeated.
        reason: what the outcome rests on, for people.
    """

    key: TransactionKey
    size: Bytes
    sent: Bytes
    resent: Bytes
    outcome: Outcome
    reason: str


class Listener(Protocol):
    """Who hears what an entity's transactions come to. Called from the thread that steps the entity."""

    def received(self, file: ReceivedFile) -> None:
        """A whole file is here; the sender is told so after this returns.

        Raise an :class:`~orbitloop.domain.errors.OrbitloopError` to refuse it: the file is removed, the sender told.
        """
        ...

    def sent(self, result: SendResult) -> None:
        """A file that :meth:`CfdpEntity.send` took has come to its end."""
        ...

    def failed(self, key: TransactionKey, reason: str) -> None:
        """A file on its way in was given up; nothing of it is kept."""
        ...


@dataclass(slots=True)
class Counts:
    """What an entity met.

    Args:
        malformed: datagrams that are no PDU, or one with a wrong CRC.
        strangers: PDUs of entities that it does not know, or that are not for it.
        ignored: PDUs that did not fit the state of their transaction.
        turned_away: PDUs dropped because too many files, or too large ones, were on their way in.
        unsendable: datagrams that the system would not send.
    """

    malformed: int = 0
    strangers: int = 0
    ignored: int = 0
    turned_away: int = 0
    unsendable: int = 0
