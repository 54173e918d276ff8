"""What a tile is worth on the ground, and which tiles to send for how many bytes.

The value of a tile is the expected number of labels that will teach the model something: what only a second look
finds (:mod:`~orbitloop.domain.second_look`) counts most, for there the model is wrong without knowing it; confident
detections count half (objects are rare, and each that is sent keeps or sharpens what is known); doubtful ones a little
(most are no objects, but some must be told apart). A tile in which neither look finds anything counts by how much
structure it holds: what was missed must lie somewhere. Ranking is by value per byte, after near-duplicates are
discounted; a random share is sent whatever its value, to audit the ranking itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections, Floats
from orbitloop.domain.errors import BadInput
from orbitloop.domain.mining import Uniform
from orbitloop.domain.samples import Reason
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Bytes

SIGNATURE_SIDE = 12
"""Side of the thumbnail by which near-duplicates are recognised, in cells."""

LEAST_VALUE = 0.02
"""Value up to which a tile is not worth its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Weights of the value of a tile; all without unit.

    Args:
        surprise: weight of what only a second look finds, ``s**2`` for a surprise ``s``.
        presence: weight of a detection's presence, ``s**2`` for score ``s``.
        doubt: weight of a detection's doubt, ``4 s (1 - s)``.
        structure: weight of the tile's structure where nothing at all was found.
        nothing: score below which a detection does not count as one.
        duplicate: similarity (cosine) above which a tile repeats one that was chosen before.
        repeated: factor on the value of a repeated tile.
        audit: share of the bytes that are spent at random.
    """

    surprise: float = 1.0
    presence: float = 0.5
    doubt: float = 0.1
    structure: float = 0.3
    nothing: float = 0.05
    duplicate: float = 0.97
    repeated: float = 0.1
    audit: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.audit < 1:
            raise BadInput(f"the audit share {self.audit} must be at least 0 and below 1")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A tile that could be sent.

    Args:
        window: where in the frame.
        found: detections whose centre lies in the tile, in pixels of the tile.
        structure: 0 for a plain surface, towards 1 for a busy one; see :func:`structure_of`.
        signature: unit vector of shape ``(SIGNATURE_SIDE**2,)``; see :func:`signature_of`.
        size: bytes that it would take.
        hard: what the mining rule says of it.
        surprises: what only a second look finds in it, scored by how much; see :mod:`~orbitloop.domain.second_look`.
    """

    window: Window
    found: Detections
    structure: float
    signature: Floats
    size: Bytes
    hard: bool
    surprises: Detections = field(default_factory=Detections.none)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """A tile that is sent, why, and for what value."""

    candidate: Candidate
    reason: Reason
    value: float


