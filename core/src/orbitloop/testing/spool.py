"""A spool in memory: the satellite's contract without its disk."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NoSpace
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.ranking import effective_value
from orbitloop.domain.samples import Sample
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.spool import SpoolState
from orbitloop.wire.bundle import Limits, cost, entry_of, fill, pack, rank
from orbitloop.wire.messages import Priorities


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Waiting:
    sample: Sample
    pixels: bytes
    cost: Bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sealed:
    digest: Digest
    data: bytes
    samples: frozenset[Digest]


class MemorySpool:
    """The :class:`~orbitloop.ports.spool.Spool` for simulations and tests.

    Args:
        satellite: whose samples these are.
        clock: stamps the bundles.
        budget: most bytes of pixels that may wait.
        limits: what the ground takes in one bundle.
        policy: its priorities and ageing.
    """

    def __init__(
        self,
        satellite: str,
        clock: Clock,
        *,
        budget: Bytes,
        limits: Limits | None = None,
        policy: LinkPolicy | None = None,
    ) -> None:
        self._policy = policy or LinkPolicy()
        self._satellite = satellite
        self._clock = clock
        self._budget = budget
        self._limits = limits or Limits()
        self._waiting: dict[Digest, _Waiting] = {}
        self._gone: set[Digest] = set()
        self._last: Digest | None = None
        self._refused: Counter[Digest] = Counter()
        self._sealed: dict[Digest, _Sealed] = {}
        self._priorities = Priorities(revision=0)
        self._guard = threading.RLock()

    def add(self, sample: Sample, pixels: bytes) -> bool:
        """Store a sample; ``False`` if it was there before, or is on the ground already.

        Raises:
            BadInput: the sample could never be sent.
            Untrusted: its id is not the name of its tile.
            NoSpace: the budget is full.
        """
        price = cost(entry_of(self._satellite, sample, pixels), sample.size)
        if not fill([(sample.id, price)], self._limits.packed, self._limits):
            raise BadInput(f"sample {sample.id} of {sample.size} bytes fits into no bundle; encode it smaller")
        with self._guard:
            if sample.id in self._waiting or sample.id in self._gone:
                return False
            if self.state().bytes + sample.size > self._budget:
                raise NoSpace(f"the spool of {self._satellite} holds {self.state().bytes} of {self._budget} bytes")
            self._waiting[sample.id] = _Waiting(sample=sample, pixels=pixels, cost=price)
            return True

    def state(self) -> SpoolState:
        """What waits."""
        with self._guard:
            return SpoolState(
                samples=len(self._waiting),
                bytes=Bytes(sum(len(item.pixels) for item in self._waiting.values())),
                delivered=len(self._gone),
                last=self._last,
            )

    def unfinished(self) -> tuple[Digest, ...]:
        """Sealed bundles, the oldest first."""
        with self._guard:
            return tuple(self._sealed)

    def seal(self, budget: Bytes, besides: frozenset[Digest] = frozenset()) -> tuple[Digest, bytes] | None:
        """The next bundle to send; the unfinished ones first, whatever their size."""
        with self._guard:
            for sealed in self._sealed.values():
                if sealed.digest not in besides:
                    return sealed.digest, sealed.data
            chosen = self._chosen(budget)
            if not chosen:
                return None
            picked = [self._waiting[name] for name in chosen]
            data = pack(self._satellite, self._clock.now(), [(item.sample, item.pixels) for item in picked])
            digest = digest_of(data)
            self._sealed[digest] = _Sealed(digest=digest, data=data, samples=frozenset(chosen))
            return digest, data

    def delivered(self, bundle: Digest) -> None:
        """The ground holds this bundle: its samples leave. Idempotent."""
        with self._guard:
            sealed = self._sealed.pop(bundle, None)
            if sealed is None:
                return
            for name in sealed.samples:
                del self._waiting[name]
                self._refused.pop(name, None)
            self._gone |= sealed.samples
            self._last = bundle

    def unseal(self, bundle: Digest) -> None:
        """The ground will never take this bundle: its samples wait again, each to travel alone. Idempotent."""
        with self._guard:
            sealed = self._sealed.pop(bundle, None)
            if sealed is not None:
                self._refused.update(sealed.samples)

    def prefer(self, priorities: Priorities) -> None:
        """Rank by what the ground wants most; an older revision changes nothing."""
        with self._guard:
            if priorities.revision > self._priorities.revision:
                self._priorities = priorities

    def _chosen(self, budget: Bytes) -> list[Digest]:
        sealed = {name for bundle in self._sealed.values() for name in bundle.samples}
        ranked = sorted((item for name, item in self._waiting.items() if name not in sealed), key=self._rank)
        fresh = [item for item in ranked if item.sample.id not in self._refused]
        refused = sorted(
            (item for item in ranked if item.sample.id in self._refused), key=lambda item: self._refused[item.sample.id]
        )
        return _filled(fresh, budget, self._limits) or _filled(refused, budget, replace(self._limits, samples=1))

    def _rank(self, item: _Waiting) -> tuple[float, Digest]:
        sample = item.sample
        waited = self._clock.now() - sample.captured
        value = effective_value(sample.value, reason=sample.reason, waited=waited, policy=self._policy)
        return rank(sample.id, value * self._priorities.factors.get(str(sample.reason), 1.0), item.cost)


def _filled(ranked: Iterable[_Waiting], budget: Bytes, limits: Limits) -> list[Digest]:
    return fill(((item.sample.id, item.cost) for item in ranked), budget, limits)
