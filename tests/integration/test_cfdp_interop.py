"""orbitloop's CFDP entity against the library's own handlers, over real UDP through a relay that misbehaves."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
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
from spacepackets.cfdp import ChecksumType, ConditionCode, TransmissionMode
from spacepackets.cfdp.pdu import DeliveryCode, PduFactory
from spacepackets.countdown import Countdown
from spacepackets.seqcount import SeqCountProvider
from spacepackets.util import ByteFieldU16

from orbitloop.adapters.cfdp.entity import CfdpEntity
from orbitloop.adapters.cfdp.values import (
    EntityId,
    EntitySettings,
    Outcome,
    ReceivedFile,
    RemoteEntity,
    SendResult,
    Timers,
    TransactionKey,
    TransferClass,
)
from orbitloop.domain.units import Bytes

OURS, THEIRS = EntityId(1), EntityId(2)
SEGMENT = 200
SIZES = [0, 1, SEGMENT, 10 * SEGMENT + 1, 40_000]
MODES = {
    TransferClass.UNACKNOWLEDGED: TransmissionMode.UNACKNOWLEDGED,
    TransferClass.ACKNOWLEDGED: TransmissionMode.ACKNOWLEDGED,
}
TIMERS = Timers(repeat=timedelta(milliseconds=200), inactivity=timedelta(seconds=30), check=timedelta(milliseconds=300))


IGNORED = (
    InvalidNakPdu,
    InvalidTransactionSeqNum,
    NoRemoteEntityConfigFound,
    PduIgnoredForDest,
    PduIgnoredForSource,
)


class Relay:
    """Carries datagrams between two ports; ``rng`` decides which are lost, doubled or held back behind others."""

    def __init__(self, rng: np.random.Generator, *, loss: float, swap: float) -> None:
        self._rng = rng
        self._loss, self._swap = loss, swap
        self._sides = [_bound(), _bound()]
        self.ports = [side.getsockname()[1] for side in self._sides]
        self.targets: list[int] = [0, 0]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for side in self._sides:
            side.close()

    def _run(self) -> None:
        held: list[tuple[int, bytes]] = []
        while not self._over.is_set():
            ready, _, _ = select.select(self._sides, [], [], 0.02)
            if not ready:
                self._forward(held)
            for side in ready:
                at = self._sides.index(side)
                data = _read(side)
                if data is None or self._rng.random() < self._loss:
                    continue
                if self._rng.random() < self._swap:
                    held.append((at, data))
                    continue
                self._forward([(at, data)] * (2 if self._rng.random() < self._loss else 1))
                if len(held) > 3:
                    self._forward(held)

    def _forward(self, datagrams: list[tuple[int, bytes]]) -> None:
        for at, data in datagrams:
            self._sides[1 - at].sendto(data, ("127.0.0.1", self.targets[at]))
        datagrams.clear()


def _bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    return made


def _read(side: socket.socket) -> bytes | None:
    try:
        return side.recv(65_535)
    except (BlockingIOError, ConnectionRefusedError):
        return None


class _User(CfdpUserBase):  # type: ignore[misc]  # cfdppy ships no types
    def __init__(self) -> None:
        super().__init__()
        self.finished: list[Any] = []

    def transaction_finished_indication(self, params: Any) -> None:
        self.finished.append(params.finished_params)

    def _unused(self, *_: Any) -> None: ...

    transaction_indication = eof_sent_indication = metadata_recv_indication = _unused
    file_segment_recv_indication = report_indication = suspended_indication = _unused
    resumed_indication = fault_indication = abandoned_indication = eof_recv_indication = _unused


class _Faults(DefaultFaultHandlerBase):  # type: ignore[misc]  # cfdppy ships no types
    def _unused(self, *_: Any) -> None: ...

    notice_of_suspension_cb = notice_of_cancellation_cb = abandoned_cb = ignore_cb = _unused


class _Check(CheckTimerProvider):  # type: ignore[misc]  # cfdppy ships no types
    def provide_check_timer(self, *_: Any, **__: Any) -> Any:
        return Countdown.from_seconds(0.3)


def _local() -> LocalEntityConfig:
    return LocalEntityConfig(ByteFieldU16(THEIRS), IndicationConfig(), _Faults())


def _table(*, immediate: bool = True) -> RemoteEntityConfigTable:
    config = RemoteEntityConfig(
        entity_id=ByteFieldU16(OURS),
        max_file_segment_len=SEGMENT,
        max_packet_len=SEGMENT + 40,
        closure_requested=False,
        crc_on_transmission=False,
        default_transmission_mode=TransmissionMode.ACKNOWLEDGED,
        crc_type=ChecksumType.CRC_32,
        positive_ack_timer_interval_seconds=0.2,
        positive_ack_timer_expiration_limit=40,
        nak_timer_interval_seconds=0.2,
        nak_timer_expiration_limit=40,
        check_limit=10,
        immediate_nak_mode=immediate,
    )
    return RemoteEntityConfigTable([config])


@dataclass
class StockPeer:
    """A thread that runs one of the library's handlers as its examples do: nothing of ours is in it."""

    handler: Any
    target: int
    socket: socket.socket = field(default_factory=_bound)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def start(self) -> None:
        """Begin, once the relay knows where everybody is."""
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self.socket.close()

    def _run(self) -> None:
        while not self.over.is_set():
            data = _read(self.socket)
            with contextlib.suppress(*IGNORED):  # as the examples do: told, and gone on
                self.handler.state_machine(None if data is None else PduFactory.from_raw(data))
            busy = self.handler.packets_ready
            while (holder := self.handler.get_next_packet()) is not None:
                self.socket.sendto(holder.pdu.pack(), ("127.0.0.1", self.target))
                time.sleep(0.0002)
            if data is None and not busy:
                select.select([self.socket], [], [], 0.01)


