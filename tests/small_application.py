"""An application that is transformed in seconds: bright squares on plain ground, some of it dark and some light."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from orbitloop.domain.detection import Floats
from orbitloop.domain.errors import BadInput
from orbitloop.domain.hardware import HardwareTarget, Provenance
from orbitloop.domain.resampling import Pixels
from orbitloop.domain.value_map import map_of_boxes
from orbitloop.wire.selection_file import ReferenceView
from orbitloop_ground.adapters.transformation.applications import Application, Frame, Frames, Geometry, Reference
from orbitloop_ground.adapters.transformation.fitting import Effort

GEOMETRY = Geometry(side=128, cells=8, grain=16, tilings=(1, 2), metres=10.0)
BRIGHT = 235
EFFORT = Effort(reference=6, general=6, special=5, engine=25, least=8, pool=60)
TARGET = HardwareTarget(
    name="toy",
    provenance=Provenance.MEASURED,
    source="made up",
    seconds={
        "shrink": 0.001,
        "cut": 0.0001,
        "engine": 0.0001,
        "tiny": 0.001,
        "small": 0.002,
        "medium": 0.004,
        "large": 0.01,
        "reference": 0.02,
    },
    memory=2**30,
    watts=5.0,
)


def squares(count: int, *, seed: int, each: int = 2) -> list[Frame]:
    """Frames with ``each`` bright squares, on dark and light ground in turn."""
    chance = np.random.default_rng(seed)
    return [_frame(f"{seed}-{index}", chance, each, 40 if index % 2 else 140) for index in range(count)]


def _frame(name: str, chance: np.random.Generator, each: int, ground: int) -> Frame:
    side = GEOMETRY.side
    pixels = chance.integers(ground - 10, ground + 10, (side, side, 3)).astype(np.uint8)
    corners = chance.integers(0, side - 20, (each, 2))
    boxes = np.concatenate([corners, corners + 16], axis=1).astype(np.float32).reshape(-1, 4)
    for x, y in corners:
        pixels[y : y + 16, x : x + 16] = BRIGHT
    truth = map_of_boxes(boxes, (side, side), GEOMETRY.grain)
    return Frame(name=name, pixels=pixels, truth=truth)


def brightness(pixels: Pixels) -> Floats:
    """The reference: what is bright is of value."""
    part = pixels.shape[0] // GEOMETRY.grain
    blocks = pixels.reshape(GEOMETRY.grain, part, GEOMETRY.grain, part, 3)
    return np.asarray(blocks.max(axis=(1, 3, 4)) >= BRIGHT, np.float32)


def small_application(frames: Frames | None = None, *, reference: bool = True) -> Application:
    """The application, with a reference that is right, or one that is yet to be learned."""
    given = frames or Frames(train=squares(12, seed=1), val=squares(6, seed=2), test=squares(6, seed=3))
    look = Reference(
        look=brightness,
        seconds=lambda target: 4 * target.time_of("reference"),
        view=ReferenceView(side=GEOMETRY.side, margin=0.0, around=0),
    )
    return Application(name="squares", geometry=GEOMETRY, frames=given, reference=look if reference else None)


def of_ones_own(data: Path | None, *, model: Path | None, seed: int) -> Application:
    """The application as ``package.module:function``, without data."""
    if data is not None:
        raise BadInput(f"{data}: squares are drawn, and not read; leave the data set out")
    return small_application()


def of_something_else(data: Path | None, **_others: object) -> str:
    """No application."""
    return f"{data}"


def that_breaks(data: Path | None, **_others: object) -> Application:
    """Somebody's own mistake."""
    raise ZeroDivisionError("a share of no frames")
