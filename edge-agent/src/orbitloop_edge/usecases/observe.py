"""From a frame to results, and to the samples worth sending down."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections
from orbitloop.domain.drift import Sketch, sketch_of
from orbitloop.domain.errors import Refused
from orbitloop.domain.mining import MiningRule, Uniform, verdict
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.rollout import is_canary
from orbitloop.domain.samples import Sample
from orbitloop.domain.second_look import surprises
from orbitloop.domain.selectors import Selection, selector
from orbitloop.domain.tiling import Window, cut
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.value import Candidate, Choice, Seen, Worth, signature_of, structure_of
from orbitloop.ports.clock import Clock
from orbitloop.ports.spool import Intake
from orbitloop.wire.bundle import sample_id
from orbitloop_edge.usecases.detector import Detector
from orbitloop_edge.usecases.shadow import Shadow

SAMPLE_SIDE = 320
"""Side of a sample in pixels; a Pleiades frame is cut into 8 by 8."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameResult:
    """What became of one frame.

    Args:
        frame: its name.
        captured: when, UTC.
        size: bytes of the frame as encoded by the camera.
        model: digest of the model that looked at it.
        found: what it saw, in pixels of the frame.
        samples: how many of its tiles were spooled.
        sketch: what it was like, for the ground to tell drift; ``None`` where it could not be processed.
        error: why it could not be processed, if so; then nothing was found.
    """

    frame: str
    captured: datetime
    size: Bytes
    model: Digest
    found: Detections
    samples: int
    sketch: Sketch | None = None
    error: str = ""


class Results(Protocol):
    """Where results are kept on board."""

    def captured(self, frame: str, at: datetime) -> None:
        """A frame has been handed over, but not yet looked at."""
        ...

    def record(self, result: FrameResult) -> None:
        """Keep a frame's result durably; a repeated one replaces the first."""
        ...


