"""Applications: what makes a value map of a frame, and the frames that it is transformed on.

An application is a reference, anything from pixels to a value map, with the frames' geometry. What a detector finds
becomes one by its boxes; a network of our own makes one directly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections, Floats
from orbitloop.domain.errors import BadInput
from orbitloop.domain.hardware import HardwareTarget, frame_deadline
from orbitloop.domain.resampling import INPUT, Pixels, Resample, as_input, cut_tiles
from orbitloop.domain.selection import REFERENCE
from orbitloop.domain.value_map import Truths, map_of_detections, map_of_tiles, regrid
from orbitloop.wire.selection_file import ReferenceView

ValueMaps: TypeAlias = Callable[[Pixels], Floats]
"""From a frame ``(s, s, 3)`` to its value map, ``(grain, grain)`` float32 in [0, 1]."""
Runner: TypeAlias = Callable[[Floats], list[Floats]]
"""A loaded network: from tiles ``(b, 3, 128, 128)`` to its outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """What frames are like, and how they may be cut.

    Args:
        side: of a frame, pixels.
        cells: of its value map, a side: what is sent, or not.
        grain: cells a side of what networks learn and the reference says; a multiple of ``cells``.
        highest: a cell is as sure as the surest part of it (objects), not as its parts on average (areas).
        tilings: numbers of tiles a side to choose from; each must divide ``cells``.
        metres: of a pixel on the ground.
        across: how many frames lie side by side in the swath of the computer's camera.
        altitude: of the orbit, metres.
    """

    side: int
    cells: int
    grain: int
    tilings: tuple[int, ...]
    metres: float
    highest: bool = True
    across: int = 1
    altitude: float = 491_000.0

    def __post_init__(self) -> None:
        for tiles in self.tilings:
            if (
                self.cells % tiles
                or self.grain % self.cells
                or (self.side % (tiles * INPUT) and (tiles * INPUT) % self.side)
            ):
                raise BadInput(f"frames of {self.side} pixels and {self.cells} cells have no {tiles} tiles a side")

    @property
    def megapixels(self) -> float:
        """Of a frame."""
        return self.side * self.side / 1e6

    @property
    def deadline(self) -> float:
        """Seconds until the next frame, shared with those beside it."""
        return frame_deadline(self.altitude, self.side * self.metres) / self.across


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One picture with what is known of it.

    Args:
        name: unique in its set.
        pixels: ``(s, s, 3)`` uint8 RGB.
        truth: which of its parts are of high value, ``(grain, grain)``; ``None`` where nobody has said.
        infrared: near-infrared band, ``(s, s)`` uint8, if there is one.
        tags: of the data set for each of ``m * m`` parts, ``(m, m, tags)`` in [0, 1]; may have none.
    """

    name: str
    pixels: Pixels
    truth: Truths | None
    infrared: NDArray[np.uint8] | None = None
    tags: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """Frames to learn from, to choose by, and to judge by; no ground in two of them."""

    train: Sequence[Frame]
    val: Sequence[Frame]
    test: Sequence[Frame] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """The application as it comes.

    Args:
        look: from a frame to its value map.
        seconds: of a whole frame on a target.
        graph: ONNX bytes where it is a network of ours; ``None``: the model in the slots, asked as ``view``.
    """

    look: ValueMaps
    seconds: Callable[[HardwareTarget], float]
    graph: bytes | None = None
    view: ReferenceView | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Application:
    """What is fitted to a computer; ``reference`` is ``None`` where it is yet to be trained from the labels."""

    name: str
    geometry: Geometry
    frames: Frames
    reference: Reference | None = None
    reference_tiles: int = 1
    tag_names: Sequence[str] = field(default=())


class _Detector(Protocol):
    def detect(self, pixels: Pixels) -> Detections: ...


def detector_reference(
    detector: _Detector, geometry: Geometry, *, margin: float, shrunk: int, around: int, resample: Resample
) -> Reference:
    """A detector as a reference.

    Args:
        margin: pixels of the frame around a box that are of value too.
        shrunk: how many times smaller, a side, the detector sees the frame.
        around: pixels of that around a single tile that it looks at too.
        resample: see :data:`~orbitloop.domain.resampling.Resample`.
    """
    side = geometry.side // shrunk

    def look(pixels: Pixels) -> Floats:
        found = detector.detect(resample(pixels, side))
        return map_of_detections(found, (side, side), geometry.grain, margin=margin / shrunk)

    return Reference(
        look=look,
        seconds=lambda target: target.time_of(f"detector:{side}"),
        view=ReferenceView(side=side, margin=margin / shrunk, around=around),
    )


def network_reference(graph: bytes, runner: Runner, geometry: Geometry, tiles: int, resample: Resample) -> Reference:
    """A network of ours as a reference, at ``tiles`` a side."""

    def look(pixels: Pixels) -> Floats:
        return value_map(runner, pixels, geometry, tiles, resample)

    def seconds(target: HardwareTarget) -> float:
        each = target.time_of("cut") + target.time_of(REFERENCE)
        return geometry.megapixels * target.time_of("shrink") + tiles * tiles * each

    return Reference(look=look, seconds=seconds, graph=graph)


def value_map(runner: Runner, pixels: Pixels, geometry: Geometry, tiles: int, resample: Resample) -> Floats:
    """A frame's value map by a network, ``(grain, grain)`` float32."""
    parts = values_of(runner, cut_tiles(resample(pixels, tiles * INPUT), tiles))
    return np.asarray(map_of_tiles(regrid(parts, geometry.grain // tiles, highest=geometry.highest), tiles), np.float32)


def values_of(runner: Runner, tiles: Pixels, batch: int = 16) -> Floats:
    """A network's value maps of tiles ``(n, 3, 128, 128)`` uint8, ``(n, 16, 16)``."""
    parts = [runner(as_input(tiles[at : at + batch]))[0] for at in range(0, len(tiles), batch)]
    return np.concatenate(parts)


def bands_of(tile: Pixels, infrared: NDArray[np.uint8] | None) -> Mapping[str, Floats]:
    """The bands of a tile ``(3, h, w)`` by name, in [0, 1]."""
    bands = {name: as_input(tile[index]) for index, name in enumerate(("red", "green", "blue"))}
    return bands if infrared is None else {**bands, "nir": as_input(infrared)}
