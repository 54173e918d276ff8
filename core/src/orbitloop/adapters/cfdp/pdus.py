"""PDUs: read from datagrams, and the answers that the library does not give."""

from __future__ import annotations

import copy
import struct
from typing import Any

from spacepackets.cfdp import ConditionCode, Direction
from spacepackets.cfdp.defs import InvalidCrcError, UnsupportedCfdpVersionError
from spacepackets.cfdp.pdu import AckPdu, DirectiveType, EofPdu, FinishedPdu, MetadataPdu, NakPdu, PduFactory
from spacepackets.cfdp.pdu.ack import TransactionStatus
from spacepackets.exceptions import InvalidCrcCcitt16Error

from orbitloop.adapters.cfdp.values import EntityId, TransactionKey
from orbitloop.domain.errors import BadInput

_UNREADABLE = (
    ValueError,
    IndexError,
    KeyError,
    struct.error,
    AssertionError,
    InvalidCrcError,
    InvalidCrcCcitt16Error,
    UnsupportedCfdpVersionError,
)
"""What the library's parsers raise for bytes that are no PDU; ``ValueError`` takes in bad text and short packets."""
_METADATA = (0, 0)
_ACKNOWLEDGED = (DirectiveType.EOF_PDU, DirectiveType.FINISHED_PDU)


def read_pdu(datagram: bytes) -> Any:
    """The PDU in a datagram.

    Raises:
        BadInput: it holds none, or one with a wrong CRC.
    """
    try:
        pdu = PduFactory.from_raw(datagram)
        if isinstance(pdu, MetadataPdu):
            _names(pdu)  # which the library decodes only when it is asked for them
    except _UNREADABLE as error:
        raise BadInput(
            f"a datagram of {len(datagram)} bytes is no CFDP PDU: {error or type(error).__name__}"
        ) from error
    if isinstance(pdu, EofPdu):
        # The library leaves the code in the octet's upper half, and cannot pack the acknowledgement of such an EOF.
        pdu.condition_code = _condition(pdu.condition_code)
    if isinstance(pdu, AckPdu) and pdu.directive_code_of_acked_pdu not in _ACKNOWLEDGED:
        raise BadInput(f"an ACK of directive {pdu.directive_code_of_acked_pdu}, which CFDP does not acknowledge")
    if pdu is None:
        raise BadInput(f"a datagram of {len(datagram)} bytes is no CFDP PDU of a known kind")
    return pdu


def _names(metadata: MetadataPdu) -> tuple[str | None, str | None]:
    return metadata.source_file_name, metadata.dest_file_name


def _condition(code: int) -> ConditionCode:
    octet = int(code)
    try:
        return ConditionCode(octet >> 4 if octet > 0xF else octet)
    except ValueError as error:
        raise BadInput(f"an EOF says condition code {octet:#x}, which CFDP does not have") from error


def key_of(pdu: Any) -> TransactionKey:
    """The transaction that a PDU belongs to."""
    return TransactionKey(EntityId(pdu.source_entity_id.value), pdu.transaction_seq_num.value)


def acknowledges(pdu: Any, kind: DirectiveType) -> bool:
    """Whether ``pdu`` is the acknowledgement of a directive."""
    return isinstance(pdu, AckPdu) and pdu.directive_code_of_acked_pdu == kind


def eof_acknowledgement(eof: EofPdu, *, active: bool) -> bytes:
    """The answer that every EOF of class 2 must get, whatever became of its transaction (CCSDS 727.0-B-5, 4.7.2)."""
    status = TransactionStatus.ACTIVE if active else TransactionStatus.TERMINATED
    config = copy.copy(eof.pdu_header.pdu_conf)
    return bytes(AckPdu(config, DirectiveType.EOF_PDU, eof.condition_code, status).pack())


def implied_acknowledgement(finished: FinishedPdu) -> AckPdu:
    """The acknowledgement of an EOF that was lost: who sends Finished has received the EOF."""
    config = copy.copy(finished.pdu_header.pdu_conf)
    return AckPdu(config, DirectiveType.EOF_PDU, ConditionCode.NO_ERROR, TransactionStatus.ACTIVE)


def finished_acknowledgement(finished: FinishedPdu) -> bytes:
    """The answer to a Finished PDU of a transaction that has ended here."""
    config = copy.copy(finished.pdu_header.pdu_conf)
    ack = AckPdu(config, DirectiveType.FINISHED_PDU, finished.condition_code, TransactionStatus.TERMINATED)
    return bytes(ack.pack())


def metadata_request(pdu: Any) -> bytes:
    """A NAK for the metadata of the transaction that ``pdu`` belongs to."""
    config = copy.copy(pdu.pdu_header.pdu_conf)
    config.direction = Direction.TOWARDS_SENDER
    return bytes(NakPdu(config, 0, 0, [_METADATA]).pack())


def asked_again(config: Any, spans: list[tuple[int, int]], *, metadata: bool) -> NakPdu:
    """A NAK as the source handler takes it, for ``spans`` and, if asked for, the metadata."""
    towards = copy.copy(config)
    return NakPdu(towards, 0, spans[-1][1] if spans else 0, [_METADATA] * metadata + spans)


def renamed(metadata: MetadataPdu) -> MetadataPdu:
    """The same metadata with names of ours, and without options, so that none from outside is ever used."""
    params = copy.copy(metadata.params)
    params.source_file_name = params.dest_file_name = "file"
    return MetadataPdu(metadata.pdu_header.pdu_conf, params)
