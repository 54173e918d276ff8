"""Where samples wait on board until the ground holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from orbitloop.domain.samples import Sample
from orbitloop.domain.units import Bytes, Digest
from orbitloop.wire.messages import Priorities


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolState:
    """How much waits, and how much went.

    Args:
        samples: samples that the ground does not yet hold.
        bytes: bytes of their pixels.
        delivered: samples that the ground has acknowledged since launch.
        last: the bundle that was acknowledged last.
    """

    samples: int
    bytes: Bytes
    delivered: int = 0
    last: Digest | None = None


class Intake(Protocol):
    """Where the inference worker hands samples over."""

    def add(self, sample: Sample, pixels: bytes) -> bool:
        """Store a sample durably; ``False`` if it was there before. Raises ``NoSpace`` over the spool's budget."""
        ...


class Spool(Intake, Protocol):
    """A durable queue of samples. Whatever is killed or repeated, each is delivered, and counted once.

    Threads may share one.
    """

    def state(self) -> SpoolState:
        """What waits."""
        ...

    def unfinished(self) -> tuple[Digest, ...]:
        """Bundles that were sealed and are neither delivered nor given up, the oldest first."""
        ...

    def seal(self, budget: Bytes, besides: frozenset[Digest] = frozenset()) -> tuple[Digest, bytes] | None:
        """The next bundle to send that is not in ``besides``: an unfinished one first, the oldest before the others
        and whatever its size, else a new one of at most ``budget`` bytes, of the samples with the most effective value
        per byte. ``None`` when nothing else waits or not even one sample fits.

        A bundle comes again, byte for byte, until it is acknowledged with :meth:`delivered` or given up with
        :meth:`unseal`.
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

    def prefer(self, priorities: Priorities) -> None:
        """Rank what is sealed from now on by what the ground wants most; an older revision changes nothing."""
        ...
