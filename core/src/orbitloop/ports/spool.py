"""Where samples wait on board until the ground holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from orbitloop.domain.samples import Sample
from orbitloop.domain.units import Bytes, Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolState:
    """How much waits: samples that the ground does not yet hold, and the bytes of their pixels."""

    samples: int
    bytes: Bytes


class Spool(Protocol):
    """A durable queue of samples. Whatever is killed or repeated, each is delivered, and counted once."""

    def add(self, sample: Sample, pixels: bytes) -> bool:
        """Store a sample durably; ``False`` if it was there before. Raises ``NoSpace`` over the spool's budget."""
        ...

    def state(self) -> SpoolState:
        """What waits."""
        ...

    def seal(self, budget: Bytes) -> tuple[Digest, bytes] | None:
        """The next bundle to send, at most ``budget`` bytes: an unfinished one first, else a new one of the samples
        with the most value per byte. ``None`` when nothing waits or not even one sample fits.

        The same bundle comes again, byte for byte, until it is acknowledged with :meth:`delivered` or given up
        with :meth:`unseal`.
        """
        ...

    def delivered(self, bundle: Digest) -> None:
        """The ground holds this bundle durably: its samples leave the spool. Idempotent."""
        ...

    def unseal(self, bundle: Digest) -> None:
        """The ground will never take this bundle: its samples wait again. Idempotent.

        Whichever of them the ground minds, it holds up no other: from now on each travels in a bundle of its own,
        after what was never refused, and after what was refused less often.
        """
        ...
