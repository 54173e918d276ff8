"""Where the ground keeps what came down: pixels in a blob store, everything else in a ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from orbitloop.domain.samples import Sample
from orbitloop.domain.units import Bytes, Digest
from orbitloop.wire.messages import Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A bundle whose pixels are stored, about to be entered into the ledger.

    Args:
        bundle: digest of the bundle's bytes.
        size: how many they are.
        at: when the ground had all of it, UTC.
        entries: the samples' header entries (``wire.bundle.entry_of``), in the bundle's order.
    """

    bundle: Digest
    size: Bytes
    satellite: str
    at: datetime
    entries: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReceivedSample:
    """A sample that the ground holds.

    Args:
        blob: digest of the encoded pixels, their name in the blob store.
        received: when, UTC.
        round: the training round that consumed it, ``None`` while it waits.
    """

    sample: Sample
    satellite: str
    blob: Digest
    bundle: Digest
    received: datetime
    round: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A bundle of ``size`` bytes that the ground holds, and the receipt for it."""

    receipt: Receipt
    size: Bytes


class Blobs(Protocol):
    """Bytes under their digest."""

    def put(self, blobs: Mapping[Digest, bytes]) -> None:
        """Store all of ``blobs`` durably; what is there already stays. Raises ``NoSpace`` when the disk is full."""
        ...

    def get(self, digest: Digest) -> bytes:
        """The bytes of ``digest``. Raises ``BadInput`` if there are none, ``Untrusted`` if they are damaged."""
        ...


class ArrivalLedger(Protocol):
    """What the receiver of bundles needs of the ledger."""

    def enter(self, arrival: Arrival) -> Receipt:
        """Enter a bundle and those of its samples that are new, in one transaction.

        Idempotent: the same bundle gives the same receipt. Raises ``NoSpace`` when the disk is full.
        """
        ...

    def entered(self, satellite: str, bundle: Digest) -> Entered | None:
        """A bundle that was entered, if it was."""
        ...


class SampleLedger(Protocol):
    """What a training round needs of the ledger: each sample is used by one round."""

    def waiting(self, satellites: Sequence[str] = (), *, limit: int | None = None) -> list[ReceivedSample]:
        """Samples that no round consumed, in the order of arrival; of all satellites unless some are named."""
        ...

    def consume(self, names: Iterable[Digest], in_round: str) -> int:
        """Mark waiting samples as used by ``in_round``; returns how many were newly marked. Idempotent."""
        ...

    def consumed(self, in_round: str) -> list[ReceivedSample]:
        """The samples of a round, in the order of arrival: what a repeated round trains on again."""
        ...
