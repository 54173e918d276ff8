"""A review queue in memory, and what goes into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Digest
from orbitloop.ports.reviews import Proposal, Review, Verdict


def a_proposal(count: int = 2, *, at: float = 10.25) -> Proposal:
    """So many boxes of two classes down the diagonal from ``at``, every other one doubtful."""
    corner = np.arange(count, dtype=np.float32)[:, None] * 40 + np.array([[at, at]], np.float32)
    return Proposal(
        boxes=np.concatenate([corner, corner + 30.1], axis=1).astype(np.float32),
        labels=np.arange(count, dtype=np.int64) % 2,
        confidence=np.linspace(0.3, 0.9, count, dtype=np.float32),
        doubtful=np.arange(count) % 2 == 0,
    )


def a_truth(*objects: tuple[float, ...]) -> Truth:
    """Objects as ``x0, y0, x1, y1, label``."""
    table = np.array(objects, np.float32).reshape(-1, 5)
    return Truth(boxes=table[:, :4], labels=table[:, 4].astype(np.int64))


class MemoryReviews:
    """The :class:`~orbitloop.ports.reviews.ReviewQueue` of a test, which keeps a labeller's opinions too."""

    def __init__(self) -> None:
        self._reviews: dict[Digest, Review] = {}
        self._opinions: dict[Digest, tuple[str, Proposal]] = {}

    def record_opinions(self, labeller: str, thought: Mapping[Digest, Proposal]) -> None:
        """What ``labeller`` thinks of tiles, in place of what was thought before."""
        self._opinions |= {name: (labeller, proposal) for name, proposal in thought.items()}

    def opinions(self, names: Sequence[Digest], labeller: str | None = None) -> dict[Digest, Proposal]:
        """What is thought of these tiles, by ``labeller`` if one is named."""
        known = {name: self._opinions[name] for name in names if name in self._opinions}
        return {name: proposal for name, (who, proposal) in known.items() if labeller in (None, who)}

    def propose(self, sample: Digest, frame: str, window: Window, proposal: Proposal) -> None:
        """Put a tile into the queue, or replace what was proposed for it while it waits."""
        review = Review(sample=sample, frame=frame, window=window, proposal=proposal)
        review.check_proposal()
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
        for sample in verdicts:
            if sample not in self._reviews:
                raise BadInput(f"sample {sample} is not in the review queue; list what is")
        news = {name: verdict for name, verdict in verdicts.items() if self._reviews[name].is_news(verdict)}
        for name, verdict in news.items():
            known = self._reviews[name]
            self._reviews[name] = replace(known, verdict=verdict, revision=known.revision + 1)
        return len(news)

    def decided(self) -> dict[Digest, Truth | None]:
        """The last word on each tile that has one."""
        return {name: review.verdict.truth for name, review in self._reviews.items() if review.verdict is not None}

    def reviews(self, *, pending: bool = True, decided: bool = True) -> list[Review]:
        """Tiles of either kind, in the order in which they came."""
        return [review for review in self._reviews.values() if (pending if review.verdict is None else decided)]

    def review(self, sample: Digest) -> Review | None:
        """One tile, if it is in the queue."""
        return self._reviews.get(sample)
