"""The spool on the satellite's disk: samples and sealed bundles in files, an index of them in SQLite.

The order of writing makes every moment safe to be killed in: a file is durable before the row that names it, and a row
is gone before its file is removed. At the start, files and rows are compared: a sample without a row waits all the
same, a row without a file is forgotten. So the index may be damaged or lost, and nothing that waits is.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

import numpy as np
from pydantic import ValidationError

from orbitloop.adapters.durable import naming_full_disk
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NoSpace, Refused, Untrusted
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.ranking import by_density, effective_values
from orbitloop.domain.samples import Reason, Sample
from orbitloop.domain.traffic import TrafficClass
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.spool import SpoolState
from orbitloop.wire.bundle import Limits, cost, entry_of, fill, pack, unpack
from orbitloop.wire.messages import Priorities
from orbitloop_edge.adapters.damage import FAULTS, is_damage
from orbitloop_edge.adapters.locks import locked
from orbitloop_edge.adapters.reserve import Reserve
from orbitloop_edge.adapters.spool_files import BundleFiles, SampleFiles, Stored
from orbitloop_edge.adapters.spool_index import Queue, Row, SpoolIndex

_log = logging.getLogger(__name__)

_NONE = Bytes(0)

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def _surviving(
    method: Callable[Concatenate[DiskSpool, Arguments], Answer],
) -> Callable[Concatenate[DiskSpool, Arguments], Answer]:
    """One thread at a time; when the index turns out to be damaged, build it again and go on."""

    @functools.wraps(method)
    def guarded(spool: DiskSpool, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        with spool.guard:
            try:
                return method(spool, *args, **kwargs)
            except FAULTS as error:
                if not is_damage(error):
                    raise
                spool.rebuild(error)
                return method(spool, *args, **kwargs)

    return guarded


class DiskSpool:
    """The :class:`~orbitloop.ports.spool.Spool` that flies. Threads may share one; processes may not.

    Args:
        folder: where it lives; made if it is not there.
        satellite: whose samples these are.
        clock: stamps the bundles.
        budget: most bytes of pixels that may wait.
        limits: what the ground takes in one bundle.
        policy: its priorities and ageing.
        reserve: room that is kept free on the disk for sealing and sending, when everything else has filled it.

    Raises:
        BadInput: another process has the folder open.
        NoSpace: the disk is full.
    """

    def __init__(
        self,
        folder: Path,
        satellite: str,
        clock: Clock,
        *,
        budget: Bytes,
        limits: Limits | None = None,
        policy: LinkPolicy | None = None,
        reserve: Bytes = _NONE,
    ) -> None:
        self._policy = policy or LinkPolicy()
        self._satellite = satellite
        self._clock = clock
        self._budget = budget
        self._limits = limits or Limits(packed=Bytes(16 * 2**20))
        self._folder = folder
        self.guard = threading.RLock()
        with naming_full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = locked(folder / "lock", f"the spool in {folder}")
        try:
            with naming_full_disk(folder):
                self._samples = SampleFiles(folder / "samples", satellite)
                self._bundles = BundleFiles(folder / "bundles")
            self._index = SpoolIndex(folder / "spool.db")
            self._reconcile()
            self._reserve = Reserve(folder / "reserve", reserve)
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Let another process open the folder."""
        with self.guard:
            self._index.close()
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @_surviving
    def add(self, sample: Sample, pixels: bytes) -> bool:
        """Store a sample durably; ``False`` if it was there before, or is on the ground already.

        Raises:
            BadInput: the sample could never be sent.
            Untrusted: its id is not the name of its tile.
            NoSpace: the budget or the disk is full.
        """
        entry = entry_of(self._satellite, sample, pixels)
        stored = Stored(sample=sample, pixels=pixels, cost=cost(entry, sample.size))
        if not fill([(sample.id, stored.cost)], self._limits.packed, self._limits):
            raise BadInput(f"sample {sample.id} of {sample.size} bytes fits into no bundle; encode it smaller")
        if self._index.knows(sample.id):
            return False
        _, waiting = self._index.waiting()
        if waiting + sample.size > self._budget:
            raise NoSpace(
                f"the spool in {self._folder} holds {waiting} of {self._budget} bytes; "
                "wait for a contact or raise its budget"
            )
        self._samples.write(sample.id, entry, pixels)
        try:
            self._index.insert([_row(stored)])
        except NoSpace:
            self._samples.remove(sample.id)
            raise
        return True

    @_surviving
    def state(self) -> SpoolState:
        """What waits, and what went."""
        count, size = self._index.waiting()
        last = self._index.fact("last")
        return SpoolState(
            samples=count,
            bytes=Bytes(size),
            delivered=int(self._index.fact("delivered") or "0"),
            last=None if last is None else Digest(last),
        )

    @_surviving
    def unfinished(self) -> tuple[Digest, ...]:
        """Bundles under way, the oldest first."""
        return self._index.bundles()

    @_surviving
    def seal(self, budget: Bytes, besides: frozenset[Digest] = frozenset()) -> tuple[Digest, bytes] | None:
        """The next bundle to send: the unfinished ones first, whatever their size, since they are resumable.

        Raises:
            NoSpace: the disk has no room for the bundle; nothing has changed.
        """
        for digest in self._index.bundles():
            if digest in besides:
                continue
            try:
                return digest, self._bundles.read(digest)
            except Untrusted as error:
                # The samples are still here, each with its own digest: seal them afresh.
                _log.warning("bundle_damaged", extra={"bundle": digest, "why": str(error)})
                self._index.let_go(digest)
                self._bundles.remove(digest)
        return self._reserve.spend_on(lambda: self._seal_new(budget))

    @_surviving
    def delivered(self, bundle: Digest) -> None:
        """The ground holds this bundle durably: its samples leave the spool. Idempotent."""
        for name in self._reserve.spend_on(lambda: self._index.deliver(bundle)):
            self._samples.remove(name)
        self._bundles.remove(bundle)
        self._reserve.restore()

    @_surviving
    def unseal(self, bundle: Digest) -> None:
        """The ground will never take this bundle: its samples wait again, each to travel alone. Idempotent."""
        self._index.let_go(bundle, refused=True)
        self._bundles.remove(bundle)

    @_surviving
    def prefer(self, priorities: Priorities) -> None:
        """Rank what is sealed from now on by what the ground wants most; an older revision changes nothing."""
        if priorities.revision > self._priorities().revision:
            self._index.note("priorities", priorities.model_dump_json())
            _log.info("priorities_changed", extra={"revision": priorities.revision})

    def rebuild(self, error: Exception) -> None:
        """Set a damaged index aside and build another one from the files. The caller holds :attr:`guard`."""
        self._index.renew(error)
        self._reconcile()

    def _reconcile(self) -> None:
        """Make the index say what the folder holds."""
        here, known = self._samples.names(), self._index.names()
        if lost := known - here:
            # Their delivery was noted, but not durably: or else the disk has lost them.
            _log.warning("samples_missing", extra={"count": len(lost), "path": str(self._folder)})
            self._index.remove(lost)
        unknown = here - known
        for name in self._index.were_delivered(unknown):
            unknown.discard(name)
            self._samples.remove(name)
        self._adopt(unknown)
        self._adopt_bundles()
        self._samples.sync()

    def _adopt(self, names: set[Digest]) -> None:
        adopted = []
        for name in sorted(names):
            if (stored := self._samples.read(name)) is not None:
                adopted.append(_row(stored))
            else:
                _log.warning("file_removed", extra={"sample": name, "why": "not a whole sample"})
                self._samples.remove(name)
        if adopted:
            self._index.insert(adopted)
            _log.info("samples_found", extra={"count": len(adopted)})

    def _adopt_bundles(self) -> None:
        """Bundles go by what is in them, whatever the index says."""
        self._index.let_all_go()
        free = self._index.names()
        for digest in self._bundles.names():
            try:
                names = {sample.id for sample in unpack(self._bundles.read(digest), self._limits).samples}
            except Refused as error:
                _log.warning("file_removed", extra={"bundle": digest, "why": str(error)})
                names = set()
            if names and names <= free:
                free -= names
                self._index.bind(digest, names)
            else:
                self._bundles.remove(digest)

    def _seal_new(self, budget: Bytes) -> tuple[Digest, bytes] | None:
        while True:
            chosen = self._chosen(self._index.fresh(), budget, self._limits) or self._chosen(
                self._index.refused(), budget, replace(self._limits, samples=1)
            )
            if not chosen:
                return None
            if (read := self._read(chosen)) is not None:
                break  # else one was damaged and set aside: its room is for others
        data = pack(self._satellite, self._clock.now(), [(item.sample, item.pixels) for item in read])
        digest = digest_of(data)
        self._bundles.write(digest, data)
        try:
            self._index.bind(digest, chosen)
        except NoSpace:
            self._bundles.remove(digest)
            raise
        return digest, data

    def _chosen(self, queue: Queue, budget: Bytes, limits: Limits) -> list[Digest]:
        return fill(ranked(queue, self._priorities(), self._policy, self._clock.now()), budget, limits)

    def _read(self, names: list[Digest]) -> list[Stored] | None:
        """The chosen samples, or ``None`` if the index was wrong about one of them, and has been put right."""
        costs = self._index.costs(names)
        read: list[Stored] = []
        right = True
        for name, said in zip(names, costs, strict=True):
            stored = self._samples.read(name)
            if stored is None:
                _log.error("sample_damaged", extra={"sample": name, "path": str(self._folder)})
                self._index.remove([name])
                self._samples.remove(name)
                right = False
            elif stored.cost != said:
                self._index.correct(name, stored.cost)
                right = False
            else:
                read.append(stored)
        return read if right else None

    def _priorities(self) -> Priorities:
        try:
            return Priorities.model_validate_json(self._index.fact("priorities") or '{"revision": 0}')
        except ValidationError:
            _log.warning("priorities_damaged", extra={"path": str(self._folder)})
            return Priorities(revision=0)


def ranked(queue: Queue, priorities: Priorities, policy: LinkPolicy, now: datetime) -> list[tuple[Digest, Bytes]]:
    """Samples and what each adds to a bundle, most effective value per byte first."""
    by_reason = {
        str(reason): policy.factor(reason, TrafficClass.SAMPLES) * priorities.factors.get(str(reason), 1.0)
        for reason in Reason
    }
    worth = effective_values(
        queue.values,
        factors=np.array([by_reason.get(reason, 1.0) for reason in queue.reasons], np.float64),
        waited=now.timestamp() - queue.captured,
        policy=policy,
    )
    order = by_density(worth, queue.costs, queue.names)
    return [(Digest(queue.names[at]), Bytes(int(queue.costs[at]))) for at in order]


def _row(stored: Stored) -> Row:
    sample = stored.sample
    return Row(
        id=sample.id,
        value=sample.value,
        reason=sample.reason,
        captured=sample.captured.timestamp(),
        cost=stored.cost,
        size=sample.size,
    )
