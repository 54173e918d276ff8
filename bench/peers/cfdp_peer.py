"""Stock ``cfdp-py`` over UDP: what its handlers deliver as they come, beside orbitloop on the same link.

Two roles, each its own process; both end at the deadline and print one line of JSON. ``StockCfdpReceiver`` and
``StockCfdpSender`` are the same as classes. The handlers are used as the library's examples use them, one file after
another in class 2; nothing of orbitloop's own entity is here, and none of its workarounds. What the library leaves to
its user is the least that makes it run: sockets, pacing, and one destination handler a transaction.

    python bench/peers/cfdp_peer.py receiver --listen 127.0.0.1:7001 --peer 127.0.0.1:7000 --seconds 30
    python bench/peers/cfdp_peer.py sender --listen 127.0.0.1:7000 --peer 127.0.0.1:7001 --seconds 30 --rate 50000000
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cfdppy import CfdpState, CfdpUserBase, IndicationConfig, LocalEntityConfig, PutRequest, RemoteEntityConfig
from cfdppy.exceptions import (
    InvalidNakPdu,
    InvalidTransactionSeqNum,
    NoRemoteEntityConfigFound,
    PduIgnoredForDest,
    PduIgnoredForSource,
)
from cfdppy.handler import DestHandler, RemoteEntityConfigTable, SourceHandler
from cfdppy.mib import CheckTimerProvider, DefaultFaultHandlerBase
from spacepackets.cfdp import ChecksumType, TransmissionMode
from spacepackets.cfdp.pdu import DeliveryCode, PduFactory
from spacepackets.countdown import Countdown
from spacepackets.seqcount import SeqCountProvider
from spacepackets.util import ByteFieldU16

Address = tuple[str, int]

SENDER, RECEIVER = ByteFieldU16(1), ByteFieldU16(2)
IGNORED = (
    InvalidNakPdu,
    InvalidTransactionSeqNum,
    NoRemoteEntityConfigFound,
    PduIgnoredForDest,
    PduIgnoredForSource,
    ValueError,  # LostSegmentTracker: a re-sent segment overlaps a gap in part
)
"""What the handlers raise for a PDU that they cannot use just now; the examples log it and go on."""
_BUFFER = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How the library is set up; the timers' defaults are its own.

    Args:
        file_bytes: length of each file.
        segment_bytes: file data in one PDU.
        rate: bit/s of PDUs that the sender paces itself to, 28 bytes of UDP and IP headers a datagram included.
        timer: seconds of the positive acknowledgement and NAK timers.
        limit: expirations of either before the transaction is given up.
    """

    file_bytes: int = 4_000_000
    segment_bytes: int = 1_000
    rate: float = 49e6
    timer: float = 10.0
    limit: int = 2


@dataclass(slots=True)
class Tally:
    """What one role saw.

    Args:
        files: files whose Finished PDU said complete (sender), or that were completed (receiver).
        acknowledged_bytes: their bytes.
        failed: transactions that ended otherwise.
        sent_bytes: bytes of all datagrams that were sent.
        ignored: PDUs that a handler refused.
        seconds: how long it ran.
    """

    files: int = 0
    acknowledged_bytes: int = 0
    failed: int = 0
    sent_bytes: int = 0
    ignored: int = 0
    seconds: float = 0.0


class _User(CfdpUserBase):  # type: ignore[misc]  # cfdppy ships no types
    """Counts finished transactions; every other indication is of no use here."""

    def __init__(self, tally: Tally, file_bytes: int) -> None:
        super().__init__()
        self._tally = tally
        self._file_bytes = file_bytes

    def transaction_finished_indication(self, params: Any) -> None:
        if params.finished_params.delivery_code == DeliveryCode.DATA_COMPLETE:
            self._tally.files += 1
            self._tally.acknowledged_bytes += self._file_bytes
        else:
            self._tally.failed += 1

    def _unused(self, *_: Any) -> None: ...

    transaction_indication = eof_sent_indication = metadata_recv_indication = _unused
    file_segment_recv_indication = report_indication = suspended_indication = _unused
    resumed_indication = fault_indication = abandoned_indication = eof_recv_indication = _unused


