"""What a tile is worth on the ground, and which tiles to send for how many bytes.

The value of a tile is the expected number of labels that will teach the model something: doubtful detections count
most (their outcome is most uncertain), confident ones a little (they keep what is known), a tile without any
detection by how much structure it holds (what was missed must lie somewhere). Ranking is by value per byte, after
near-duplicates are discounted; a random share is sent whatever its value, to audit the ranking itself.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Weights of the value of a tile; all without unit.

    Args:
        doubt: weight of a detection's doubt, ``4 s (1 - s)`` for score ``s``.
        presence: weight of a detection's score.
        structure: weight of the tile's structure where nothing at all was found.
        nothing: score below which a detection does not count as one.
        duplicate: similarity (cosine) above which a tile repeats one that was chosen before.
        repeated: factor on the value of a repeated tile.
        audit: share of the bytes that are spent at random.
    """

    doubt: float = 1.0
    presence: float = 0.5
    structure: float = 0.3
    nothing: float = 0.05
    duplicate: float = 0.97
    repeated: float = 0.1
    audit: float = 0.1

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
    """

    window: Window
    found: Detections
    structure: float
    signature: Floats
    size: Bytes
    hard: bool


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
    if not len(scores):
        faint = float(candidate.found.scores.max(initial=0.0)) / worth.nothing
        return worth.structure * candidate.structure * (0.5 + 0.5 * faint), Reason.MISS
    doubt = float((4 * scores * (1 - scores)).sum())
    value = worth.doubt * doubt + worth.presence * float(scores.sum())
    return (value if candidate.hard else value * worth.repeated), Reason.HARD


class Seen:
    """Signatures of the tiles chosen lately, to recognise a near-duplicate.

    Args:
        capacity: how many are remembered; the oldest are forgotten first.
    """

    def __init__(self, capacity: int = 2_000) -> None:
        self._capacity = capacity
        self._signatures: list[Floats] = []

    def nearest(self, signature: Floats) -> float:
        """Largest cosine similarity to a remembered tile; 0 if none."""
        if not self._signatures:
            return 0.0
        return float((np.stack(self._signatures) @ signature).max())

    def add(self, signature: Floats) -> None:
        """Remember a tile."""
        self._signatures = [*self._signatures[-self._capacity + 1 :], signature]


def choose(
    candidates: list[Candidate], budget: Bytes, seen: Seen, uniform: Uniform, worth: Worth | None = None
) -> list[Choice]:
    """The tiles of one frame to send for at most ``budget`` bytes.

    Most value per byte first, each near-duplicate of an earlier choice discounted; then, for the audit share, tiles
    at random among the rest. Tiles of no value are sent only as audit.

    Args:
        seen: what was chosen before, here and in earlier frames; the choices are added to it.
        uniform: source of the audit's randomness.
    """
    rule = worth or Worth()
    ranked = sorted(
        ((*value_of(candidate, rule), candidate) for candidate in candidates),
        key=lambda entry: (-entry[0] / max(1, entry[2].size), entry[2].window),
    )
    left = int(budget * (1 - rule.audit))
    chosen: list[Choice] = []
    rest: list[Candidate] = []
    for value, reason, candidate in ranked:
        if seen.nearest(candidate.signature) > rule.duplicate:
            value *= rule.repeated
        if value > 0.05 and candidate.size <= left:
            left -= candidate.size
            seen.add(candidate.signature)
            chosen.append(Choice(candidate=candidate, reason=reason, value=value))
        else:
            rest.append(candidate)
    return chosen + _audit(rest, budget - sum(choice.candidate.size for choice in chosen), uniform, rule, budget)


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
