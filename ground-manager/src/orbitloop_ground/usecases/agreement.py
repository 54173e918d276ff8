"""How far a labeller can be believed, round by round: how often its looks agreed, and how often people did with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from orbitloop.domain.calibration import right_boxes
from orbitloop.domain.detection import Detections, Truth
from orbitloop.ports.reviews import Proposal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """A tile that a labeller has an opinion on.

    Args:
        period: the round that learned from it; the day of its arrival where no round has.
        opinion: what the labeller thinks.
        decided: whether people have had a word on it.
        truth: that word; ``None`` of a tile that was rejected, or that nobody decided on.
    """

    satellite: str
    period: str
    opinion: Proposal
    decided: bool
    truth: Truth | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What was agreed on over the tiles of one period.

    Args:
        tiles, boxes, doubtful: what was labelled; boxes with the doubtful ones.
        looks: the share of the labeller's looks that saw a box, the mean over all boxes; ``None`` where no box is.
        decided, rejected: tiles on which people had their word, and those of them from which nothing is learned.
        people: the share of objects on which people and labeller agree, of all that either of them is sure of, over
            the decided tiles that were not rejected. Boxes that the labeller doubted do not count against it: it
            asked. ``None`` where there is nothing to compare.
        doubts_right: the share of the doubtful boxes that people kept; ``None`` where there is none.
    """

    satellite: str
    period: str
    tiles: int
    boxes: int
    doubtful: int
    looks: float | None
    decided: int
    rejected: int
    people: float | None
    doubts_right: float | None


def agreements(tiles: Iterable[Labelled]) -> list[Agreement]:
    """One entry for each satellite and period, in the order in which they are first seen."""
    groups: dict[tuple[str, str], list[Labelled]] = {}
    for tile in tiles:
        groups.setdefault((tile.satellite, tile.period), []).append(tile)
    return [_agreement(satellite, period, group) for (satellite, period), group in groups.items()]


def _agreement(satellite: str, period: str, tiles: list[Labelled]) -> Agreement:
    compared = [_compared(tile.opinion, tile.truth) for tile in tiles if tile.truth is not None]
    agreed, wrong, missed, kept, dropped = np.sum(compared, axis=0) if compared else np.zeros(5, np.int64)
    seen = [tile.opinion.agreement for tile in tiles if tile.opinion.agreement is not None]
    return Agreement(
        satellite=satellite,
        period=period,
        tiles=len(tiles),
        boxes=sum(len(tile.opinion.boxes) for tile in tiles),
        doubtful=sum(int(tile.opinion.doubtful.sum()) for tile in tiles),
        looks=_mean(np.concatenate([np.zeros(0, np.float32), *seen])),
        decided=sum(tile.decided for tile in tiles),
        rejected=sum(tile.decided and tile.truth is None for tile in tiles),
        people=_share(int(agreed), int(agreed + wrong + missed)),
        doubts_right=_share(int(kept), int(kept + dropped)),
    )


def _compared(opinion: Proposal, truth: Truth) -> tuple[int, int, int, int, int]:
    """Sure boxes that people kept and did not keep, objects that nobody had proposed, doubtful boxes kept and not."""
    found = Detections(boxes=opinion.boxes, scores=opinion.confidence, labels=opinion.labels)
    right, sure = right_boxes(found, truth), ~opinion.doubtful
    agreed, kept = int((right & sure).sum()), int((right & ~sure).sum())
    wrong, dropped = int((~right & sure).sum()), int((~right & ~sure).sum())
    return agreed, wrong, len(truth.labels) - agreed - kept, kept, dropped


def _mean(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
