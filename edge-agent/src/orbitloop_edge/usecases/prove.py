"""From received bytes to a flying model, or to a reason why not.

Checked in this order: signature, base, result, canary. Until the very last step the old model flies untouched.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.delta import apply
from orbitloop.domain.detection import Detections, Truth, average_precision, mean_average_precision
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import NotYet, Refused, Untrusted
from orbitloop.domain.rollout import CanaryResult, CanaryRule, ClassScore, Outcome, objection
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.clock import Clock
from orbitloop.wire.messages import Offer, UpdateReport
from orbitloop.wire.model_folder import Model
from orbitloop.wire.update import CanaryTruth, Update, Verify, unpack_beginning, unpack_update
from orbitloop_edge.usecases.beginnings import Tried, ahead
from orbitloop_edge.usecases.detector import Detector
from orbitloop_edge.usecases.shadow import Shadow

_log = logging.getLogger(__name__)

_MOST_CLASSES = 1_000


class ModelSlots(Protocol):
    """Where models live on board."""

    def active(self) -> Model:
        """The flying model."""
        ...

    def stage(self, weights: dict[str, NDArray[np.float32]]) -> Model:
        """Write weights beside it and read them back."""
        ...

    def activate(self, report: UpdateReport) -> None:
        """Let the staged model fly."""
        ...

    def advance(self, flying: Digest) -> None:
        """Let the staged model fly, which a beginning of an update makes."""
        ...

    def remember(self, report: UpdateReport) -> None:
        """Keep what became of an update that does not fly."""
        ...


class Canaries(Protocol):
    """Tiles kept on board."""

    def pixels(self, sample: Digest) -> NDArray[np.uint8] | None:
        """A kept tile, or ``None`` if it was not kept."""
        ...


class ProveUpdate:
    """Proves updates and swaps them in.

    Args:
        satellite: name to report under.
        slots: where models live.
        canaries: tiles kept on board.
        load: makes a detector of a model; raises ``Refused`` when it does not load.
        swap: lets a detector serve from the next frame on.
        verify: checks the ground's signature.
        clock: what time it is.
        rule: when a model passes its canary.
        shadow: where a model that has passed it flies beside the old one first; ``None``: it serves at once.
        serves: whether what flies can be loaded; else anything is better, and it is not. ``None``: it can.
        tried: which beginnings of updates were tried; ``None``: none ever is.
    """

    def __init__(
        self,
        *,
        satellite: str,
        slots: ModelSlots,
        canaries: Canaries,
        load: Callable[[Model], Detector],
        swap: Callable[[Detector], None],
        verify: Verify,
        clock: Clock,
        rule: CanaryRule | None = None,
        shadow: Shadow | None = None,
        serves: Callable[[], bool] | None = None,
        tried: Tried | None = None,
    ) -> None:
        self._satellite = satellite
        self._slots = slots
        self._canaries = canaries
        self._load = load
        self._swap = swap
        self._verify = verify
        self._clock = clock
        self._rule = rule or CanaryRule()
        self._shadow = shadow
        self._serves = serves or (lambda: True)
        self._tried = tried

    def __call__(self, path: Path, offer: Offer) -> UpdateReport:
        """Prove the update in ``path``; the report says what became of it.

        Raises:
            Untrusted: what flies is itself damaged; nothing can be built on it.
            NoSpace: the disk is full; the update may be tried again.
            NotYet: the disk has changed the file since it arrived; fetch it again. Or the new model flies in
                shadow; ask again.
        """
        active = self._slots.active()
        flying = weights_digest(active.weights)
        data = path.read_bytes()
        if (found := digest_of(data)) != offer.digest:
            raise NotYet(f"update {offer.digest} is {found} on the disk of this satellite; it is fetched again")
        try:
            update = unpack_update(data, self._verify)
            if flying == update.result:
                return self._report(offer, Outcome.APPLIED, flying, "was applied before")
            staged = self._out_of_shadow(update.result) or self._build(active, flying, update)
            result = self._canary(active, staged, update.canary)
        except Refused as error:
            report = self._report(offer, Outcome.REFUSED, flying, str(error))
            self._slots.remember(report)
            return report
        problem = objection(result, self._rule) or self._objection_in_shadow(staged)
        if self._shadow is not None:
            self._shadow.end()
        if problem is not None:
            report = self._report(offer, Outcome.ROLLED_BACK, flying, problem, result)
            self._slots.remember(report)
            return report
        report = self._report(offer, Outcome.APPLIED, staged.version, "", result)
        self._slots.activate(report)
        self._swap(staged)
        return report

    def beginning(self, path: Path, offer: Offer, here: Bytes) -> Digest | None:
        """Prove what the whole steps make that are in the first ``here`` bytes of an update, as a whole one is proved,
        and let it fly. Nothing is reported: the update is still on its way.

        Returns:
            The digest of what flies now; ``None`` if that is what flew before: nothing more than was tried already is
            here, it does not pass, or new models fly in shadow first, which is for whole updates.

        Raises:
            NoSpace, NotYet: it cannot be proved now; it may be tried again.
        """
        if self._shadow is not None or self._tried is None:
            return None
        with path.open("rb") as file:
            data = file.read(here)
        before = self._tried.steps(offer.digest)
        try:
            update = unpack_beginning(data, self._verify)
            if update is None or not update.missing or len(update.steps) <= before:
                return None
            self._tried.note(offer.digest, len(update.steps))  # first: what kills the worker is not tried again
            return self._let_begin(update)
        except Refused as error:
            _log.warning("beginning_refused", extra={"update": offer.digest, "why": str(error)})
            return None
        except NotYet:
            self._tried.note(offer.digest, before)
            raise

    def _let_begin(self, update: Update) -> Digest | None:
        active = self._slots.active()
        flying = weights_digest(active.weights)
        if flying == update.result:
            return None
        staged = self._build(active, flying, update)
        problem = objection(self._canary(active, staged, update.canary), self._rule)
        if problem is not None:
            _log.warning("beginning_does_not_pass", extra={"model": staged.version, "why": problem})
            return None
        self._slots.advance(staged.version)
        self._swap(staged)
        return staged.version

    def _out_of_shadow(self, result: Digest) -> Detector | None:
        """The model in shadow, where it is this one and through. Raises ``NotYet`` while it is not through."""
        staged = None if self._shadow is None else self._shadow.model()
        if self._shadow is None or staged is None or staged.version != result:
            return None
        self._shadow.demand_through()
        return staged

    def _objection_in_shadow(self, staged: Detector) -> str | None:
        """What was seen in shadow against the model; one that was not there begins now, which raises ``NotYet``."""
        if self._shadow is None:
            return None
        if self._shadow.model() is not staged:
            self._shadow.begin(staged)
        self._shadow.demand_through()
        return self._shadow.objection()

    def _build(self, active: Model, flying: Digest, update: Update) -> Detector:
        weights = apply(active.weights, ahead(update, flying))
        made = weights_digest(weights)
        if made != update.result:
            raise Untrusted(f"the update makes {made} on board, but {update.result} on the ground; not flown")
        broken = [name for name, tensor in weights.items() if not np.isfinite(tensor).all()]
        if broken:
            raise Untrusted(f"the update makes {', '.join(broken)} infinite or not a number; not flown")
        return self._load(self._slots.stage(weights))

    def _canary(self, active: Model, after: Detector, truths: tuple[CanaryTruth, ...]) -> CanaryResult:
        before = self._load(active) if self._serves() else None
        kept = [(self._canaries.pixels(entry.sample), entry.truth) for entry in truths]
        tiles = [(pixels, truth) for pixels, truth in kept if pixels is not None]
        pictures = [pixels for pixels, _ in tiles]
        truth = [entry for _, entry in tiles]
        old = [Detections.none() if before is None else before.detect(pixels) for pixels in pictures]
        new = [after.detect(pixels) for pixels in pictures]
        return CanaryResult(
            tiles=len(tiles),
            before=mean_average_precision(old, truth, classes=_MOST_CLASSES),
            after=mean_average_precision(new, truth, classes=_MOST_CLASSES),
            classes=_by_class(old, new, truth, active.spec.classes),
        )

    def _report(
        self, offer: Offer, outcome: Outcome, flying: Digest, reason: str, result: CanaryResult | None = None
    ) -> UpdateReport:
        return UpdateReport(
            satellite=self._satellite,
            update=offer.digest,
            outcome=outcome,
            reason=reason[:2000],
            flying=flying,
            canary_before=result.before if result else None,
            canary_after=result.after if result else None,
            at=self._clock.now(),
        )


def _by_class(
    old: list[Detections], new: list[Detections], truth: list[Truth], names: tuple[str, ...]
) -> tuple[ClassScore, ...]:
    counts = Counter(int(label) for entry in truth for label in entry.labels)
    return tuple(
        ClassScore(
            name=names[label] if label < len(names) else f"class {label}",
            objects=objects,
            before=average_precision(old, truth, label=label),
            after=average_precision(new, truth, label=label),
        )
        for label, objects in sorted(counts.items())
    )
