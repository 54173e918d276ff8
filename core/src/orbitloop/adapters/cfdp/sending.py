"""One file on its way out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cfdppy import CfdpState, PutRequest
from cfdppy.handler import SourceTransactionStep
from spacepackets.cfdp import ConditionCode, TransmissionMode
from spacepackets.cfdp.pdu import DeliveryCode, EofPdu, FileDataPdu, FinishedPdu, NakPdu
from spacepackets.util import ByteFieldU16

from orbitloop.adapters.cfdp.contact_time import ContactCountdown
from orbitloop.adapters.cfdp.filestore import OneFile
from orbitloop.adapters.cfdp.library import UNFIT, HandlerParts, Transmitting, User
from orbitloop.adapters.cfdp.pdus import asked_again, finished_acknowledgement, implied_acknowledgement
from orbitloop.adapters.cfdp.values import EntityId, Outcome, SendResult, TransactionKey, TransferClass
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import Bytes

_AT_ONCE = 16  # segments that are read ahead of the link when they are asked for again
_MODE = {
    TransferClass.UNACKNOWLEDGED: TransmissionMode.UNACKNOWLEDGED,
    TransferClass.ACKNOWLEDGED: TransmissionMode.ACKNOWLEDGED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be sent: a file, to whom, under which name, in which class."""

    path: Path
    to: EntityId
    name: str
    segment: Bytes
    transfer_class: TransferClass = TransferClass.ACKNOWLEDGED
    closure: bool = False


