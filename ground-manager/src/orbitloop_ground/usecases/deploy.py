"""Bringing a model file that was trained elsewhere to a satellite: as a signed partial update of what flies there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orbitloop.domain.delta import Change, apply
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.domain.partial import carried, differences, sparse_moves, thinned
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.ports.node_ledger import Built, BuiltLedger
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.wire.model_folder import Model
from orbitloop.wire.update import CanaryTruth, Sign, Step, Update, pack_update
from orbitloop.wire.update_streams import shapes_of

_log = logging.getLogger(__name__)

_CLOSER = 0.95
"""By so much less than what should fit is tried next, since bytes do not fall in step with moves."""


class Ledger(BuiltLedger, Protocol):
    """What is known of satellites and updates."""

    def publish_update(self, update: PublishedUpdate) -> None:
        """Offer an update from the next contact on; idempotent."""
        ...

    def update(self, satellite: str, digest: Digest) -> PublishedUpdate | None:
        """A published update."""
        ...


class Models(Protocol):
    """The models that the ground knows, by the digest of their weights."""

    def put(self, model: Model) -> Digest:
        """Keep a model."""
        ...

    def get(self, digest: Digest) -> Model:
        """The model with these weights. Raises ``BadInput``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an update may be.

    Args:
        budget: most bytes of one.
        least_carried: least share of the way to the new model that it goes, by squared distance.
    """

    budget: Bytes
    least_carried: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Yard:
    """What updates are made with.

    Args:
        read: tensors of a model file's bytes, by name; raises ``BadInput``.
        canaries: what to tell a satellite of the tiles that it kept to prove updates on.
        outbox: folder for signed updates.
        write: writes a file durably.
    """

    ledger: Ledger
    models: Models
    read: Callable[[bytes, str], Weights]
    canaries: Callable[[str], Sequence[CanaryTruth]]
    sign: Sign
    outbox: Path
    write: Callable[[Path, bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """An update that is on offer, or brought what flies already: of ``size`` bytes."""

    built: Built
    size: Bytes


class Deployer:
    """Makes and offers updates; the same model again gives the same update. Threads may share one: it makes one at a
    time.
    """

    def __init__(self, yard: Yard, terms: Terms) -> None:
        self._yard = yard
        self._terms = terms
        self._turn = threading.Lock()

    def deploy(self, satellite: str, model: Digest, data: Callable[[], bytes]) -> Deployed:
        """Offer ``satellite`` the model file whose digest is ``model``, from the next contact on. Idempotent.

        Args:
            satellite: whose delta chain it joins: the base is what flies there now.
            model: digest of the file.
            data: gives the file's bytes, if they are needed.

        Raises:
            NotYet: the satellite has not been heard yet.
            BadInput: the file is another, no model, no version of what flies, or too far from it for one update.
            NoSpace: the disk is full.
        """
        with self._turn:
            flying = self._yard.ledger.flying(satellite)
            if flying is None:
                raise NotYet(
                    f"{satellite} has not been heard yet, or has no model of ours; what flies there is unknown"
                )
            for known in self._yard.ledger.built(satellite, model):
                if flying in (known.base, known.result) and (update := self._published(known)) is not None:
                    return Deployed(built=known, size=update.size)
            return self._made(satellite, model, flying, data())

    def _published(self, known: Built) -> PublishedUpdate | None:
        return self._yard.ledger.update(known.satellite, known.update)

    def _made(self, satellite: str, model: Digest, flying: Digest, data: bytes) -> Deployed:
        if (actual := digest_of(data)) != model:
            raise BadInput(f"model file {model}: its bytes are {actual}; the file was replaced or damaged, train anew")
        base = self._yard.models.get(flying)
        new = self._yard.read(data, f"model file {model}")
        packed, made, update = self._packed(satellite, base.weights, new)
        digest = digest_of(packed)
        self._yard.models.put(Model(spec=base.spec, weights=made, graph=base.graph))
        path = self._yard.outbox / f"{hexadecimal(digest)}.olu"
        self._yard.write(path, packed)
        size = Bytes(len(packed))
        published = PublishedUpdate(
            satellite=satellite, digest=digest, size=size, base=update.base, result=update.result, path=path
        )
        self._yard.ledger.publish_update(published)
        built = Built(satellite=satellite, model=model, base=update.base, update=digest, result=update.result)
        self._yard.ledger.record_built(built)
        share = round(carried(base.weights, new, made), 4)
        fields = {"satellite": satellite, "model": model, "update": digest, "bytes": size, "carried": share}
        _log.info("model_published", extra=fields)
        return Deployed(built=built, size=size)

    def _packed(self, satellite: str, base: Weights, new: Weights) -> tuple[bytes, Weights, Update]:
        """The update as bytes that fit the budget, and what it makes of ``base``."""
        changes = differences(base, new)
        if not changes:
            raise BadInput("the model is what flies already, to within one step; there is nothing to send")
        canary = tuple(self._yard.canaries(satellite))
        changes = thinned(changes, self._terms.budget)  # each move takes a byte at least
        while True:
            made = apply(base, changes)
            step = Step(changes=changes, result=weights_digest(made))
            update = Update(base=weights_digest(base), steps=(step,), canary=canary)
            packed = pack_update(update, self._yard.sign, shapes_of(base))
            if len(packed) <= self._terms.budget:
                break
            changes = self._fewer(changes, len(packed))
        if (share := carried(base, new, made)) < self._terms.least_carried:
            raise BadInput(
                f"an update of {self._terms.budget} bytes carries {share:.0%} of what training changed, and "
                f"{self._terms.least_carried:.0%} is the least; change fewer weights, or allow larger updates"
            )
        return packed, made, update

    def _fewer(self, changes: tuple[Change, ...], size: int) -> tuple[Change, ...]:
        moves = sparse_moves(changes)
        if moves == 0:
            raise BadInput(f"the update takes {size} bytes at least, over the budget of {self._terms.budget}; raise it")
        return thinned(changes, min(moves - 1, int(moves * _CLOSER * self._terms.budget / size)))