class Ear:
    def __init__(self) -> None:
        self.contents: list[bytes] = []
        self.results: list[SendResult] = []
        self.failures: list[str] = []

    def received(self, file: ReceivedFile) -> None:
        self.contents.append(file.path.read_bytes())

    def sent(self, result: SendResult) -> None:
        self.results.append(result)

    def failed(self, key: TransactionKey, reason: str) -> None:
        self.failures.append(reason)


def _until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 40
    while not what():
        assert time.monotonic() < end, "it did not happen within 40 s"
        time.sleep(0.005)


@pytest.fixture(params=["clean", "lossy"])
def relay(request: pytest.FixtureRequest) -> Iterator[Relay]:
    rng = np.random.default_rng(20)
    lossy = request.param == "lossy"
    with Relay(rng, loss=0.08 if lossy else 0.0, swap=0.2 if lossy else 0.0) as made:
        yield made


def _ours(folder: Path, relay_port: int, ear: Ear) -> CfdpEntity:
    remote = RemoteEntity(id=THEIRS, host="127.0.0.1", port=relay_port, segment=Bytes(SEGMENT))
    settings = EntitySettings(
        id=OURS, host="127.0.0.1", port=0, inbox=folder / "inbox", remotes=(remote,), timers=TIMERS
    )
    return CfdpEntity(settings, ear)


@pytest.mark.parametrize("size", SIZES)
def test_the_library_receives_in_class_2_what_we_send(tmp_path: Path, relay: Relay, size: int) -> None:
    content = os.urandom(size)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    ear, user = Ear(), _User()
    handler = DestHandler(_local(), user, _table(), _Check())
    with _ours(tmp_path, relay.ports[0], ear) as ours, StockPeer(handler, relay.ports[1]) as theirs:
        relay.targets[:] = [theirs.port, ours.address[1]]
        theirs.start()
        ours.send(source, THEIRS, name=str(target))
        _until(lambda: bool(ear.results))
    assert ear.results[0].outcome is Outcome.DELIVERED
    assert target.read_bytes() == content
    assert user.finished[0].condition_code == ConditionCode.NO_ERROR


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("closure", [False, True], ids=["open", "closure"])
def test_the_library_receives_in_class_1_what_we_send(tmp_path: Path, size: int, closure: bool) -> None:
    content = os.urandom(size)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    ear, user = Ear(), _User()
    handler = DestHandler(_local(), user, _table(), _Check())
    with (
        Relay(np.random.default_rng(1), loss=0, swap=0) as relay,
        _ours(tmp_path, relay.ports[0], ear) as ours,
        StockPeer(handler, relay.ports[1]) as theirs,
    ):
        relay.targets[:] = [theirs.port, ours.address[1]]
        theirs.start()
        ours.send(source, THEIRS, name=str(target), transfer_class=TransferClass.UNACKNOWLEDGED, closure=closure)
        _until(lambda: bool(ear.results) and bool(user.finished))
    assert ear.results[0].outcome is (Outcome.DELIVERED if closure else Outcome.SENT)
    assert target.read_bytes() == content


