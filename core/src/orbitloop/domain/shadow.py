"""Shadow mode: a new model looks at some frames beside the one that serves, before it serves itself.

The tiles that were kept prove a model on what was, the shadow on what is: that it still finds what the old one is sure
of, and that it is not slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orbitloop.domain.detection import Detections, iou
from orbitloop.domain.errors import BadInput

_SAME = 0.5
"""IoU from which two detections are of one object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRule:
    """How long a new model flies in shadow, and what it must hold.

    Args:
        one_in: it sees one frame in so many; 0: no shadow, the canary tiles alone decide.
        frames: so many must have been seen by both.
        agreement: least share of what the old model is sure of that the new one finds.
        sure: score from which the old model is.
        faint: score from which a detection of the new one counts as finding it.
        slower: at most so many times the old one's time for the same frames.
    """

    one_in: int = 0
    frames: int = 10
    agreement: float = 0.7
    sure: float = 0.6
    faint: float = 0.25
    slower: float = 1.5

    def __post_init__(self) -> None:
        if self.one_in < 0 or self.frames < 1:
            raise BadInput(
                f"a shadow of one frame in {self.one_in}, {self.frames} in all: write one_in >= 0, frames >= 1"
            )
        if not (0 <= self.agreement <= 1 and 0 < self.faint <= self.sure < 1 and self.slower > 0):
            raise BadInput(
                "a shadow's agreement, faint and sure lie between 0 and 1, faint at most sure; slower above 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What was seen side by side so far.

    Args:
        frames: seen by both.
        sure: objects that the old model was sure of.
        found: of those, the ones that the new model found too.
        old_s: seconds that the old model took for these frames.
        new_s: the same of the new one.
    """

    frames: int = 0
    sure: int = 0
    found: int = 0
    old_s: float = 0.0
    new_s: float = 0.0

    def __add__(self, other: Compared) -> Compared:
        return Compared(
            frames=self.frames + other.frames,
            sure=self.sure + other.sure,
            found=self.found + other.found,
            old_s=self.old_s + other.old_s,
            new_s=self.new_s + other.new_s,
        )

    @property
    def agreement(self) -> float:
        """Share of the old model's sure objects that the new one found; 1 where it was sure of nothing."""
        return self.found / self.sure if self.sure else 1.0


def compare(old: Detections, new: Detections, rule: ShadowRule, *, old_s: float, new_s: float) -> Compared:
    """One frame that both models have seen, in ``old_s`` and ``new_s`` seconds."""
    sure, seen = old.take(old.scores >= rule.sure), new.take(new.scores >= rule.faint)
    same = (iou(sure.boxes, seen.boxes) >= _SAME) & (sure.labels[:, None] == seen.labels[None, :])
    return Compared(frames=1, sure=len(sure), found=int(np.any(same, axis=1).sum()), old_s=old_s, new_s=new_s)


def is_through(compared: Compared, rule: ShadowRule) -> bool:
    """Whether enough was seen to judge."""
    return compared.frames >= rule.frames


def objection(compared: Compared, rule: ShadowRule) -> str | None:
    """Why a model that is through its shadow must not serve, or ``None``."""
    if compared.agreement < rule.agreement:
        return (
            f"in shadow it found {compared.found} of the {compared.sure} objects that the old model was sure of on "
            f"{compared.frames} frames, {compared.agreement:.0%}; {rule.agreement:.0%} is asked for"
        )
    if compared.new_s > rule.slower * compared.old_s:
        return (
            f"in shadow it took {compared.new_s / compared.frames:.2f} s a frame, the old model "
            f"{compared.old_s / compared.frames:.2f} s; at most {rule.slower:g} times that is asked for"
        )
    return None
