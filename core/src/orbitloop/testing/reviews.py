"""A review queue in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Digest
from orbitloop.ports.reviews import Proposal, Review, Verdict


class MemoryReviews:
    """The :class:`~orbitloop.ports.reviews.ReviewQueue` of a test."""

    def __init__(self) -> None:
        self._reviews: dict[Digest, Review] = {}

    def propose(self, sample: Digest, frame: str, window: Window, proposal: Proposal) -> None:
        """Put a tile into the queue, or replace what was proposed for it while it waits."""
        review = Review(sample=sample, frame=frame, window=window, proposal=proposal)
        review.check(Truth(boxes=proposal.boxes, labels=proposal.labels))
        if sample not in self._reviews or self._reviews[sample].verdict is None:
            self._reviews[sample] = review

    def pending(self, limit: int | None = None) -> list[Review]:
        """What waits, in the order in which it came."""
        return self.reviews(decided=False)[:limit]

    def decide(self, sample: Digest, truth: Truth | None, who: str, at: datetime) -> None:
        """The last word on a tile."""
        self.decide_all({sample: Verdict(truth=truth, who=who, at=at)})

    def decide_all(self, verdicts: Mapping[Digest, Verdict]) -> int:
        """The last word on several tiles, all or none; returns on how many it is new."""
        for sample, verdict in verdicts.items():
            if sample not in self._reviews:
                raise BadInput(f"sample {sample} is not in the review queue; list what is")
            self._reviews[sample].check(verdict.truth)
        new = 0
        for sample, verdict in verdicts.items():
            known = self._reviews[sample]
            if known.verdict is None or not known.verdict.says_the_same(verdict.truth):
                self._reviews[sample] = replace(known, verdict=verdict, revision=known.revision + 1)
                new += 1
        return new

    def decided(self) -> dict[Digest, Truth | None]:
        """The last word on each tile that has one."""
        return {name: review.verdict.truth for name, review in self._reviews.items() if review.verdict is not None}

    def reviews(self, *, pending: bool = True, decided: bool = True) -> list[Review]:
        """Tiles of either kind, in the order in which they came."""
        return [review for review in self._reviews.values() if (pending if review.verdict is None else decided)]

    def review(self, sample: Digest) -> Review | None:
        """One tile, if it is in the queue."""
        return self._reviews.get(sample)
