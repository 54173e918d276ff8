"""One file on its way in."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfdppy import CfdpState
from cfdppy.handler import DestTransactionStep
from spacepackets.cfdp import ConditionCode, TransmissionMode
from spacepackets.cfdp.pdu import DeliveryCode, DirectiveType, EofPdu, FileDataPdu, FileStatus, FinishedPdu, MetadataPdu

from orbitloop.adapters.cfdp.contact_time import ContactCountdown
from orbitloop.adapters.cfdp.filestore import OneFile
from orbitloop.adapters.cfdp.library import CHECKED, UNFIT, HandlerParts, Receiving, User, Verdict
from orbitloop.adapters.cfdp.pdus import acknowledges, eof_acknowledgement, metadata_request, read_pdu, renamed
from orbitloop.adapters.cfdp.values import Limits, TransactionKey
from orbitloop.domain.errors import NoSpace, OrbitloopError
from orbitloop.domain.units import Bytes

_log = logging.getLogger(__name__)

_REJECTED = Verdict(
    condition=ConditionCode.FILESTORE_REJECTION,
    delivery=DeliveryCode.DATA_COMPLETE,
    status=FileStatus.DISCARDED_FILESTORE_REJECTION,
)
_WAITING = (
    DestTransactionStep.WAITING_FOR_MISSING_DATA,
    DestTransactionStep.WAITING_FOR_METADATA,
)


@dataclass(slots=True)
class Identity:
    """What tells two files apart that came under one transaction's name, as far as it is known.

    A sender whose process began anew may count its transactions from 0 again.
    """

    announced: tuple[int, str] | None = None
    content: tuple[int, bytes] | None = None

    def contradicts(self, pdu: Any) -> bool:
        """Whether ``pdu`` belongs to another file."""
        match pdu:
            case MetadataPdu():
                return self.announced is not None and self.announced != announcement(pdu)
            case EofPdu():
                regular = pdu.condition_code == ConditionCode.NO_ERROR
                return regular and self.content is not None and self.content != _content(pdu)
            case _:
                return False

    def learn(self, pdu: Any) -> None:
        """Keep what ``pdu`` says of its file."""
        if isinstance(pdu, MetadataPdu):
            self.announced = announcement(pdu)
        elif isinstance(pdu, EofPdu) and pdu.condition_code == ConditionCode.NO_ERROR:
            self.content = _content(pdu)


def announcement(metadata: MetadataPdu) -> tuple[int, str]:
    """Size and name that a sender announces."""
    return metadata.file_size, metadata.dest_file_name or metadata.source_file_name or ""


def _content(eof: EofPdu) -> tuple[int, bytes]:
    return eof.file_size, bytes(eof.file_checksum)


class Reception:
    """A transaction as its receiver sees it. What it has to say waits in ``out``.

    Args:
        key: the transaction.
        part: the file in quarantine, made when the metadata are here.
        parts: the entity's.
        limits: what is taken.
        deliver: takes over the whole, durable file at ``part``; raises ``OrbitloopError`` to refuse it.
    """

    def __init__(
        self,
        key: TransactionKey,
        part: Path,
        parts: HandlerParts,
        limits: Limits,
        deliver: Callable[[Reception, Path], None],
    ) -> None:
        self.key = key
        self.out: deque[bytes] = deque()
        self.identity = Identity()
        self.finished: bytes | None = None
        self.delivered = False
        self.failure: str | None = None
        self.over = False
        self._part = part
        self._parts = parts
        self._limits = limits
        self._deliver = deliver
        self._early: deque[bytes] = deque()
        self._early_bytes = 0
        self._store: OneFile | None = None
        self._handler: Receiving | None = None
        self._user: User | None = None
        self._asking: bytes | None = None
        self._ask = ContactCountdown(parts.time, parts.timers.repeat)
        self._silence = ContactCountdown(parts.time, parts.timers.inactivity)

    def take(self, pdu: Any, raw: bytes) -> bool:
        """Hear a PDU of the sender's; whether it was of use."""
        if self.over:
            return False
        self._silence.reset()
        self.identity.learn(pdu)
        if self._handler is None:
            return self._begin(pdu) if isinstance(pdu, MetadataPdu) else self._keep(pdu, raw)
        return self._hear(pdu)

    def tick(self) -> None:
        """See to the timers; not while suspended."""
        if self.over:
            return
        if self._handler is not None:
            self._advance(None)
        elif self._asking is not None and self._ask.timed_out():
            self._say(self._asking)
            self._ask.reset()
        if not self.over and self._silence.timed_out():
            self._give_up()

    def hurry(self) -> None:
        """The link is back: say again what waits for an answer, at once."""
        if self._handler is not None:
            self._handler.hurry()
        self._ask.time_out()

    def discard(self) -> None:
        """Let go of everything, and of the file unless it was delivered; idempotent."""
        self.over = True
        self._early.clear()
        if self._store is not None:
            self._store.close()
        self._part.unlink(missing_ok=True)

    def _keep(self, pdu: Any, raw: bytes) -> bool:
        """A PDU that overtook its metadata: the library throws file data away until they come, so they wait here."""
        acknowledged = pdu.transmission_mode == TransmissionMode.ACKNOWLEDGED
        if isinstance(pdu, EofPdu) and acknowledged:
            self._say(eof_acknowledgement(pdu, active=True))
            if pdu.condition_code != ConditionCode.NO_ERROR:
                self._fail(f"the sender cancelled it: {pdu.condition_code.name}")
                self.discard()
                return True
        if not isinstance(pdu, FileDataPdu | EofPdu):
            return False
        if acknowledged and self._asking is None:
            self._asking = metadata_request(pdu)
            self._say(self._asking)
        if raw in self._early or self._early_bytes + len(raw) > self._limits.early:
            return False
        self._early.append(raw)
        self._early_bytes += len(raw)
        return True

    def _begin(self, metadata: MetadataPdu) -> bool:
        if metadata.source_file_name is None and metadata.dest_file_name is None:
            self._fail("it announces no file; only files are taken")
            self.discard()
            return False
        try:
            self._store = OneFile(self._part, writable=True)
        except (NoSpace, OSError) as error:
            self._fail(str(error))
            self.discard()
            return False
        self._user = User(self._store)
        self._handler = Receiving(self._parts, self._user, self._accept)
        self._advance(renamed(metadata))
        if metadata.file_size > self._limits.file:
            self._refuse(
                ConditionCode.FILE_SIZE_ERROR, f"{metadata.file_size} bytes exceed the limit of {self._limits.file}"
            )
        elif metadata.checksum_type not in CHECKED:
            self._refuse(
                ConditionCode.UNSUPPORTED_CHECKSUM_TYPE, f"checksum {metadata.checksum_type.name} checks nothing here"
            )
        while self._early and not self.over:
            self._hear(read_pdu(self._early.popleft()))
        self._early.clear()
        return True

    def _hear(self, pdu: Any) -> bool:
        assert self._handler is not None
        if isinstance(pdu, FileDataPdu) and not self._fits(pdu):
            return False
        if not isinstance(pdu, EofPdu):
            return self._advance(pdu)
        said = len(self.out)
        if self._handler.step in _WAITING and pdu.condition_code != ConditionCode.NO_ERROR:
            self._handler.be_cancelled(pdu)
            self._advance(None)
        else:
            self._advance(pdu)
        if pdu.transmission_mode == TransmissionMode.ACKNOWLEDGED and not self._said_acknowledgement(said):
            # The library hears an EOF once only; a sender that lost the answer would repeat it in vain.
            self._say(eof_acknowledgement(pdu, active=True))
        return True

    def _said_acknowledgement(self, since: int) -> bool:
        return any(acknowledges(read_pdu(self.out[at]), DirectiveType.EOF_PDU) for at in range(since, len(self.out)))

    def _fits(self, pdu: FileDataPdu) -> bool:
        """Whether the bytes lie inside the announced file: the library writes first and checks afterwards."""
        assert self._handler is not None
        size = self._handler.file_size
        return size is not None and pdu.offset + len(pdu.file_data) <= min(size, self._limits.file)

    def _advance(self, pdu: Any) -> bool:
        assert self._handler is not None
        try:
            self._handler.state_machine(pdu)
        except UNFIT:
            return False
        except NoSpace as error:
            self._refuse(ConditionCode.FILESTORE_REJECTION, str(error))
        finally:
            self._collect()
        self._look()
        return True

    def _collect(self) -> None:
        assert self._handler is not None
        while (holder := self._handler.get_next_packet()) is not None:
            raw = bytes(holder.pdu.pack())
            if isinstance(holder.pdu, FinishedPdu):
                self.finished = raw
            self._say(raw)

    def _look(self) -> None:
        """See how far it is."""
        assert self._handler is not None
        assert self._user is not None
        finished = self._user.finished
        if finished is not None and not self.delivered and self.failure is None:
            self._fail(f"{finished.condition_code.name}, {finished.delivery_code.name}")
        if self._handler.state == CfdpState.IDLE:
            self.discard()

    def _accept(self) -> Verdict | None:
        assert self._store is not None
        try:
            self._store.sync()
            self._deliver(self, self._part)
        except OrbitloopError as error:
            self._fail(f"refused: {error}")
            return _REJECTED
        self.delivered = True
        return None

    def _refuse(self, condition: ConditionCode, reason: str) -> None:
        """End it here by a fault, and tell the sender."""
        assert self._handler is not None
        self._fail(reason)
        if self._handler.state == CfdpState.IDLE or self._handler.answered:
            return
        self._collect()
        self._handler.fail(condition)
        self._advance(None)

    def _give_up(self) -> None:
        if self._handler is not None and not self.delivered:
            spent = self._parts.timers.inactivity.total_seconds()
            self._refuse(ConditionCode.INACTIVITY_DETECTED, f"nothing came for {spent:g} s of contact")
        elif not self.delivered:
            self._fail("its metadata never came")
        self.discard()

    def _fail(self, reason: str) -> None:
        if self.failure is None:
            self.failure = reason
            _log.warning("cfdp_file_not_taken", extra={"transaction": str(self.key), "why": reason})

    def _say(self, raw: bytes) -> None:
        """Queue a PDU; the same one twice, as while the link is down, says no more than once."""
        if raw not in self.out:
            self.out.append(raw)

    @property
    def progress(self) -> Bytes:
        """The furthest byte that came."""
        return Bytes(0 if self._handler is None else self._handler.progress)
