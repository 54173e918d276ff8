"""The library's state machines, with what they lack on a real link put right; each override names its fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cfdppy import CfdpUserBase, IndicationConfig, LocalEntityConfig, RemoteEntityConfig, RemoteEntityConfigTable
from cfdppy.exceptions import (
    InvalidDestinationId,
    InvalidNakPdu,
    InvalidPduDirection,
    InvalidPduForDestHandler,
    InvalidPduForSourceHandler,
    InvalidSourceId,
    InvalidTransactionSeqNum,
    NoRemoteEntityConfigFound,
    PduIgnoredForDest,
    PduIgnoredForSource,
)
from cfdppy.handler import DestHandler, DestTransactionStep, SourceHandler
from cfdppy.handler.dest import CompletionDisposition, LostSegmentTracker
from cfdppy.mib import CheckTimerProvider, DefaultFaultHandlerBase
from spacepackets.cfdp import ChecksumType, ConditionCode, EntityIdTlv, TransmissionMode
from spacepackets.cfdp.pdu import DeliveryCode, EofPdu, FileStatus
from spacepackets.util import ByteFieldU16

from orbitloop.adapters.cfdp.contact_time import ContactCountdown, ContactTime
from orbitloop.adapters.cfdp.filestore import OneFile
from orbitloop.adapters.cfdp.values import EntityId, RemoteEntity, Timers
from orbitloop.domain.ranges import Spans

UNFIT = (
    InvalidDestinationId,
    InvalidNakPdu,
    InvalidPduDirection,
    InvalidPduForDestHandler,
    InvalidPduForSourceHandler,
    InvalidSourceId,
    InvalidTransactionSeqNum,
    NoRemoteEntityConfigFound,
    PduIgnoredForDest,
    PduIgnoredForSource,
)
"""What the library raises for a PDU that does not fit the state of its transaction."""

CHECKED = frozenset({ChecksumType.MODULAR, ChecksumType.CRC_32, ChecksumType.CRC_32C})
"""Checksums that are taken: the library knows no other but the empty one, which checks nothing."""

_WITHOUT_LOCATION = frozenset({ConditionCode.NO_ERROR, ConditionCode.UNSUPPORTED_CHECKSUM_TYPE})
_HEADERS = 64  # more than a PDU header, an offset and a CRC take
_NEVER = 2**31  # expirations: the entity gives up by silence, not by counting


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why a file that came in is not taken, in CFDP's terms."""

    condition: Any
    delivery: Any
    status: Any


class _Faults(DefaultFaultHandlerBase):  # type: ignore[misc]  # cfdppy ships no types
    """Faults end in a Finished or a Fault state, which the entity reads; nothing is to be done besides."""

    def _noted(self, *_: Any) -> None: ...

    notice_of_suspension_cb = notice_of_cancellation_cb = abandoned_cb = ignore_cb = _noted


class User(CfdpUserBase):  # type: ignore[misc]  # cfdppy ships no types
    """Keeps what the library indicates of one transaction.

    Args:
        store: the transaction's file.
    """

    def __init__(self, store: OneFile) -> None:
        super().__init__(store)
        self.finished: Any = None

    def transaction_finished_indication(self, params: Any) -> None:
        """Keep the parameters of the end."""
        self.finished = params.finished_params

    def _unused(self, *_: Any) -> None: ...

    transaction_indication = eof_sent_indication = metadata_recv_indication = _unused
    file_segment_recv_indication = report_indication = suspended_indication = _unused
    resumed_indication = fault_indication = abandoned_indication = eof_recv_indication = _unused