class _Faults(DefaultFaultHandlerBase):  # type: ignore[misc]  # cfdppy ships no types
    def _unused(self, *_: Any) -> None: ...

    notice_of_suspension_cb = notice_of_cancellation_cb = abandoned_cb = ignore_cb = _unused


class _CheckTimer(CheckTimerProvider):  # type: ignore[misc]  # cfdppy ships no types
    def provide_check_timer(self, *_: Any, **__: Any) -> Any:
        return Countdown(timedelta(seconds=5))


def _local(entity: Any) -> Any:
    indications = IndicationConfig(file_segment_recvd_indication_required=False)
    return LocalEntityConfig(entity, indications, _Faults())


def _remote(entity: Any, setting: Setting) -> Any:
    return RemoteEntityConfigTable(
        [
            RemoteEntityConfig(
                entity_id=entity,
                max_file_segment_len=setting.segment_bytes,
                max_packet_len=setting.segment_bytes + 64,
                closure_requested=True,
                crc_on_transmission=False,
                default_transmission_mode=TransmissionMode.ACKNOWLEDGED,
                crc_type=ChecksumType.CRC_32,
                positive_ack_timer_interval_seconds=setting.timer,
                positive_ack_timer_expiration_limit=setting.limit,
                nak_timer_interval_seconds=setting.timer,
                nak_timer_expiration_limit=setting.limit,
            )
        ]
    )


class _Socket:
    """A UDP socket to one peer that paces what it sends."""

    def __init__(self, listen: Address, peer: Address, rate: float | None) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.bind(listen)
        self._socket.setblocking(False)
        self._peer = peer
        self._rate = rate
        self._free_at = 0.0
        self.sent = 0

    def send(self, datagram: bytes) -> None:
        """Send, after the time that what was sent before takes at the rate; up to 10 ms may be made up for."""
        if self._rate is not None:
            now = time.monotonic()
            if (wait := self._free_at - now) > 0.001:
                time.sleep(wait)
            self._free_at = max(self._free_at, now - 0.01) + (len(datagram) + 28) * 8 / self._rate
        try:
            self._socket.sendto(datagram, self._peer)
        except BlockingIOError:
            return  # a full send buffer is a lost datagram, as on any link
        self.sent += len(datagram)

    def receive(self, wait: float) -> list[bytes]:
        """Every datagram that is here, after at most ``wait`` seconds."""
        if wait > 0:
            select.select([self._socket], [], [], wait)
        datagrams: list[bytes] = []
        while len(datagrams) < 1024:
            try:
                datagrams.append(self._socket.recv(65_535))
            except (BlockingIOError, ConnectionRefusedError):
                break
        return datagrams

    def close(self) -> None:
        self._socket.close()


class StockCfdpSender:
    """Sends files of random bytes, one after another, until a deadline."""

    def __init__(self, listen: Address, peer: Address, setting: Setting | None = None) -> None:
        self._setting = setting or Setting()
        self._socket = _Socket(listen, peer, self._setting.rate)

    def run(self, seconds: float) -> Tally:
        """Send for ``seconds``; what was acknowledged by a Finished PDU until then counts."""
        begun = time.monotonic()
        tally = Tally()
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source.bin"
            source.write_bytes(os.urandom(self._setting.file_bytes))
            handler = SourceHandler(
                cfg=_local(SENDER),
                user=_User(tally, self._setting.file_bytes),
                remote_cfg_table=_remote(RECEIVER, self._setting),
                check_timer_provider=_CheckTimer(),
                seq_num_provider=SeqCountProvider(16),
            )
            waiting: deque[bytes] = deque()
            while time.monotonic() - begun < seconds:
                if handler.state == CfdpState.IDLE:
                    handler.put_request(_request(source, tally))
                busy = self._step(handler, waiting, tally)
                waiting.extend(self._socket.receive(0 if busy or waiting else 0.005))
        self._socket.close()
        tally.sent_bytes = self._socket.sent
        tally.seconds = time.monotonic() - begun
        return tally

    def _step(self, handler: Any, waiting: deque[bytes], tally: Tally) -> bool:
        """One call of the state machine, with the next received PDU if there is one; whether it had PDUs to send."""
        _advance(handler, PduFactory.from_raw(waiting.popleft()) if waiting else None, tally)
        busy = handler.packets_ready
        while (holder := handler.get_next_packet()) is not None:
            self._socket.send(holder.pack())
        return bool(busy)