class Sending:
    """A transaction as its sender sees it; :meth:`pull` gives its PDUs one by one, as the link has room.

    Args:
        order: what is sent.
        parts: the entity's.
        numbers: where its sequence number comes from.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, order: Order, parts: HandlerParts, numbers: Any) -> None:
        self.order = order
        self.result: SendResult | None = None
        self._parts = parts
        self._store = OneFile(order.path, writable=False)
        self._user = User(self._store)
        self._handler = Transmitting(parts, self._user, numbers)
        self._out: deque[bytes] = deque()
        self._wanted = Spans()
        self._metadata_wanted = False
        self._eof: bytes | None = None
        self._sent = self._once = 0
        self._poke = ContactCountdown(parts.time, parts.timers.repeat)
        self._silence = ContactCountdown(parts.time, parts.timers.inactivity)
        self.size = Bytes(self._store.file_size(order.path))
        mode = _MODE[order.transfer_class]
        name = Path(order.name)
        self._handler.put_request(PutRequest(ByteFieldU16(order.to), name, name, mode, order.closure))
        self._advance(None)
        number = self._handler.transaction_seq_num.value
        self.key = TransactionKey(EntityId(parts.local.local_entity_id.value), number)

    @property
    def progress(self) -> Bytes:
        """Bytes of the file that were sent at least once."""
        return Bytes(self._once)

    @property
    def over(self) -> bool:
        """Whether it has ended and nothing of it is left to send."""
        return self.result is not None and not self._out

    def pull(self) -> bytes | None:
        """The next PDU, or None if there is nothing to send just now."""
        if not self._out and self.result is None:
            self._refill()
        return self._out.popleft() if self._out else None

    def take(self, pdu: Any) -> bool:
        """Hear a PDU of the receiver's; whether it was of use."""
        self._silence.reset()
        if isinstance(pdu, NakPdu):
            self._note(pdu.segment_requests)
            return True
        if isinstance(pdu, FinishedPdu):
            return self._end(pdu)
        return self.result is None and self._advance(pdu)

    def tick(self) -> None:
        """See to the timers; not while suspended."""
        if self.result is not None or self._handler.step in (
            SourceTransactionStep.SENDING_METADATA,
            SourceTransactionStep.SENDING_FILE_DATA,
        ):
            self._silence.reset()
            return
        if self._silence.timed_out():
            self._finish(Outcome.ABANDONED, f"nothing heard for {_seconds(self._parts.timers.inactivity)} of contact")
        elif self._waits and self._eof is not None and self._poke.timed_out():
            # The library waits for Finished without a timer; an EOF again makes the receiver say what it lacks.
            self._out.append(self._eof)
            self._poke.reset()

    def hurry(self) -> None:
        """The link is back: ask for every answer that is due, at once."""
        self._handler.hurry()
        self._poke.time_out()

    def cancel(self) -> None:
        """Give it up, and tell the receiver by an EOF (cancel), once."""
        if self.result is None:
            self._out.clear()
            self._handler.cancel_request(self._handler.transaction_id)
            self._collect()
            self._finish(Outcome.CANCELLED, "cancelled here")

    @property
    def _waits(self) -> bool:
        acknowledged = self.order.transfer_class is TransferClass.ACKNOWLEDGED
        return acknowledged and self._handler.step == SourceTransactionStep.WAITING_FOR_FINISHED

    def _refill(self) -> None:
        if self._metadata_wanted or self._wanted:
            chunk = self._wanted.first(_AT_ONCE * self.order.segment)
            self._wanted = _without(self._wanted, chunk)
            spans = [(span.start, span.end) for span in chunk]
            self._advance(asked_again(self._handler.pdu_conf, spans, metadata=self._metadata_wanted))
            self._metadata_wanted = False
        else:
            self._advance(None)

    def _advance(self, pdu: Any) -> bool:
        try:
            self._handler.state_machine(pdu)
        except UNFIT:
            return False
        finally:
            self._collect()
        if self._handler.state == CfdpState.IDLE and self.result is None:
            self._conclude()
        return True

    def _collect(self) -> None:
        while (holder := self._handler.get_next_packet()) is not None:
            raw = bytes(holder.pdu.pack())
            if isinstance(holder.pdu, FileDataPdu):
                self._sent += len(holder.pdu.file_data)
                self._once = max(self._once, holder.pdu.offset + len(holder.pdu.file_data))
            elif isinstance(holder.pdu, EofPdu):
                self._eof = raw
                self._poke.reset()
            self._out.append(raw)

    def _note(self, requests: list[tuple[int, int]]) -> None:
        """Keep what is asked for again, within what was sent: a NAK cannot make us read or hold more than the file."""
        for start, end in requests:
            if (start, end) == (0, 0):
                self._metadata_wanted = True
            elif start < min(end, self._once):
                self._wanted = self._wanted.add(start, min(end, self._once))

    def _end(self, finished: FinishedPdu) -> bool:
        step = self._handler.step
        if self.result is not None:
            self._out.append(finished_acknowledgement(finished))
            return True
        if step == SourceTransactionStep.WAITING_FOR_EOF_ACK:
            self._advance(implied_acknowledgement(finished))
            step = self._handler.step
        if step == SourceTransactionStep.WAITING_FOR_FINISHED:
            return self._advance(finished)
        # The receiver gave up before it had everything: the library goes on sending to nobody.
        self._out.clear()
        if self.order.transfer_class is TransferClass.ACKNOWLEDGED:
            self._out.append(finished_acknowledgement(finished))
        self._finish(Outcome.REFUSED, _told(finished.finished_params))
        return True

    def _conclude(self) -> None:
        found = self._user.finished
        closed = self.order.closure or self.order.transfer_class is TransferClass.ACKNOWLEDGED
        if found is None:
            self._finish(Outcome.ABANDONED, "the receiver never said that it was finished")
        elif not closed:
            self._finish(Outcome.SENT, "sent once; class 1 without closure is not acknowledged")
        elif found.condition_code == ConditionCode.NO_ERROR and found.delivery_code == DeliveryCode.DATA_COMPLETE:
            self._finish(Outcome.DELIVERED, "the receiver holds the whole file")
        else:
            self._finish(Outcome.REFUSED, _told(found))

    def _finish(self, outcome: Outcome, reason: str) -> None:
        self.result = SendResult(
            key=self.key,
            size=self.size,
            sent=Bytes(self._sent),
            resent=Bytes(self._sent - self._once),
            outcome=outcome,
            reason=reason,
        )
        self._wanted = Spans()
        self._store.close()


def _told(params: Any) -> str:
    return f"the receiver says {params.condition_code.name}, {params.delivery_code.name}, {params.file_status.name}"


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g} s"


def _without(wanted: Spans, first: Spans) -> Spans:
    """``wanted`` less its own first bytes."""
    if not first:
        return wanted
    end = first.spans[-1].end
    return Spans.of((max(span.start, end), span.end) for span in wanted if span.end > end)