class CheckTimers(CheckTimerProvider):  # type: ignore[misc]  # cfdppy ships no types
    """Class 1: how long late data, or a Finished PDU, may take, in time of contact.

    Args:
        time: the clock.
        receiving: for data that an EOF overtook.
        sending: for the Finished PDU of a transaction with closure.
    """

    def __init__(self, time: ContactTime, *, receiving: timedelta, sending: timedelta) -> None:
        self._time = time
        self._receiving = receiving
        self._sending = sending

    def provide_check_timer(self, local_entity_id: Any, remote_entity_id: Any, entity_type: Any) -> ContactCountdown:  # noqa: ARG002 # theirs
        """The timer of a receiving or a sending transaction."""
        return ContactCountdown(self._time, self._receiving if entity_type.name == "RECEIVING" else self._sending)


class Gaps(LostSegmentTracker):  # type: ignore[misc]  # cfdppy ships no types
    """Missing spans. The library's own refuses a segment that covers a gap in part, after its bytes were written."""

    lost_segments: list[tuple[int, int]]

    def remove_lost_segment(self, segment_to_remove: tuple[int, int]) -> bool:
        """Take a span out, wherever it overlaps; whether anything changed."""
        start, end = segment_to_remove
        left: list[tuple[int, int]] = []
        for first, last in self.lost_segments:
            if end <= first or last <= start:
                left.append((first, last))
                continue
            left += [(a, b) for a, b in ((first, start), (end, last)) if a < b]
        changed: bool = left != self.lost_segments
        self.lost_segments = left
        return changed

    @property
    def spans(self) -> Spans:
        """The missing bytes."""
        return Spans.of(self.lost_segments)


class Receiving(DestHandler):  # type: ignore[misc]  # cfdppy ships no types
    """The library's destination handler for one transaction.

    Args:
        parts: what both handlers are made of.
        accept: asked when a file is whole and its checksum right; a verdict refuses it.
    """

    def __init__(self, parts: HandlerParts, user: User, accept: Callable[[], Verdict | None]) -> None:
        super().__init__(parts.local, user, parts.table, parts.checks)
        self._time = parts.time
        self._repeat = parts.timers.repeat
        self._accept = accept
        self._local_id = parts.local.local_entity_id

    def _common_first_packet_handler(self, pdu: Any) -> Any:
        # The library makes one tracker when it is imported and shares it among all transactions.
        self._params.acked_params.lost_seg_tracker = Gaps()
        return super()._common_first_packet_handler(pdu)

    def _start_deferred_lost_segment_handling(self) -> None:
        # An expired timer of ours makes it send its NAKs now and repeat them in time of contact.
        timer = ContactCountdown(self._time, self._repeat)
        timer.time_out()
        self._params.acked_params.procedure_timer = timer
        super()._start_deferred_lost_segment_handling()

    def _start_positive_ack_procedure(self) -> None:
        super()._start_positive_ack_procedure()
        self._params.positive_ack_params.ack_timer = ContactCountdown(self._time, self._repeat)

    def _notice_of_completion(self) -> None:
        # In class 2 the library says "complete" without having compared the checksum unless something was missing.
        finished = self._params.finished_params
        regular = self._params.completion_disposition == CompletionDisposition.COMPLETED
        if regular and finished.condition_code == ConditionCode.NO_ERROR:
            verdict = self._verdict()
            if verdict is not None:
                finished.condition_code = verdict.condition
                finished.delivery_code = verdict.delivery
                finished.file_status = verdict.status
        # A location where CFDP has none (5.2.3) is counted in the PDU's length and not packed.
        if finished.condition_code in _WITHOUT_LOCATION:
            finished.fault_location = None
        elif finished.fault_location is None:
            finished.fault_location = EntityIdTlv(self._local_id.as_bytes)
        super()._notice_of_completion()

    def _verdict(self) -> Verdict | None:
        file = self._params.fp
        if file.progress != file.file_size:
            return Verdict(
                condition=ConditionCode.FILE_SIZE_ERROR,
                delivery=DeliveryCode.DATA_INCOMPLETE,
                status=FileStatus.DISCARDED_DELIBERATELY,
            )
        if not self._checksum_verify(file.progress, file.crc32):
            return Verdict(
                condition=ConditionCode.FILE_CHECKSUM_FAILURE,
                delivery=DeliveryCode.DATA_INCOMPLETE,
                status=FileStatus.DISCARDED_DELIBERATELY,
            )
        return self._accept()

    @property
    def missing(self) -> Spans:
        """Bytes that were found missing so far."""
        tracker: Gaps = self._params.acked_params.lost_seg_tracker
        return tracker.spans

    @property
    def answered(self) -> bool:
        """Whether the Finished PDU is out and only its acknowledgement is awaited."""
        return bool(self.step == DestTransactionStep.WAITING_FOR_FINISHED_ACK)

    def be_cancelled(self, eof: EofPdu) -> None:
        """The sender cancels while missing data is awaited: a state in which the library hears no EOF."""
        self._handle_eof_cancel(eof)
        self.states.step = DestTransactionStep.TRANSFER_COMPLETION

    def fail(self, condition: ConditionCode) -> None:
        """End by a fault of which the library has no notion; the next call of its state machine tells the sender."""
        self._params.finished_params.delivery_code = DeliveryCode.DATA_INCOMPLETE
        self._params.finished_params.file_status = FileStatus.DISCARDED_DELIBERATELY
        self._notice_of_cancellation(condition)

    def hurry(self) -> None:
        """Have every timer pass at once, so that what waits for an answer is sent again."""
        for timer in (self._params.acked_params.procedure_timer, self._params.positive_ack_params.ack_timer):
            if timer is not None:
                timer.time_out()


