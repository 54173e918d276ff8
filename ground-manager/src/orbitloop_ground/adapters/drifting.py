"""How far what a satellite sees has moved, out of the telemetry that it sent."""

from __future__ import annotations

from sqlalchemy import Connection, select

from orbitloop.domain.drift import Sketch, drift
from orbitloop.wire.messages import SketchText, Telemetry
from orbitloop_ground.adapters.tables import telemetry

_LEAST_FRAMES = 4
"""Fewer tell nothing of what a model usually sees."""
_LOOKED_BACK = 1_000
"""Telemetry messages: eight months of four passes a day."""


def drift_of(connection: Connection, satellite: str) -> float | None:
    """The largest of the drifts from the first frames that the flying model saw to its latest.

    ``None`` while there are too few frames, or no sketches at all.
    """
    query = select(telemetry.c.message).where(telemetry.c.satellite == satellite)
    rows = connection.scalars(query.order_by(telemetry.c.seq.desc()).limit(_LOOKED_BACK)).all()
    told = [sketch for row in rows if (sketch := Telemetry.model_validate_json(row).sketch) is not None]
    same = [sketch for sketch in told if sketch.model == told[0].model and sketch.frames >= _LEAST_FRAMES]
    if not same:
        return None
    return drift(_sketch(same[-1]), _sketch(same[0])).largest


def _sketch(text: SketchText) -> Sketch:
    return Sketch(
        frames=text.frames,
        tiles=text.tiles,
        scores=text.scores,
        classes=text.classes,
        sums=text.sums,
        squares=text.squares,
    )