@pytest.mark.parametrize("size", SIZES)
def test_we_receive_in_class_2_what_the_library_sends(tmp_path: Path, relay: Relay, size: int) -> None:
    content = os.urandom(size)
    ear, user = Ear(), _User()
    handler = _source(user, _file(tmp_path, content), TransferClass.ACKNOWLEDGED)
    with _ours(tmp_path, relay.ports[0], ear) as ours, StockPeer(handler, relay.ports[1]) as theirs:
        relay.targets[:] = [theirs.port, ours.address[1]]
        theirs.start()
        _until(lambda: handler.state == CfdpState.IDLE)
        _until(lambda: bool(ear.contents))
    assert ear.contents == [content]
    assert user.finished[0].delivery_code == DeliveryCode.DATA_COMPLETE
    assert not ear.failures


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("swap", [0.0, 0.3], ids=["in order", "reordered"])
def test_we_receive_in_class_1_what_the_library_sends(tmp_path: Path, size: int, swap: float) -> None:
    content = os.urandom(size)
    ear, user = Ear(), _User()
    handler = _source(user, _file(tmp_path, content), TransferClass.UNACKNOWLEDGED)
    with (
        Relay(np.random.default_rng(2), loss=0, swap=swap) as relay,
        _ours(tmp_path, relay.ports[0], ear) as ours,
        StockPeer(handler, relay.ports[1]) as theirs,
    ):
        relay.targets[:] = [theirs.port, ours.address[1]]
        theirs.start()
        _until(lambda: bool(ear.contents))
    assert ear.contents == [content]


def test_a_stock_sender_that_begins_anew_sends_the_same_small_file_three_times(tmp_path: Path) -> None:
    ear = Ear()
    with (
        Relay(np.random.default_rng(3), loss=0, swap=0) as relay,
        _ours(tmp_path, relay.ports[0], ear) as ours,
    ):
        for _ in range(3):
            user = _User()
            handler = _source(user, _file(tmp_path, b"small"), TransferClass.ACKNOWLEDGED)
            with StockPeer(handler, relay.ports[1]) as theirs:
                relay.targets[:] = [theirs.port, ours.address[1]]
                theirs.start()
                _until(partial(_idle, handler))
            assert [found.condition_code for found in user.finished] == [ConditionCode.NO_ERROR]
    assert set(ear.contents) == {b"small"}


def test_several_peers_send_at_one_time(tmp_path: Path) -> None:
    ear = Ear()
    ids = [EntityId(number) for number in range(10, 14)]
    ears = [Ear() for _ in ids]
    ground = EntityId(1)
    listening = [_bound() for _ in ids]
    ports = [one.getsockname()[1] for one in listening]
    for one in listening:
        one.close()
    remotes = tuple(RemoteEntity(id=id, host="127.0.0.1", port=port) for id, port in zip(ids, ports, strict=True))
    settings = EntitySettings(id=ground, host="127.0.0.1", port=0, inbox=tmp_path / "ground", remotes=remotes)
    contents = {os.urandom(30_000) for _ in range(3 * len(ids))}
    left = sorted(contents)
    entities: list[CfdpEntity] = []
    with CfdpEntity(settings, ear) as ours:
        remote = RemoteEntity(id=ground, host="127.0.0.1", port=ours.address[1])
        for id, port, other in zip(ids, ports, ears, strict=True):
            peer = EntitySettings(
                id=id, host="127.0.0.1", port=port, inbox=tmp_path / str(id), remotes=(remote,), timers=TIMERS
            )
            entities.append(CfdpEntity(peer, other))
            for number in range(3):
                entities[-1].send(_file(tmp_path, left.pop(), f"{id}-{number}"), ground)
        for entity in entities:
            entity.start()
        _until(lambda: all(len(other.results) == 3 for other in ears))
        for entity in entities:
            entity.close()
    assert {result.outcome for other in ears for result in other.results} == {Outcome.DELIVERED}
    assert set(ear.contents) == contents
    assert len(ear.contents) == len(contents)


def _idle(handler: SourceHandler) -> bool:
    return bool(handler.state == CfdpState.IDLE)


def _file(folder: Path, content: bytes, name: str = "source.bin") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _source(user: _User, path: Path, transfer_class: TransferClass) -> SourceHandler:
    handler = SourceHandler(_local(), user, _table(), _Check(), SeqCountProvider(16))
    mode = MODES[transfer_class]
    assert handler.put_request(PutRequest(ByteFieldU16(OURS), path, Path("anywhere"), mode, False))
    return handler