class Transmitting(SourceHandler):  # type: ignore[misc]  # cfdppy ships no types
    """The library's source handler for one transaction.

    Args:
        parts: what both handlers are made of.
        numbers: where its sequence number comes from.
    """

    def __init__(self, parts: HandlerParts, user: User, numbers: Any) -> None:
        super().__init__(parts.local, user, parts.table, parts.checks, numbers)
        self._time = parts.time
        self._repeat = parts.timers.repeat

    def _start_positive_ack_procedure(self) -> None:
        super()._start_positive_ack_procedure()
        self._params.positive_ack_params.ack_timer = ContactCountdown(self._time, self._repeat)

    def hurry(self) -> None:
        """Have the timer pass at once, so that an EOF that waits for its acknowledgement is sent again."""
        if (timer := self._params.positive_ack_params.ack_timer) is not None:
            timer.time_out()


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerParts:
    """What the library's handlers of one entity are made of."""

    local: Any
    table: Any
    checks: CheckTimers
    time: ContactTime
    timers: Timers


def parts_of(entity: EntityId, remotes: tuple[RemoteEntity, ...], timers: Timers, time: ContactTime) -> HandlerParts:
    """The library's configuration of an entity."""
    quiet = IndicationConfig(file_segment_recvd_indication_required=False)
    return HandlerParts(
        local=LocalEntityConfig(ByteFieldU16(entity), quiet, _Faults()),
        table=RemoteEntityConfigTable([_remote(remote) for remote in remotes]),
        checks=CheckTimers(time, receiving=timers.check, sending=timers.inactivity),
        time=time,
        timers=timers,
    )


def _remote(remote: RemoteEntity) -> RemoteEntityConfig:
    return RemoteEntityConfig(
        entity_id=ByteFieldU16(remote.id),
        max_file_segment_len=remote.segment,
        max_packet_len=remote.segment + _HEADERS,
        closure_requested=False,
        crc_on_transmission=True,
        default_transmission_mode=TransmissionMode.ACKNOWLEDGED,
        crc_type=ChecksumType.CRC_32,
        positive_ack_timer_expiration_limit=_NEVER,
        nak_timer_expiration_limit=_NEVER,
        # Answered at once, every reordered datagram would be asked for again; NAKs follow the EOF.
        immediate_nak_mode=False,
    )
