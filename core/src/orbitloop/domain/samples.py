"""Samples: the tiles of frames that are worth sending down, and what the satellite thought of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orbitloop.domain.detection import Detections
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Digest


class Reason(StrEnum):
    """Why a tile was chosen: to be learned from (the first three), or because an application wants what it shows."""

    HARD = "hard"
    MISS = "miss"
    AUDIT = "audit"
    VALUE = "value"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One tile on its way down.

    Args:
        id: digest of satellite, frame, window and pixels: the same tile always has the same id.
        frame: name of the frame it was cut from.
        window: where in the frame.
        captured: when, UTC.
        model: digest of the weights that saw it.
        reason: why it was chosen.
        value: expected worth of sending it, in arbitrary units; the order of sending is value per byte.
        found: what the flying model found in it, in pixels of the tile.
        codec: image codec of the pixels (``webp``, ``jpeg``, ``png``).
        size: length of the encoded pixels, in bytes.
    """

    id: Digest
    frame: str
    window: Window
    captured: datetime
    model: Digest
    reason: Reason
    value: float
    found: Detections
    codec: str
    size: int
