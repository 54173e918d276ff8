"""Labels that a person looks at: which tiles wait, their pictures, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.reviews import Review, ReviewQueue, Verdict
from orbitloop.ports.sample_store import Blobs, ReceivedSample


class UnknownReview(BadInput):
    """A tile that is not in the queue."""


class Reviews(ReviewQueue, Protocol):
    """The ledger, as those see it who review."""

    def sample(self, name: Digest) -> ReceivedSample | None:
        """A sample that is here."""
        ...

    def count_reviews(self) -> tuple[int, int]:
        """How many tiles wait, and how many are decided."""
        ...


ToPng = Callable[[bytes, str, Window], bytes]
"""From encoded pixels, a name for errors and the window that they fill to a PNG; raises ``BadInput``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reviewing:
    """What people do with the queue.

    Args:
        classes: names of the classes that a box may have; labels are their positions.
        to_png: shows a tile in a form that every browser and tool reads.
    """

    queue: Reviews
    blobs: Blobs
    clock: Clock
    classes: Callable[[], tuple[str, ...]]
    to_png: ToPng

    def demand(self, sample: Digest) -> Review:
        """A tile in the queue. Raises ``UnknownReview``."""
        found = self.queue.review(sample)
        if found is None:
            raise UnknownReview(f"sample {sample} is not in the review queue; list what is")
        return found

    def picture(self, review: Review) -> bytes:
        """The tile as PNG. Raises ``BadInput`` if its pixels are not here, or do not fill its window."""
        entry = self.queue.sample(review.sample)
        if entry is None:
            raise BadInput(f"sample {review.sample}: its pixels never came down; reject it")
        return self.to_png(self.blobs.get(entry.blob), f"sample {review.sample}", review.window)

    def decide(self, sample: Digest, truth: Truth | None, who: str, after: int) -> Review:
        """What somebody made of a tile on which people had decided ``after`` times.

        Raises:
            UnknownReview: it is not in the queue.
            BadInput: a box is outside it, or of a class that nobody knows.
            Overtaken: somebody has decided otherwise since.
        """
        review = self.demand(sample)
        self.decide_all({sample: Verdict(truth=truth, who=who, at=self.clock.now(), after=after)})
        return self.queue.review(sample) or review

    def decide_all(self, verdicts: Mapping[Digest, Verdict]) -> int:
        """What somebody made of several tiles, all or none; returns how many are news. Errors as :meth:`decide`."""
        checked = {name: self._checked(self.demand(name), verdict) for name, verdict in verdicts.items()}
        return self.queue.decide_all(checked)

    def names(self, review: Review) -> tuple[str, ...]:
        """Names for every label of a tile; those of which the ground knows no name are numbered."""
        known = self.classes()
        labels = [review.proposal.labels]
        if review.verdict is not None and review.verdict.truth is not None:
            labels.append(review.verdict.truth.labels)
        most = max((int(each.max()) + 1 for each in labels if len(each)), default=0)
        return (*known, *(f"class {label}" for label in range(len(known), most)))

    def _checked(self, review: Review, verdict: Verdict) -> Verdict:
        """The verdict with its boxes cut at the edges of the tile."""
        if verdict.truth is None:
            return verdict
        review.check(verdict.truth)
        known = len(self.names(review))
        if len(strange := verdict.truth.labels[verdict.truth.labels >= max(known, 1)]):
            raise BadInput(f"sample {review.sample}: class {strange[0]} is unknown; there are {known}, counted from 0")
        limits = np.array([review.window.width, review.window.height] * 2, np.float32)
        boxes = np.clip(verdict.truth.boxes, 0, limits)
        truth = Truth(boxes=boxes, labels=verdict.truth.labels)
        return Verdict(truth=truth, who=verdict.who, at=verdict.at, after=verdict.after)