def _request(source: Path, tally: Tally) -> Any:
    number = tally.files + tally.failed
    return PutRequest(RECEIVER, source, Path(f"received-{number}.bin"), TransmissionMode.ACKNOWLEDGED, True)


def _advance(handler: Any, pdu: Any, tally: Tally) -> None:
    try:
        handler.state_machine(pdu)
    except IGNORED:
        tally.ignored += 1


class StockCfdpReceiver:
    """Takes files in, each by a destination handler of its own, until a deadline."""

    def __init__(self, listen: Address, peer: Address, setting: Setting | None = None) -> None:
        self._setting = setting or Setting()
        self._socket = _Socket(listen, peer, None)
        self._handlers: dict[int, Any] = {}
        self._tally = Tally()

    def run(self, seconds: float) -> Tally:
        """Receive for ``seconds``."""
        begun = time.monotonic()
        home = Path.cwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)  # the sender names files by relative paths
            while time.monotonic() - begun < seconds:
                for datagram in self._socket.receive(0.005):
                    self._take(PduFactory.from_raw(datagram))
                for number in list(self._handlers):
                    self._pump(number, None)
            os.chdir(home)
        self._socket.close()
        self._tally.sent_bytes = self._socket.sent
        self._tally.seconds = time.monotonic() - begun
        return self._tally

    def _take(self, pdu: Any) -> None:
        number = pdu.transaction_seq_num.value
        if number not in self._handlers:
            self._handlers[number] = DestHandler(
                _local(RECEIVER),
                _User(self._tally, self._setting.file_bytes),
                _remote(SENDER, self._setting),
                _CheckTimer(),
            )
        self._pump(number, pdu)

    def _pump(self, number: int, pdu: Any) -> None:
        handler = self._handlers[number]
        _advance(handler, pdu, self._tally)
        while (holder := handler.get_next_packet()) is not None:
            self._socket.send(holder.pack())
        if handler.state == CfdpState.IDLE:
            del self._handlers[number]


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one role and print its tally."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=["sender", "receiver"])
    parser.add_argument("--listen", type=_address, required=True, metavar="HOST:PORT")
    parser.add_argument("--peer", type=_address, required=True, metavar="HOST:PORT")
    parser.add_argument("--seconds", type=float, default=30.0)
    defaults = Setting()
    parser.add_argument("--file-bytes", type=int, default=defaults.file_bytes)
    parser.add_argument("--segment-bytes", type=int, default=defaults.segment_bytes)
    parser.add_argument("--rate", type=float, default=defaults.rate, help="bit/s")
    parser.add_argument("--timer", type=float, default=defaults.timer, help="seconds")
    parser.add_argument("--limit", type=int, default=defaults.limit)
    given = parser.parse_args(arguments)
    setting = Setting(
        file_bytes=given.file_bytes,
        segment_bytes=given.segment_bytes,
        rate=given.rate,
        timer=given.timer,
        limit=given.limit,
    )
    role = StockCfdpSender if given.role == "sender" else StockCfdpReceiver
    print(json.dumps({"role": given.role, **asdict(role(given.listen, given.peer, setting).run(given.seconds))}))


if __name__ == "__main__":
    main()
