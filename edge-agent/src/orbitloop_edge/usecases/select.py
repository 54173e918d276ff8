"""A frame under a selection logic: tiles, the engine's word on each, a model or none, and what enters the spool."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from orbitloop.domain.contexts import UNLIKE, engine_answer
from orbitloop.domain.detection import Detections, Floats
from orbitloop.domain.errors import BadInput
from orbitloop.domain.pace import Pace
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.resampling import INPUT, Pixels, Resample, as_input, cut_tiles, glimpses
from orbitloop.domain.samples import Reason, Sample
from orbitloop.domain.selection import REFERENCE, UNKNOWN, Grade, Run
from orbitloop.domain.tiling import PAD, Window
from orbitloop.domain.units import Digest
from orbitloop.domain.value_map import Truths, map_of_detections, regrid, tiles_of_map
from orbitloop.ports.clock import Clock
from orbitloop.ports.spool import Intake
from orbitloop.wire.bundle import sample_id
from orbitloop.wire.selection_file import ENGINE, ReferenceView, SelectionPackage
from orbitloop_edge.usecases.observe import Imagery, inside_of

BATCH = 16
"""Tiles that a network sees at once."""
RAW_SIDE = 512
"""Pixels of a side of what a frame without a look is sent in: each part is written durably, which takes time."""
GLIMPSED = 128
"""Tiles that the context engine sees at once."""


class Networks(Protocol):
    """Networks by name, warm where memory allows."""

    def get(self, name: str) -> Callable[[Floats], list[Floats]]:
        """A loaded network. Raises ``BadInput`` where there is none of that name."""
        ...


class Decisions(Protocol):
    """What was decided for the frame in hand, durably: if it comes again, it goes by that, and sends nothing twice."""

    def decided(self, frame: str, logic: Digest) -> bool | None:
        """Whether ``frame`` was processed by ``logic``; ``None`` where nothing of it has been sent."""
        ...

    def decide(self, frame: str, logic: Digest, *, processed: bool) -> None:
        """Something of ``frame`` is about to be sent. Raises ``NoSpace``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileOutcome:
    """What becomes of one tile.

    Args:
        index: of the tile, row by row.
        context: the engine's word.
        values: how sure a model is of its cells, ``(cells / tiles, cells / tiles)``; 0 of raw and discarded ones.
        grades: what is sent of it, by how sure the model is; none where it is discarded.
    """

    index: int
    context: str
    values: Floats
    grades: tuple[Grade, ...]

    def parts(self) -> Iterator[tuple[Grade, Truths]]:
        """The cells of each grade, where there are any."""
        for place, grade in enumerate(self.grades):
            limit = self.grades[place + 1].threshold if place + 1 < len(self.grades) else np.inf
            sent = (self.values >= grade.threshold) & (self.values < limit)
            if sent.any():
                yield grade, sent


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedFrame:
    """What became of one frame.

    Args:
        frame: its name.
        captured: when, UTC.
        seconds: that it took, reading and encoding included.
        processed: whether there was time; a frame without is sent raw.
        contexts: tiles by context; none of a frame that was not looked at.
        samples: how many tiles, or parts of them of one grade, entered the spool.
    """

    frame: str
    captured: datetime
    seconds: float
    processed: bool
    contexts: dict[str, int]
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What of the satellite a selection needs: who it is, the model in its slots, pictures, the spool, and clocks.

    Args:
        satellite: whose frames these are.
        detect: by the model in the slots; asked where it is the reference.
        resample: frames at other resolutions, as on the ground.
        seconds: a clock that only goes forward.
        decisions: what was decided for a frame that may come again.
    """

    satellite: str
    detect: Callable[[Pixels], Detections]
    policy: LinkPolicy
    imagery: Imagery
    resample: Resample
    spool: Intake
    clock: Clock
    seconds: Callable[[], float]
    decisions: Decisions


@dataclass(frozen=True, slots=True, eq=False)
class Mosaic:
    """Tiles of a frame beside each other in one picture, each with what is around it; grey beyond the frame.

    Args:
        whole: the frame, ``(s, s, 3)``.
        side: of a tile, pixels.
        around: pixels around each.
    """

    whole: Pixels
    side: int
    around: int

    def look(self, detect: Callable[[Pixels], Detections], places: Sequence[tuple[int, int]]) -> list[Detections]:
        """What ``detect`` sees of the tiles at ``places`` (row and column), each in pixels of its tile."""
        step = self.side + 2 * self.around
        columns = math.isqrt(len(places) - 1) + 1
        rows = -(-len(places) // columns)
        picture = np.full((rows * step, columns * step, 3), PAD, np.uint8)
        padded = np.pad(self.whole, ((self.around,) * 2, (self.around,) * 2, (0, 0)), constant_values=PAD)
        corners = [tuple(index * step for index in divmod(place, columns)) for place in range(len(places))]
        for (y, x), (row, column) in zip(corners, places, strict=True):
            top, left = row * self.side, column * self.side
            picture[y : y + step, x : x + step] = padded[top : top + step, left : left + step]
        found = detect(picture)
        windows = [Window(x0=x, y0=y, width=step, height=step) for y, x in corners]
        return [inside_of(found, window).shifted(x=-self.around, y=-self.around) for window in windows]


class SelectFrames:
    """Frames one after the other, under one logic.

    Args:
        package: the logic; its signature has been checked.
        version: digest of the artefact, which samples name as the model that saw them.
        networks: those of the package.
        board: where it runs.
    """

    def __init__(self, package: SelectionPackage, version: Digest, networks: Networks, board: Board) -> None:
        self._package, self._version, self._networks, self._board = package, version, networks, board
        self._pace = Pace(deadline=package.link.deadline)

    def select(self, path: Path) -> SelectedFrame:
        """Look at one frame and spool what its logic sends, with its value.

        A frame for which no time is left is spooled raw, in few parts, at what a raw frame is worth. One that comes
        again, because it was put off or the process was killed, makes the samples that it made before.

        Raises:
            BadInput: it cannot be read, or is not of the size that the logic was made for.
            NoSpace: the spool is full; the frame may be selected again later.
        """
        board, captured = self._board, self._board.clock.now()
        begun = board.seconds()
        _, pixels = board.imagery.read(path)
        side = self._package.side
        if pixels.shape != (side, side, 3):
            raise BadInput(
                f"{path}: has {pixels.shape[1]}x{pixels.shape[0]} pixels, the selection logic is for {side}x{side}; "
                "transform the application for this camera"
            )
        decided = board.decisions.decided(path.name, self._version)
        processed = self._pace.has_time if decided is None else decided
        outcomes, tiles = (self.outcomes(pixels), self._package.logic.tiles) if processed else self._untouched()
        parts = [(outcome.index, grade, sent) for outcome in outcomes for grade, sent in outcome.parts()]
        if parts and decided is None:
            board.decisions.decide(path.name, self._version, processed=processed)
        for index, grade, sent in parts:
            self._keep(
                (path.name, captured), self._cropped(pixels, tiles, index, sent), grade.worth * float(sent.sum())
            )
        seconds = board.seconds() - begun
        self._pace = self._pace.after(seconds, processed=processed)
        return SelectedFrame(
            frame=path.name,
            captured=captured,
            seconds=seconds,
            processed=processed,
            contexts=dict(Counter(outcome.context for outcome in outcomes)) if processed else {},
            samples=len(parts),
        )

    def outcomes(self, pixels: Pixels) -> list[TileOutcome]:
        """What becomes of each tile of a frame."""
        logic = self._package.logic
        tiles = cut_tiles(self._board.resample(pixels, logic.tiles * INPUT), logic.tiles)
        contexts = self._contexts(tiles)
        part = logic.cells // logic.tiles
        values = np.zeros((len(tiles), part, part), np.float32)
        groups: dict[str, list[int]] = {}
        for index, context in enumerate(contexts):
            if isinstance(action := logic.action(context), Run):
                groups.setdefault(action.model, []).append(index)
        for model in sorted(groups):
            values[groups[model]] = self._values(model, pixels, tiles, groups[model])
        return [
            TileOutcome(index=index, context=context, values=values[index], grades=logic.grades[context])
            if np.isfinite(values[index]).all()
            else self._raw(index, context, logic.tiles)  # no answer: better too much is sent than value lost
            for index, context in enumerate(contexts)
        ]

    def _contexts(self, tiles: Pixels) -> list[str]:
        engine, names = self._networks.get(ENGINE), self._package.contexts
        found: list[str] = []
        for at in range(0, len(tiles), GLIMPSED):
            logits, distances = engine(as_input(glimpses(tiles[at : at + GLIMPSED])))
            answer = engine_answer(logits, distances, self._package.reach)
            found.extend(UNKNOWN if index == UNLIKE else names[index] for index in answer.contexts)
        return found

    def _values(self, model: str, pixels: Pixels, tiles: Pixels, places: Sequence[int]) -> Floats:
        """How sure a model is of the cells of the tiles at ``places``, ``(n, cells / tiles, cells / tiles)``."""
        if model == REFERENCE and self._package.reference is not None:
            return self._by_detector(pixels, places, self._package.reference)
        network, mine = self._networks.get(model), tiles[list(places)]
        said = np.concatenate([network(as_input(mine[at : at + BATCH]))[0] for at in range(0, len(mine), BATCH)])
        return regrid(said, self._package.logic.cells // self._package.logic.tiles, highest=self._package.highest)

    def _by_detector(self, pixels: Pixels, places: Sequence[int], view: ReferenceView) -> Floats:
        """What the model in the slots says of tiles: of the whole frame where they are many, else in one picture."""
        logic = self._package.logic
        whole = self._board.resample(pixels, view.side)
        if view.share(logic.tiles, len(places)) >= 1:
            found = self._board.detect(whole)
            said = map_of_detections(found, (view.side, view.side), logic.cells, margin=view.margin)
            return np.asarray(tiles_of_map(said, logic.tiles)[list(places)], np.float32)
        side, part = view.side // logic.tiles, logic.cells // logic.tiles
        seen = Mosaic(whole, side=side, around=view.around)
        found_in = seen.look(self._board.detect, [divmod(place, logic.tiles) for place in places])
        return np.stack([map_of_detections(found, (side, side), part, margin=view.margin) for found in found_in])

    def _untouched(self) -> tuple[list[TileOutcome], int]:
        """A frame without a look, in parts of at most :data:`RAW_SIDE` pixels a side, and how many of them a side."""
        cells, side = self._package.logic.cells, self._package.side
        parts = next(
            parts
            for parts in range(1, cells + 1)
            if cells % parts == 0 and side // parts <= max(RAW_SIDE, side // cells)
        )
        return [self._raw(index, UNKNOWN, parts) for index in range(parts**2)], parts

    def _raw(self, index: int, context: str, tiles: int) -> TileOutcome:
        """A tile, one of so many a side, that nobody has looked at."""
        part = self._package.logic.cells // tiles
        grade = Grade(threshold=0.0, worth=self._package.prevalence)
        return TileOutcome(index=index, context=context, values=np.zeros((part, part), np.float32), grades=(grade,))

    def _keep(self, frame: tuple[str, datetime], what: tuple[Window, Pixels], value: float) -> bool:
        (name, captured), (window, part) = frame, what
        policy = self._board.policy
        encoded = self._board.imagery.encode(part, policy.codec, policy.quality)
        sample = Sample(
            id=sample_id(self._board.satellite, name, window, encoded),
            frame=name,
            window=window,
            captured=captured,
            model=self._version,
            reason=Reason.VALUE,
            value=value,
            found=Detections.none(),
            codec=policy.codec,
            size=len(encoded),
        )
        return self._board.spool.add(sample, encoded)

    def _cropped(self, pixels: Pixels, tiles: int, index: int, sent: Truths) -> tuple[Window, Pixels]:
        """The smallest window around the cells that are sent, of the ``index``-th part of ``tiles`` a side; what else
        lies in it is grey, which takes few bytes.
        """
        side = self._package.side
        tile, cell = side // tiles, side // self._package.logic.cells
        top, left = (place * tile for place in divmod(index, tiles))
        rows, columns = np.flatnonzero(sent.any(axis=1)), np.flatnonzero(sent.any(axis=0))
        y0, y1 = int(rows[0]) * cell, int(rows[-1] + 1) * cell
        x0, x1 = int(columns[0]) * cell, int(columns[-1] + 1) * cell
        window = Window(x0=left + x0, y0=top + y0, width=x1 - x0, height=y1 - y0)
        kept = sent[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        mask = kept.repeat(cell, axis=0).repeat(cell, axis=1)[..., None]
        part = pixels[window.y0 : window.y0 + window.height, window.x0 : window.x0 + window.width]
        return window, np.where(mask, part, np.uint8(PAD))
