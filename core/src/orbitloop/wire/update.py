"""A signed partial update on its way up, byte by byte.

    magic     4 bytes   ``OLU2``
    length    4 bytes   of the header, unsigned, little-endian
    header    see :mod:`orbitloop.wire.update_head`
    signature 64 bytes  Ed25519 (RFC 8032) over everything before it
    steps     one after the other, see :mod:`orbitloop.wire.update_streams`

The signature is at the front and vouches for the digest of every step, so that of an update that was cut, the steps
that are here whole can be trusted. It is checked before anything is unpacked, and so is the digest of a step.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from orbitloop.domain.delta import Change
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, Untrusted
from orbitloop.domain.units import Digest
from orbitloop.wire import update_v1
from orbitloop.wire.update_head import CanaryTruth, Head, StepHead, head_of, pack_head, unpack_head
from orbitloop.wire.update_streams import Shapes, StepReader, pack_step

__all__ = [
    "MAGIC",
    "MAGICS",
    "SIGNATURE",
    "CanaryTruth",
    "Sign",
    "Step",
    "Update",
    "Verify",
    "beginnings_of",
    "pack_update",
    "unpack_beginning",
    "unpack_update",
]

MAGIC = b"OLU2"
MAGICS = (MAGIC, update_v1.MAGIC)
"""What an update may begin with: this version writes the first and reads all."""
SIGNATURE = update_v1.SIGNATURE
_FRONT = len(MAGIC) + 4

Sign = Callable[[bytes], bytes]
"""From a message to its 64-byte signature."""
Verify = Callable[[bytes, bytes], None]
"""From signature and message to nothing; raises ``Untrusted``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """Changes that together make a model of the one before: the weights whose digest is ``result``."""

    changes: tuple[Change, ...]
    result: Digest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Update:
    """A partial update: from which model, by which steps, to be proved on which tiles.

    Every step is carried out on the result of the one before, so that any number of first steps is an update too.

    Args:
        missing: how many more steps it has that are not here.
    """

    base: Digest
    steps: tuple[Step, ...]
    canary: tuple[CanaryTruth, ...] = ()
    missing: int = 0

    @property
    def result(self) -> Digest:
        """The weights that all of it makes; those that fly already if it has no steps."""
        return self.steps[-1].result if self.steps else self.base

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes of all steps, in their order."""
        return tuple(change for step in self.steps for change in step.changes)


def pack_update(update: Update, sign: Sign, shapes: Shapes | None = None) -> bytes:
    """The update as signed bytes; the same update gives the same bytes.

    Args:
        shapes: of the model's tensors by name: positions of sparse changes take fewer bytes where they are known.
    """
    streams = [pack_step(step.changes, shapes or {}) for step in update.steps]
    steps = tuple(
        StepHead(
            result=step.result,
            streams=digest_of(data),
            size=len(data),
            changes=tuple(head_of(change) for change in step.changes),
        )
        for step, data in zip(update.steps, streams, strict=True)
    )
    head = pack_head(Head(base=update.base, steps=steps, canary=update.canary))
    message = MAGIC + struct.pack("<I", len(head)) + head
    return message + sign(message) + b"".join(streams)


def unpack_update(data: bytes, verify: Verify) -> Update:
    """Check and read a whole update.

    Raises:
        Untrusted: the signature is not the ground's, or a step is not what it vouches for.
        BadInput: it is no update, or is damaged, or would unpack to more than an update may have.
    """
    if data[:4] == update_v1.MAGIC:
        return _first_version(data, verify)
    if data[: len(MAGIC)] != MAGIC:
        raise BadInput(f"{len(data)} bytes that do not begin with {MAGIC.decode()}: not an orbitloop update")
    front = _front(data)
    if front is None:
        raise BadInput(f"{len(data)} bytes, in which the update's header does not end: truncated")
    verify(data[front : front + SIGNATURE], data[:front])
    head = unpack_head(memoryview(data)[_FRONT:front])
    length = front + SIGNATURE + sum(step.size for step in head.steps)
    if len(data) != length:
        raise BadInput(
            f"the update is {len(data)} bytes long and should be {length}: truncated, or joined with another"
        )
    steps = _steps_here(head, memoryview(data)[front + SIGNATURE :])
    if len(steps) < len(head.steps):
        raise Untrusted(f"step {len(steps) + 1} of the update is not what its signature vouches for; it is not flown")
    return Update(base=head.base, steps=steps, canary=head.canary)


def unpack_beginning(data: bytes, verify: Verify) -> Update | None:
    """Check and read the steps that are whole of an update of which only the first bytes are here, or ``None``.

    Raises:
        Untrusted: the signature is not the ground's.
        BadInput: the header, or a step that the signature vouches for, cannot be read.
    """
    front = _front(data)
    if front is None:
        return None
    verify(data[front : front + SIGNATURE], data[:front])
    head = unpack_head(memoryview(data)[_FRONT:front])
    steps = _steps_here(head, memoryview(data)[front + SIGNATURE :])
    if not steps:
        return None
    return Update(base=head.base, steps=steps, canary=head.canary, missing=len(head.steps) - len(steps))


def beginnings_of(data: bytes) -> tuple[Digest, ...]:
    """The weights that a beginning of an update makes: the result of every step but the last. Nothing is checked, and
    none are known of what is no update in steps.

    Raises:
        BadInput: the header cannot be read.
    """
    front = _front(data)
    if front is None:
        return ()
    return tuple(step.result for step in unpack_head(memoryview(data)[_FRONT:front]).steps[:-1])


def _front(data: bytes) -> int | None:
    """Where the signature begins; ``None`` if it is not here to its end, or this is no update."""
    if len(data) < _FRONT or data[:4] != MAGIC:
        return None
    front = _FRONT + int(struct.unpack_from("<I", data, 4)[0])
    return front if front + SIGNATURE <= len(data) else None


def _steps_here(head: Head, streams: memoryview) -> tuple[Step, ...]:
    """The steps up to the first that is cut off or is not what the header says."""
    steps: list[Step] = []
    at = 0
    for told in head.steps:
        part = streams[at : at + told.size]
        at += told.size
        if len(part) < told.size or digest_of(part) != told.streams:
            break
        reader = StepReader(part, [change.extent for change in told.changes])
        changes = tuple(change.read(reader) for change in told.changes)
        reader.finish()
        steps.append(Step(changes=changes, result=told.result))
    return tuple(steps)


def _first_version(data: bytes, verify: Verify) -> Update:
    if len(data) < _FRONT + SIGNATURE:
        raise BadInput(f"{len(data)} bytes are too few for an update: truncated")
    message, signature = data[:-SIGNATURE], data[-SIGNATURE:]
    if struct.unpack_from("<I", data, 4)[0] != len(message) - _FRONT:
        raise BadInput(f"the update is {len(data)} bytes long, but says otherwise: truncated, or joined with another")
    verify(signature, message)
    header, changes = update_v1.unpack_body(message[_FRONT:])
    return Update(base=header.base, steps=(Step(changes=changes, result=header.result),), canary=header.truths)
