"""Where tiles wait for a person: what a labeller proposes, and what people made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Floats, Truth
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Digest

_SAME = 0.05
"""Pixels that two boxes may be apart and still be the same: tools round."""


class Overtaken(Refused):
    """Somebody else has decided in the meantime."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proposal:
    """What a labeller thinks of one tile.

    Args:
        boxes: ``(n, 4)`` float32, ``x0, y0, x1, y1`` in pixels of the tile.
        labels: ``(n,)`` int64, positions of the classes.
        confidence: ``(n,)`` float32, calibrated: the chance that the box is right, from 0 to 1.
        doubtful: ``(n,)`` bool, the boxes that a person should look at.
        agreement: ``(n,)`` float32, the share of the labeller's looks that saw the box, from 0 to 1; ``None`` of one
            that does not look several times.

    Raises:
        BadInput: they are not of these shapes, or a number is none of these.
    """

    boxes: Floats
    labels: NDArray[np.int64]
    confidence: Floats
    doubtful: NDArray[np.bool_]
    agreement: Floats | None = None

    def __post_init__(self) -> None:
        _check(self.boxes, self.labels, "a proposal")
        count = len(self.boxes)
        if self.confidence.shape != (count,) or self.doubtful.shape != (count,):
            raise BadInput(f"a proposal of {count} boxes needs as many confidences and doubts")
        if not np.all((self.confidence >= 0) & (self.confidence <= 1)):
            raise BadInput("a proposal's confidence must be from 0 to 1")
        if self.agreement is not None and self.agreement.shape != (count,):
            raise BadInput(f"a proposal of {count} boxes needs as many agreements, or none at all")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """What a person made of a tile.

    Args:
        truth: its objects, in pixels of the tile; ``None``: rejected, nothing is to be learned from it.
        who: who says so.
        at: when, UTC.
        after: how often people had decided on the tile when this was made; once it is more often, another verdict is
            refused. ``None``: it counts whatever was decided before.

    Raises:
        BadInput: a box or a label is none, or nobody says so.
    """

    truth: Truth | None
    who: str
    at: datetime
    after: int | None = None

    def __post_init__(self) -> None:
        if self.truth is not None:
            _check(self.truth.boxes, self.truth.labels, "a verdict")
        if not self.who.strip():
            raise BadInput("a verdict needs a name: say who decided")

    def says_the_same(self, truth: Truth | None) -> bool:
        """Whether it found the same objects, in whatever order, to a twentieth of a pixel."""
        if self.truth is None or truth is None:
            return self.truth is truth
        left = _rows(truth)
        for row in _rows(self.truth):
            same = next((other for other in left if np.abs(row - other).max() <= _SAME), None)
            if same is None:
                return False
            left = [other for other in left if other is not same]
        return not left


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Review:
    """One tile in the queue.

    Args:
        sample: id of the tile.
        frame, window: the frame that it was cut from, and where.
        proposal: what the labeller thought of it last.
        verdict: the last word on it; ``None`` while it waits.
        revision: how often people decided on it.
    """

    sample: Digest
    frame: str
    window: Window
    proposal: Proposal
    verdict: Verdict | None = None
    revision: int = 0

    def is_news(self, verdict: Verdict) -> bool:
        """Whether a verdict says something else than the last one.

        Raises ``BadInput`` for a box outside the tile, and ``Overtaken`` if it was made before the last one.
        """
        self.check(verdict.truth)
        if self.verdict is None:
            return True
        if self.verdict.says_the_same(verdict.truth):
            return False
        if verdict.after not in (None, self.revision):
            raise Overtaken(
                f"sample {self.sample}: {self.verdict.who} has decided otherwise since, at "
                f"{self.verdict.at.isoformat(timespec='seconds')}; look at it again"
            )
        return True

    def check_proposal(self) -> None:
        """Raises ``BadInput`` if what was proposed leaves the tile."""
        self.check(Truth(boxes=self.proposal.boxes, labels=self.proposal.labels))

    def check(self, truth: Truth | None) -> None:
        """Raises ``BadInput`` for a box that leaves the tile; a pixel over its edge is rounding."""
        if truth is None or not len(truth.boxes):
            return
        _check(truth.boxes, truth.labels, f"sample {self.sample}")
        limits = np.array([self.window.width, self.window.height] * 2, np.float32) + 1
        for box in truth.boxes[np.any((truth.boxes < -1) | (truth.boxes > limits), axis=1)]:
            raise BadInput(
                f"sample {self.sample}: the box {_shown(box)} leaves its tile of "
                f"{self.window.width}x{self.window.height} pixels"
            )


class ReviewQueue(Protocol):
    """Tiles that wait for a person, and what people decided; durable."""

    def propose(self, sample: Digest, frame: str, window: Window, proposal: Proposal) -> None:
        """Put a tile into the queue, or replace what was proposed for it while it waits. Idempotent.

        One that was decided stays as it is: a late proposal never opens it again.

        Raises ``BadInput`` for boxes outside the tile.
        """
        ...

    def pending(self, limit: int | None = None) -> list[Review]:
        """What waits, in the order in which it came."""
        ...

    def decide(self, sample: Digest, truth: Truth | None, who: str, at: datetime) -> None:
        """The last word on a tile, ``truth`` in its pixels; ``None``: rejected, nothing is to be learned from it.

        The same again changes nothing; another one counts from now on, and those before it are kept too.

        Raises ``BadInput`` if the tile is not in the queue, or a box is outside it.
        """
        ...

    def decide_all(self, verdicts: Mapping[Digest, Verdict]) -> int:
        """Like :meth:`decide` for several tiles, all or none; returns on how many the word is new.

        Raises ``Overtaken`` too, for verdicts that say what they came after.
        """
        ...

    def decided(self) -> dict[Digest, Truth | None]:
        """The last word on each tile that has one."""
        ...

    def reviews(self, *, pending: bool = True, decided: bool = True) -> list[Review]:
        """Tiles of either kind, in the order in which they came."""
        ...

    def review(self, sample: Digest) -> Review | None:
        """One tile, if it is in the queue."""
        ...


def _check(boxes: Floats, labels: NDArray[np.int64], where: str) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or labels.shape != (len(boxes),):
        raise BadInput(f"{where}: boxes must be (n, 4) and labels (n,), not {boxes.shape} and {labels.shape}")
    if not np.all(np.isfinite(boxes)) or not np.all(boxes[:, 2:] > boxes[:, :2]):
        raise BadInput(f"{where}: every box needs x0 < x1 and y0 < y1, in finite numbers")
    if np.any(labels < 0):
        raise BadInput(f"{where}: classes are counted from 0")


def _rows(truth: Truth) -> list[NDArray[np.float64]]:
    return list(np.column_stack([truth.boxes, truth.labels]).astype(np.float64))


def _shown(box: Floats) -> str:
    return ",".join(f"{value:g}" for value in box)