class CanaryShelf(Protocol):
    """Where held-out tiles are kept on board."""

    def keep(self, sample: Digest, pixels: NDArray[np.uint8]) -> None:
        """Keep a tile; the oldest give way."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Imagery:
    """How pictures are read and samples encoded."""

    read: Callable[[Path], tuple[bytes, NDArray[np.uint8]]]
    encode: Callable[[NDArray[np.uint8], str, int], bytes]
    decode: Callable[[bytes, str], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mining:
    """How samples are chosen: the rule that calls a tile hard, what tiles are worth, and chance."""

    rule: MiningRule
    uniform: Uniform
    worth: Worth = Worth()


class ObserveFrames:
    """Processes frames one at a time; the model may be swapped between two of them, never within one.

    Args:
        satellite: whose frames these are.
        detector: the model to begin with.
        policy: codec, share of the captured bytes that may be sent, and which tiles go first.
        spool, results, canaries: where samples, results and held-out tiles go.
        shadow: what sees some frames too, and has no say in what becomes of them.
    """

    def __init__(
        self,
        *,
        satellite: str,
        detector: Detector,
        policy: LinkPolicy,
        mining: Mining,
        imagery: Imagery,
        spool: Intake,
        results: Results,
        canaries: CanaryShelf,
        clock: Clock,
        shadow: Shadow | None = None,
    ) -> None:
        self._satellite = satellite
        self._detector = detector
        self._policy = policy
        self._mining = mining
        self._is_hard = verdict(mining.rule, mining.uniform)
        self._choose = selector(policy.selection, mining.rule, mining.worth)
        self._imagery = imagery
        self._spool = spool
        self._results = results
        self._canaries = canaries
        self._clock = clock
        self._shadow = shadow
        self._seen = Seen()
        self._allowance = 0.0
        self._granted: set[str] = set()
        self._between_frames = threading.Lock()

    @property
    def detector(self) -> Detector:
        """What it serves with."""
        return self._detector

    def swap(self, detector: Detector) -> None:
        """Serve with ``detector`` from the next frame on; waits for the frame in hand."""
        with self._between_frames:
            self._detector = detector

    def observe(self, path: Path) -> FrameResult:
        """Look at one frame, keep its result, spool its best tiles.

        A frame that cannot be read, or whose samples could not be sent, is recorded with its error; the next one is
        not affected.

        Raises:
            NoSpace: the spool or the disk is full; the frame may be observed again later, and then the tiles that
                found no room are chosen again.
        """
        captured = self._clock.now()
        self._results.captured(path.name, captured)
        with self._between_frames:
            try:
                data, pixels = self._imagery.read(path)
                result = self._look(path, captured, Bytes(len(data)), pixels)
            except Refused as error:
                result = self._failed(path, captured, str(error))
            self._results.record(result)
            return result

    def pass_over(self, path: Path) -> FrameResult:
        """Count a frame that something else has dealt with, without a look. Raises ``NoSpace``: the disk is full."""
        captured = self._clock.now()
        self._results.captured(path.name, captured)
        result = self._failed(path, captured, "")
        self._results.record(result)
        return result

    def _failed(self, path: Path, captured: datetime, error: str) -> FrameResult:
        return FrameResult(
            frame=path.name,
            captured=captured,
            size=Bytes(path.stat().st_size if path.exists() else 0),
            model=self._detector.version,
            found=Detections.none(),
            samples=0,
            error=error,
        )

    def _look(self, path: Path, captured: datetime, size: Bytes, pixels: NDArray[np.uint8]) -> FrameResult:
        found = self._detect(pixels)
        tiles = self._candidates(pixels, found)
        self._grant(path.name, size)
        choices = self._choose(
            [candidate for candidate, _ in tiles.values()],
            Bytes(int(self._allowance)),
            self._seen,
            self._mining.uniform,
        )
        for choice in choices:
            encoded = tiles[choice.candidate.window][1]
            self._keep(path.name, captured, choice, encoded)
            self._allowance -= len(encoded)
            self._seen.add(choice.candidate.signature)
        return FrameResult(
            frame=path.name,
            captured=captured,
            size=size,
            model=self._detector.version,
            found=found,
            samples=len(choices),
            sketch=sketch_of(pixels, found),
        )

    def _detect(self, pixels: NDArray[np.uint8]) -> Detections:
        if self._shadow is None:
            return self._detector.detect(pixels)
        found, took = self._shadow.timed(lambda: self._detector.detect(pixels))
        self._shadow.see(pixels, found, took)
        return found

    def _second_look(self, pixels: NDArray[np.uint8], found: Detections) -> Detections:
        """What the first look missed, where the selection asks for it: a quarter of the first look's time."""
        if self._policy.selection is not Selection.VALUE:
            return Detections.none()
        return surprises(pixels, found, self._detector.detect)

    def _grant(self, frame: str, size: Bytes) -> None:
        """Raise the allowance by the frame's share, once, however often it is observed."""
        if frame not in self._granted:
            self._granted.add(frame)
            self._allowance += size * self._policy.downlink_share

    def _candidates(self, pixels: NDArray[np.uint8], found: Detections) -> dict[Window, tuple[Candidate, bytes]]:
        tiles: dict[Window, tuple[Candidate, bytes]] = {}
        beyond = self._second_look(pixels, found)
        for window in sample_windows(pixels.shape[1], pixels.shape[0]):
            tile = cut(pixels, window)
            inside = inside_of(found, window)
            encoded = self._imagery.encode(tile, self._policy.codec, self._policy.quality)
            confident = inside.take(inside.scores >= self._mining.worth.nothing)
            tiles[window] = (
                Candidate(
                    window=window,
                    found=inside,
                    signature=signature_of(tile),
                    structure=structure_of(tile),
                    size=Bytes(len(encoded)),
                    hard=self._is_hard(confident),
                    surprises=inside_of(beyond, window),
                ),
                encoded,
            )
        return tiles

    def _keep(self, frame: str, captured: datetime, choice: Choice, encoded: bytes) -> None:
        window = choice.candidate.window
        sample = Sample(
            id=sample_id(self._satellite, frame, window, encoded),
            frame=frame,
            window=window,
            captured=captured,
            model=self._detector.version,
            reason=choice.reason,
            value=choice.value,
            found=choice.candidate.found.take(choice.candidate.found.scores >= self._mining.worth.nothing),
            codec=self._policy.codec,
            size=len(encoded),
        )
        if is_canary(sample.id):
            self._canaries.keep(sample.id, self._imagery.decode(encoded, frame))
        self._spool.add(sample, encoded)


def sample_windows(width: int, height: int) -> list[Window]:
    """The tiles that a frame's samples are: a grid without overlap; the last row and column may be smaller."""
    return [Window(x0=x, y0=y, width=across, height=down) for y, down in _spans(height) for x, across in _spans(width)]


def _spans(length: int) -> list[tuple[int, int]]:
    """Starts and lengths along one side; a last strip too narrow to show anything whole is left out."""
    cuts = [(start, min(SAMPLE_SIDE, length - start)) for start in range(0, length, SAMPLE_SIDE)]
    return [(start, span) for start, span in cuts if start == 0 or span >= SAMPLE_SIDE // 4]


def inside_of(found: Detections, window: Window) -> Detections:
    """Detections whose centre lies in ``window``, in its own pixels."""
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    x0, y0, x1, y1 = window.box
    inside = (centres[:, 0] >= x0) & (centres[:, 0] < x1) & (centres[:, 1] >= y0) & (centres[:, 1] < y1)
    return found.take(inside).shifted(x=-x0, y=-y0)
