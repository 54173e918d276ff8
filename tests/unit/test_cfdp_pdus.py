"""PDUs from outside: whatever the bytes, the entity stays up and other transfers go on."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacepackets.cfdp import ChecksumType, ConditionCode, CrcFlag, PduConfig, TransmissionMode
from spacepackets.cfdp.pdu import EofPdu, FileDataPdu, MetadataParams, MetadataPdu, NakPdu
from spacepackets.cfdp.pdu.file_data import FileDataParams
from spacepackets.util import ByteFieldU16, ByteFieldU32

from orbitloop.adapters.cfdp.entity import CfdpEntity
from orbitloop.adapters.cfdp.pdus import read_pdu
from orbitloop.adapters.cfdp.values import (
    EntityId,
    EntitySettings,
    ReceivedFile,
    RemoteEntity,
    SendResult,
    TransactionKey,
)
from orbitloop.domain.errors import BadInput


class _Deaf:
    def received(self, file: ReceivedFile) -> None: ...

    def sent(self, result: SendResult) -> None: ...

    def failed(self, key: TransactionKey, reason: str) -> None: ...


class _Script:
    """Datagrams that were written beforehand."""

    address = ("script", 1)

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.answers: list[bytes] = []

    def receive(self, most: int) -> list[bytes]:
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return taken

    def send(self, data: bytes, to: tuple[str, int]) -> bool:
        self.answers.append(data)
        return True

    def wait(self, seconds: float) -> None: ...

    def close(self) -> None: ...


def _config(number: int, mode: TransmissionMode) -> PduConfig:
    return PduConfig(
        source_entity_id=ByteFieldU16(1),
        dest_entity_id=ByteFieldU16(2),
        transaction_seq_num=ByteFieldU32(number),
        trans_mode=mode,
        crc_flag=CrcFlag.NO_CRC,
    )


def _some_pdus(number: int, mode: TransmissionMode) -> list[bytes]:
    config = _config(number, mode)
    params = MetadataParams(True, ChecksumType.CRC_32, 300, "from", "to")
    return [
        bytes(MetadataPdu(copy.copy(config), params).pack()),
        *(bytes(FileDataPdu(copy.copy(config), FileDataParams(b"x" * 100, at)).pack()) for at in (0, 100, 200)),
        bytes(EofPdu(copy.copy(config), bytes(4), 300).pack()),
        bytes(EofPdu(copy.copy(config), bytes(4), 300, condition_code=ConditionCode.CANCEL_REQUEST_RECEIVED).pack()),
        bytes(NakPdu(copy.copy(config), 0, 300, [(0, 0), (0, 2**32 - 1)]).pack()),
    ]


@given(data=st.binary(max_size=300))
def test_bytes_are_a_pdu_or_bad_input(data: bytes) -> None:
    try:
        pdu = read_pdu(data)
    except BadInput:
        return
    else:
        assert pdu.source_entity_id is not None


@pytest.mark.parametrize("seed", range(20))
def test_damaged_pdus_without_a_crc_never_stop_an_entity(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    script = _Script()
    now = [0]
    remote = RemoteEntity(id=EntityId(1), host="script", port=1)
    settings = EntitySettings(id=EntityId(2), host="script", port=2, inbox=tmp_path, remotes=(remote,))
    entity = CfdpEntity(settings, _Deaf(), datagrams=script, monotonic=lambda: now[0])  # type: ignore[arg-type]
    for number in range(30):
        mode = TransmissionMode.ACKNOWLEDGED if rng.random() < 0.7 else TransmissionMode.UNACKNOWLEDGED
        for raw in rng.permutation(np.array(_some_pdus(number % 5, mode), dtype=object)):
            damaged = bytearray(raw)
            for _ in range(int(rng.integers(0, 3))):
                damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
            script.waiting.append(bytes(damaged))
        now[0] += 10**9
        entity.step()
    now[0] += 10**12
    entity.step()
    entity.step()
    assert not entity.busy
    assert not list((tmp_path / ".quarantine").iterdir())
    assert all(read_pdu(answer) for answer in script.answers)


@pytest.mark.parametrize("code", [ConditionCode.CANCEL_REQUEST_RECEIVED, ConditionCode.NO_ERROR])
def test_an_end_of_file_keeps_its_condition(code: ConditionCode) -> None:
    raw = EofPdu(_config(1, TransmissionMode.ACKNOWLEDGED), bytes(4), 0, condition_code=code).pack()
    assert read_pdu(bytes(raw)).condition_code == code