def grey_thumbnail(pixels: NDArray[np.uint8], side: int) -> Floats:
    """``(side, side)`` float32 block means of the brightness of ``(h, w, 3)`` pixels; sides at least ``side``."""
    height, width = (length - length % side for length in pixels.shape[:2])
    if not height or not width:
        raise BadInput(f"a tile of {pixels.shape[1]}x{pixels.shape[0]} pixels is too small to be judged")
    grey = pixels[:height, :width].mean(axis=2, dtype=np.float32)
    return np.asarray(grey.reshape(side, height // side, side, width // side).mean(axis=(1, 3)), np.float32)


def signature_of(pixels: NDArray[np.uint8]) -> Floats:
    """Brightness pattern of a tile without its mean and contrast: a unit vector, or zeros for a plain surface."""
    thumbnail = grey_thumbnail(pixels, SIGNATURE_SIDE).ravel()
    pattern = thumbnail - thumbnail.mean()
    length = float(np.linalg.norm(pattern))
    return pattern / np.float32(length) if length > 1.0 else np.zeros_like(pattern)


def structure_of(pixels: NDArray[np.uint8]) -> float:
    """How much there is to see: mean local contrast, squashed to [0, 1)."""
    grey = pixels.mean(axis=2, dtype=np.float32)
    steps = np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()
    return float(1 - np.exp(-steps / 16))


def value_of(candidate: Candidate, worth: Worth) -> tuple[float, Reason]:
    """What sending a tile is worth, and as what: a hard example or a possible miss."""
    scores = candidate.found.scores[candidate.found.scores >= worth.nothing]
    beyond = candidate.surprises.scores[candidate.surprises.scores >= worth.nothing]
    surprise = worth.surprise * float((beyond**2).sum())
    if not len(scores):
        faint = float(candidate.found.scores.max(initial=0.0)) / worth.nothing
        return surprise + worth.structure * candidate.structure * (0.5 + 0.5 * faint), Reason.MISS
    known = worth.presence * float((scores**2).sum()) + worth.doubt * float((4 * scores * (1 - scores)).sum())
    return surprise + (known if candidate.hard else known * worth.repeated), Reason.HARD


class Seen:
    """Signatures of the tiles chosen lately, to recognise a near-duplicate.

    Args:
        capacity: how many are remembered; the oldest are forgotten first.
    """

    def __init__(self, capacity: int = 2_000) -> None:
        if capacity < 1:
            raise BadInput(f"a memory for {capacity} tiles recognises nothing; it needs room for at least one")
        self._ring = np.zeros((capacity, SIGNATURE_SIDE**2), np.float32)
        self._added = 0

    def nearest(self, signature: Floats) -> float:
        """Largest cosine similarity to a remembered tile; 0 if none."""
        known = self._ring[: self._added]  # a slice ends with the ring, however many were added
        return float((known @ signature).max()) if len(known) else 0.0

    def add(self, signature: Floats) -> None:
        """Remember a tile."""
        self._ring[self._added % len(self._ring)] = signature
        self._added += 1


def choose(
    candidates: list[Candidate], budget: Bytes, seen: Seen, uniform: Uniform, worth: Worth | None = None
) -> list[Choice]:
    """The tiles of one frame to send for at most ``budget`` bytes.

    Most value per byte first, each near-duplicate of an earlier choice discounted and ranked anew; then, for the audit
    share, tiles at random among the rest. Tiles of no value are sent only as audit.

    Args:
        seen: what was sent of earlier frames; the caller adds what it really sends of this one.
        uniform: source of the audit's randomness.
    """
    rule = worth or Worth()
    chosen, rest = _most_valuable(candidates, int(budget * (1 - rule.audit)), seen, rule)
    return chosen + _audit(rest, budget - sum(choice.candidate.size for choice in chosen), uniform, rule, budget)


def _most_valuable(
    candidates: list[Candidate], left: int, seen: Seen, rule: Worth
) -> tuple[list[Choice], list[Candidate]]:
    """The best tiles for at most ``left`` bytes, and those that were not taken.

    A tile's value can only fall while others are chosen, so that it is looked at again only when its turn comes.
    """
    here = Seen(max(1, len(candidates)))
    ranked = [_ranked(candidate, *value_of(candidate, rule), fresh=True) for candidate in candidates]
    heapify(ranked)
    chosen: list[Choice] = []
    rest: list[Candidate] = []
    while ranked:
        entry = heappop(ranked)
        candidate, value = entry.candidate, entry.value
        nearest = max(seen.nearest(candidate.signature), here.nearest(candidate.signature))
        if entry.fresh and nearest > rule.duplicate:
            heappush(ranked, _ranked(candidate, value * rule.repeated, entry.reason, fresh=False))
        elif value > LEAST_VALUE and candidate.size <= left:
            left -= candidate.size
            here.add(candidate.signature)
            chosen.append(Choice(candidate=candidate, reason=entry.reason, value=value))
        else:
            rest.append(candidate)
    return chosen, rest


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Ranked:
    """A tile in the queue: ``fresh`` until it was found to repeat another."""

    order: tuple[float, Window]
    candidate: Candidate = field(compare=False)
    value: float = field(compare=False)
    reason: Reason = field(compare=False)
    fresh: bool = field(compare=False)


def _ranked(candidate: Candidate, value: float, reason: Reason, *, fresh: bool) -> _Ranked:
    order = (-value / max(1, candidate.size), candidate.window)
    return _Ranked(order=order, candidate=candidate, value=value, reason=reason, fresh=fresh)


def _audit(rest: list[Candidate], left: int, uniform: Uniform, rule: Worth, budget: int) -> list[Choice]:
    """Random tiles for the audit share of ``budget`` (in expectation, where a tile is larger than the share)."""
    share = min(left, int(budget * rule.audit))
    shuffled = [entry for _, _, entry in sorted((uniform(), index, entry) for index, entry in enumerate(rest))]
    chosen: list[Choice] = []
    for candidate in shuffled:
        if candidate.size > left or share <= 0:
            break
        if candidate.size > share and uniform() >= share / candidate.size:
            break
        chosen.append(Choice(candidate=candidate, reason=Reason.AUDIT, value=value_of(candidate, rule)[0]))
        share -= candidate.size
        left -= candidate.size
    return chosen
