"""Every parser of what crosses space: each takes any bytes, and either reads them or refuses them.

An outer layer that guards an inner one (a digest, a signature) is put on right, so that what is fuzzed gets through.
"""

from __future__ import annotations

import hashlib
import json
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard
from pydantic import ValidationError

from orbitloop.adapters.plans import read_plan
from orbitloop.domain.delta import Shift, Sparse
from orbitloop.domain.errors import BadInput, OrbitloopError
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes
from orbitloop.testing.builders import a_digest, some_truth
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire import bundle, update
from orbitloop.wire.messages import (
    Goodbye,
    Hello,
    LedgerPosition,
    Message,
    Offer,
    Priorities,
    Receipt,
    Telemetry,
    UpdateReport,
    Welcome,
)

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


def _update_body(body: bytes) -> object:
    squeezed = zstandard.compress(body)
    message = update.MAGIC + struct.pack("<I", len(squeezed)) + squeezed
    return update.unpack_update(message + bytes(update.SIGNATURE), _anyone)


def _message(kind: type[Message]) -> Callable[[bytes], object]:
    def parse(data: bytes) -> object:
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            raise BadInput(str(error)) from error

    return parse


def _plan(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.csv"
        path.write_bytes(data)
        return read_plan(path)


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
    whole = update.Update(base=DIGEST, result=a_digest("result"), changes=changes, canary=(canary,))
    return update.pack_update(whole, lambda _: bytes(update.SIGNATURE))


def _unsqueezed(data: bytes) -> bytes:
    return zstandard.decompress(data)


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
    ),
    Welcome(
        clock=LAUNCH,
        offer=Offer(digest=DIGEST, size=Bytes(5), base=DIGEST, result=a_digest("next")),
        held=(_RECEIPT,),
        received=4,
        priorities=Priorities(revision=2, factors={"hard": 2.0}),
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
    "update-body": Parser(parse=_update_body, seeds=(_unsqueezed(_an_update()[8 : -update.SIGNATURE]),)),
    "plan": Parser(
        parse=_plan, seeds=(b"station,aos,los,peak_deg\nTongchuan,2026-01-01T00:00:00Z,2026-01-01T00:08:00Z,41.0\n",)
    ),
} | {
    type(message).__name__.lower(): Parser(parse=_message(type(message)), seeds=(message.model_dump_json().encode(),))
    for message in _MESSAGES
}

if __name__ == "__main__":
    print(*PARSERS)
