"""Every parser of what crosses space: each takes any bytes, and either reads them or refuses them.

An outer layer that guards an inner one (a digest, a signature) is put on right, so that what is fuzzed gets through.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard
from pydantic import ValidationError
from spacepackets.cfdp import PduConfig, TransmissionMode
from spacepackets.cfdp.pdu import EofPdu, FileDataPdu, NakPdu
from spacepackets.cfdp.pdu.file_data import FileDataParams
from spacepackets.util import ByteFieldU16

from orbitloop.adapters.cfdp.pdus import read_pdu
from orbitloop.adapters.plans import read_plan
from orbitloop.domain.delta import Shift, Sparse
from orbitloop.domain.elements import read_elements
from orbitloop.domain.errors import BadInput, OrbitloopError
from orbitloop.domain.ranges import Spans
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes
from orbitloop.testing.builders import a_digest, some_truth
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire import bundle, datagrams, update, update_head, update_v1
from orbitloop.wire.datagram_messages import Announcement, Purpose, Question, Request, packed, read, unpacked
from orbitloop.wire.desired_state import read_desired_state
from orbitloop.wire.leb128 import Reader, encode_numbers
from orbitloop.wire.messages import (
    Desired,
    Goodbye,
    Hello,
    LedgerPosition,
    LogicOnBoard,
    Message,
    Offer,
    OfferedSelection,
    Priorities,
    Receipt,
    Telemetry,
    UpdateReport,
    Welcome,
)
from orbitloop.wire.node_messages import NodeEvent, NodeEvents
from orbitloop.wire.squeezing import squeeze, unsqueeze
from orbitloop.wire.update_streams import Extent, Places, StepReader, encode_gaps
from orbitloop_mission.space_link.trace import read_trace

DIGEST = a_digest()
_LIMITS = bundle.Limits(packed=Bytes(2**20), unpacked=Bytes(2**20), header=Bytes(2**18), samples=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parser:
    """Something that reads what came from outside.

    Args:
        parse: reads bytes; raises an error of the tree, and nothing else, for what it does not take.
        seeds: valid inputs to begin from.
    """

    parse: Callable[[bytes], object]
    seeds: tuple[bytes, ...]

    def refuses_or_reads(self, data: bytes) -> bool:
        """Whether ``data`` was read; anything but a refusal passes through as the fault that it is."""
        try:
            self.parse(data)
        except OrbitloopError:
            return False
        return True


def _bundle_content(content: bytes) -> object:
    frame = zstandard.compress(content)
    return bundle.unpack(bundle.MAGIC + hashlib.sha256(frame).digest() + frame, _LIMITS)


def _anyone(_: bytes, __: bytes) -> None:
    """Takes every signature: what is fuzzed lies behind it."""


def _update_head(told: bytes) -> object:
    """The numbers and names of a header, after the number of its digests."""
    return update_head.unpack_head(squeeze(told[1:]) + bytes(32 * (told[0] if told else 0)))


def _update_places(content: bytes) -> object:
    """The positions of a step with a hundred moves."""
    streams = StepReader(squeeze(content) + squeeze(bytes([8]) + bytes(100)), [Extent(moves=100)])
    where = streams.places(100)
    streams.finish()
    return where


def _update_quanta(content: bytes) -> object:
    return StepReader(squeeze(content), [Extent(channels=9)]).channels(9)


def _message(kind: type[Message]) -> Callable[[bytes], object]:
    def parse(data: bytes) -> object:
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            raise BadInput(str(error)) from error

    return parse


def _file(read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def parse(data: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file.csv"
            path.write_bytes(data)
            return read(path)

    return parse


def _elements(data: bytes) -> object:
    return read_elements(data.decode(errors="replace"))


def _datagram(data: bytes) -> object:
    """Whatever a datagram says it is, as its receiver reads it; behind the header, each kind of body."""
    kind = datagrams.kind_of(data)
    if kind is datagrams.Kind.OPEN:
        return datagrams.parse_open(data)
    if kind is datagrams.Kind.ACCEPT:
        return datagrams.parse_accept(data)
    body = data[datagrams.HEADER.size :]
    match kind:
        case datagrams.Kind.DATA:
            return datagrams.parse_data(body)
        case datagrams.Kind.REPAIR:
            return datagrams.parse_repair(body)
        case datagrams.Kind.REPORT:
            return datagrams.parse_report(body)
        case datagrams.Kind.ASK | datagrams.Kind.ANSWER:
            return datagrams.parse_fragment(body)
        case _:
            return None


def _question(data: bytes) -> object:
    """A question, and the message in it."""
    question = unpacked(data, Question)
    match question.purpose:
        case Purpose.BEGIN:
            return read(question.body, Announcement)
        case Purpose.FETCH:
            return read(question.body, Request)
        case _:
            return read(question.body, Hello)


def _sealed(kind: datagrams.Kind, body: bytes) -> bytes:
    return datagrams.HEADER.pack(datagrams.lead(kind), 7, 9) + body


def _some_datagrams() -> tuple[bytes, ...]:
    options = datagrams.Options(0)
    opened = datagrams.Open(satellite="sat-1", nonce=bytes(16), options=options, datagram=980)
    accepted = datagrams.Accept(session=7, nonce=bytes(16), options=options, datagram=980)
    report = datagrams.Report(object=1, stopped=False, highest=9, upto=4_000, gaps=Spans.of([(10, 40), (900, 1_000)]))
    return (
        opened.signed() + bytes(datagrams.MAC),
        accepted.signed() + bytes(datagrams.MAC),
        _sealed(datagrams.Kind.DATA, datagrams.DATA.pack(1, 940) + b"symbol"),
        _sealed(datagrams.Kind.REPAIR, datagrams.REPAIR.pack(1, 2, 70) + b"symbol"),
        _sealed(datagrams.Kind.REPORT, datagrams.pack_report(report)),
        *(_sealed(datagrams.Kind.ASK, part) for part in datagrams.fragments(3, b"message" * 40, 200)),
    )


def _some_pdus() -> tuple[bytes, ...]:
    header = PduConfig(
        source_entity_id=ByteFieldU16(1),
        dest_entity_id=ByteFieldU16(2),
        transaction_seq_num=ByteFieldU16(3),
        trans_mode=TransmissionMode.ACKNOWLEDGED,
    )
    return (
        bytes(FileDataPdu(header, FileDataParams(file_data=b"segment", offset=940, segment_metadata=None)).pack()),
        bytes(EofPdu(header, file_checksum=bytes(4), file_size=1_000).pack()),
        bytes(NakPdu(header, 0, 1_000, [(0, 0), (10, 90)]).pack()),
    )


def _a_bundle() -> bytes:
    return bundle.pack("sat-1", LAUNCH, [a_sample(number, size=60) for number in range(2)])


def _an_update() -> bytes:
    changes = (
        Shift(tensor="a.bias", exponent=-9, quanta=np.arange(8, dtype=np.int8)),
        Sparse(
            tensor="a.weight", exponent=-8, where=np.arange(0, 900, 9, dtype=np.uint32), quanta=np.ones(100, np.int8)
        ),
    )
    canary = update.CanaryTruth(sample=DIGEST, truth=some_truth((1.0, 2.0, 30.0, 40.5)))
    step = update.Step(changes=changes, result=a_digest("result"))
    whole = update.Update(base=DIGEST, steps=(step,), canary=(canary,))
    return update.pack_update(whole, lambda _: bytes(update.SIGNATURE))


def _told_by(data: bytes) -> bytes:
    """What the header of an update says, after the number of its digests."""
    head = Reader(data[8:], "the seed")
    told = unsqueeze(head, len(data) * 9)
    return bytes([3 + 1]) + told


def _unsqueezed(data: bytes) -> bytes:
    return zstandard.decompress(data)


_OLU1 = (Path(__file__).parents[1] / "golden" / "delta" / "olu1.olu").read_bytes()


_RECEIPT = Receipt(bundle=DIGEST, samples=3, stored=LAUNCH)
_MESSAGES: tuple[Message, ...] = (
    Hello(
        satellite="sat-1",
        flying=DIGEST,
        clock=LAUNCH,
        queued_samples=3,
        queued_bytes=Bytes(360),
        session="0" * 32,
        sequence=7,
        position=LedgerPosition(delivered=4, last=DIGEST),
        unfinished=(DIGEST,),
        desired=DIGEST,
        selection=DIGEST,
        logic=LogicOnBoard(
            flying=DIGEST, flying_version=3, application="ships", refused=a_digest("next"), reason="no newer than 3"
        ),
    ),
    Welcome(
        clock=LAUNCH,
        offer=Offer(digest=DIGEST, size=Bytes(5), base=DIGEST, result=a_digest("next")),
        held=(_RECEIPT,),
        received=4,
        priorities=Priorities(revision=2, factors={"hard": 2.0}),
        desired=Desired(digest=DIGEST, size=Bytes(60)),
        events=True,
        selection=OfferedSelection(digest=DIGEST, size=Bytes(600)),
    ),
    _RECEIPT,
    Goodbye(
        satellite="sat-1",
        session="0" * 32,
        bundles=1,
        samples=3,
        bytes_down=Bytes(9),
        bytes_up=Bytes(8),
        complete=True,
    ),
    NodeEvents(
        satellite="sat-1",
        origin="0" * 32,
        events=(NodeEvent(sequence=1, subject="dataset/a/b", at=LAUNCH, value={"numberOfSamples": 3, "more": [1.5]}),),
    ),
    UpdateReport(satellite="sat-1", update=DIGEST, outcome=Outcome.APPLIED, flying=DIGEST, at=LAUNCH),
    Telemetry(satellite="sat-1", frames_captured=9, frames_processed=8, captured_bytes=Bytes(1_000), samples_spooled=3),
)
_HEADER = json.dumps({"satellite": "sat-1", "created": "2026-01-01T00:00:00Z", "version": 1, "samples": []}).encode()

PARSERS: dict[str, Parser] = {
    "bundle": Parser(parse=lambda data: bundle.unpack(data, _LIMITS), seeds=(_a_bundle(),)),
    "bundle-content": Parser(
        parse=_bundle_content,
        seeds=(_unsqueezed(_a_bundle()[40:]), len(_HEADER).to_bytes(4, "big") + _HEADER),
    ),
    "update": Parser(parse=lambda data: update.unpack_update(data, _anyone), seeds=(_an_update(),)),
    "update-beginning": Parser(
        parse=lambda data: update.unpack_beginning(data, _anyone), seeds=(_an_update(), _an_update()[:-1])
    ),
    "update-beginnings": Parser(parse=update.beginnings_of, seeds=(_an_update(), _an_update()[:-1])),
    "update-head": Parser(parse=_update_head, seeds=(_told_by(_an_update()),)),
    "update-places": Parser(
        parse=_update_places,
        seeds=(
            bytes([Places.GAPS]) + encode_gaps(np.arange(0, 900, 9, dtype=np.uint32)),
            bytes([Places.BITMAP]) + encode_numbers(np.array([100])) + b"\xff" * 12 + b"\x0f",
            bytes([Places.BY_CHANNEL]) + encode_numbers(np.array([2, 2, 100, 100, 0, 100, 0, *[0] * 100])),
        ),
    ),
    "update-quanta": Parser(parse=_update_quanta, seeds=(bytes([8, *range(9)]), bytes([2, 3, 255, 0, 1, 9, 9, 1]))),
    "update-of-last-month": Parser(parse=lambda data: update.unpack_update(data, _anyone), seeds=(_OLU1,)),
    "update-body-of-last-month": Parser(
        parse=lambda body: update_v1.unpack_body(zstandard.compress(body)),
        seeds=(_unsqueezed(_OLU1[8 : -update.SIGNATURE]),),
    ),
    "datagram": Parser(parse=_datagram, seeds=_some_datagrams()),
    "datagram-question": Parser(
        parse=_question,
        seeds=(
            packed(
                Question(
                    purpose=Purpose.FETCH,
                    body=Request(number=1, artifact=DIGEST, size=900, missing=((0, 90),)).model_dump_json(),
                )
            ),
        ),
    ),
    "desired-state": Parser(
        parse=read_desired_state,
        seeds=(b'{"version": 1, "node": "sat-1", "datasets": {"a/b": {"url": "/data/b.txt", "format": "txt"}}}',),
    ),
    "cfdp": Parser(parse=read_pdu, seeds=_some_pdus()),
    "elements": Parser(
        parse=_elements,
        seeds=(
            b"SAT\n1 99001U 24001A   24089.00000000  .00000000  00000-0  20000-4 0    08\n"
            b"2 99001  97.3710  40.0000 0012000  90.0000   0.0000 15.24928548    02\n",
        ),
    ),
    "trace": Parser(parse=_file(read_trace), seeds=(b"second,frames,bad_frames\n0,4312,34\n1,0,0\n2,8487,290\n",)),
    "plan": Parser(
        parse=_file(read_plan),
        seeds=(b"station,aos,los,peak_deg\nTongchuan,2026-01-01T00:00:00Z,2026-01-01T00:08:00Z,41.0\n",),
    ),
} | {
    type(message).__name__.lower(): Parser(parse=_message(type(message)), seeds=(message.model_dump_json().encode(),))
    for message in _MESSAGES
}

if __name__ == "__main__":
    print(*PARSERS)
