"""Samples to test with: small, valid and all different."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from orbitloop.domain.detection import Detections
from orbitloop.domain.digests import digest_of
from orbitloop.domain.samples import Reason, Sample
from orbitloop.domain.tiling import Window
from orbitloop.wire.bundle import sample_id

LAUNCH = datetime(2026, 1, 1, tzinfo=UTC)


def a_sample(
    number: int = 0, *, satellite: str = "sat-1", size: int = 1_000, value: float | None = None, found: int = 2
) -> tuple[Sample, bytes]:
    """The ``number``-th sample of a satellite and its ``size`` bytes of incompressible "pixels"."""
    noise = np.random.default_rng(number)
    pixels = noise.bytes(size)
    frame, window = f"frames/{number:06}.png", Window(x0=16 * number, y0=0, width=416, height=416)
    corner = noise.random((found, 2), np.float32) * 400
    sample = Sample(
        id=sample_id(satellite, frame, window, pixels),
        frame=frame,
        window=window,
        captured=LAUNCH + timedelta(seconds=number),
        model=digest_of(b"weights"),
        reason=Reason.HARD,
        value=float(noise.random()) if value is None else value,
        found=Detections(
            boxes=np.concatenate([corner, corner + 12], axis=1).astype(np.float32),
            scores=np.sort(noise.random(found, np.float32))[::-1].copy(),
            labels=np.zeros(found, np.int64),
        ),
        codec="webp",
        size=size,
    )
    return sample, pixels
