"""The applications that come along, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from orbitloop.adapters.model_files import read_model
from orbitloop.domain.errors import BadInput
from orbitloop_edge.adapters.imagery import resampled
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_ground.adapters.transformation.applications import (
    Application,
    Frame,
    Frames,
    Geometry,
    detector_reference,
)
from orbitloop_ground.adapters.transformation.frames import chip_frames, coco_frames

SHIPS_DATA = Path("examples/data/sen2ships/annotations.json")
AIRPLANES_DATA = Path("examples/data/airbus-aircraft/annotations.json")
AIRPLANES_MODEL = Path("examples/models/airplane-1m")
CLOUDS_DATA = Path("../shared/data/planet_amazon/labels.csv")

SHIPS = Geometry(side=256, cells=8, grain=64, tilings=(1, 2, 4), metres=10.0, across=8)
"""2.56 km a side, sent in chips of 320 m; eight beside each other are a swath of 20 km."""
AIRPLANES = Geometry(side=2560, cells=40, grain=160, tilings=(5, 10, 20), metres=0.5)
"""1.28 km a side, sent in chips of 32 m, and the swath as wide."""
CLOUDS = Geometry(side=1024, cells=16, grain=16, tilings=(1, 2, 4, 8), metres=3.0, highest=False, across=8)
"""3.07 km a side, sent in chips of 192 m; eight beside each other are a swath of 24.6 km (PlanetScope)."""

SHIP_MARGIN, _AIRPLANE_MARGIN = 2.0, 8.0
"""Pixels around an object that are of value too."""
_AROUND = 32
"""Pixels of 1 m around a tile in which an airplane may go on."""
_HELD_OUT = 4
"""Every so many training frames is one to choose by: the sets' own val is small."""
_CLEAR = 0.48
"""Share of usable chips: the mission that the paper simulates."""
_CHIP_FRAMES = (60, 40, 60)


class Applications(StrEnum):
    """What can be transformed by name."""

    SHIPS = "ships"
    AIRPLANES = "airplanes"
    CLOUDS = "clouds"


def application(
    name: Applications, data: Path | None = None, *, model: Path | None = None, seed: int = 0
) -> Application:
    """An application with its frames.

    Args:
        data: COCO annotations, or for clouds a table of labelled chips; the bundled set without it.
        model: folder of the detector that finds airplanes; the bundled one without it.
        seed: of what is drawn by chance: which chips make up a frame.

    Raises:
        BadInput: data or model are missing or malformed.
    """
    match name:
        case Applications.SHIPS:
            frames = coco_frames(_there(data or SHIPS_DATA), SHIPS, margin=SHIP_MARGIN)
            return Application(name=name, geometry=SHIPS, frames=held_out(frames), reference_tiles=4)
        case Applications.AIRPLANES:
            frames = coco_frames(_there(data or AIRPLANES_DATA), AIRPLANES, margin=_AIRPLANE_MARGIN)
            launched = read_model(model or AIRPLANES_MODEL)
            detector = OnnxDetector(launched.graph, launched.weights, launched.spec, threads=1)
            reference = detector_reference(
                detector, AIRPLANES, margin=_AIRPLANE_MARGIN, shrunk=2, around=_AROUND, resample=resampled
            )
            return Application(name=name, geometry=AIRPLANES, frames=held_out(frames), reference=reference)
        case Applications.CLOUDS:
            table = _there(data or CLOUDS_DATA)
            chips = chip_frames(table, CLOUDS, usable=_CLEAR, seed=seed, counts=_CHIP_FRAMES)
            return Application(name=name, geometry=CLOUDS, frames=chips, reference_tiles=4)
        case _:
            assert_never(name)


def application_named(name: str) -> Applications:
    """The application of that name. Raises ``BadInput`` for an unknown one."""
    try:
        return Applications(name)
    except ValueError as error:
        raise BadInput(f"application {name!r} is unknown; use one of {', '.join(Applications)}") from error


def held_out(frames: Frames, every: int = _HELD_OUT) -> Frames:
    """Every so many training frames moved to those to choose by."""
    kept = [frame for index, frame in enumerate(frames.train) if (index + 1) % every]
    moved: Sequence[Frame] = frames.train[every - 1 :: every]
    return replace(frames, train=kept, val=[*frames.val, *moved]) if kept else frames


def _there(path: Path) -> Path:
    if not path.exists():
        raise BadInput(f"{path}: not found from here; run from the root of the checkout, or give --data")
    return path
