"""A frame under a selection logic: tiles, the engine's word on each, a model or none, and what enters the spool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, assert_never

import numpy as np

from orbitloop.domain.contexts import UNLIKE, engine_answer
from orbitloop.domain.detection import Detections, Floats
from orbitloop.domain.errors import BadInput
from orbitloop.domain.pace import Pace
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.resampling import INPUT, Pixels, Resample, as_input, cut_tiles
from orbitloop.domain.samples import Reason, Sample
from orbitloop.domain.selection import REFERENCE, UNKNOWN, Discard, Grade, Raw, Run
from orbitloop.domain.tiling import PAD, Window
from orbitloop.domain.units import Digest
from orbitloop.domain.value_map import Truths, map_of_detections, regrid
from orbitloop.ports.clock import Clock
from orbitloop.ports.spool import Intake
from orbitloop.wire.bundle import sample_id
from orbitloop.wire.selection_file import ENGINE, SelectionPackage
from orbitloop_edge.usecases.observe import Imagery

BATCH = 16
"""Tiles that a network sees at once."""


class Networks(Protocol):
    """Networks by name, warm where memory allows."""

    def get(self, name: str) -> Callable[[Floats], list[Floats]]:
        """A loaded network. Raises ``BadInput`` where there is none of that name."""
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
        seconds: that it took.
        processed: whether there was time; a frame without is sent raw.
        contexts: tiles by context.
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
    """

    satellite: str
    detect: Callable[[Pixels], Detections]
    policy: LinkPolicy
    imagery: Imagery
    resample: Resample
    spool: Intake
    clock: Clock
    seconds: Callable[[], float]


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

        A frame for which no time is left is spooled raw, tile by tile, at what a raw frame is worth.

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
        processed = self._pace.has_time
        outcomes = self.outcomes(pixels) if processed else self._untouched()
        seconds = board.seconds() - begun
        self._pace = self._pace.after(seconds)
        parts = [(outcome.index, grade, sent) for outcome in outcomes for grade, sent in outcome.parts()]
        for part in parts:
            self._keep(path.name, captured, pixels, part)
        return SelectedFrame(
            frame=path.name,
            captured=captured,
            seconds=seconds,
            processed=processed,
            contexts=dict(Counter(outcome.context for outcome in outcomes)),
            samples=len(parts),
        )

    def outcomes(self, pixels: Pixels) -> list[TileOutcome]:
        """What becomes of each tile of a frame."""
        logic = self._package.logic
        tiles = as_input(cut_tiles(self._board.resample(pixels, logic.tiles * INPUT), logic.tiles))
        contexts = self._contexts(tiles)
        groups: dict[str, list[int]] = {}
        for index, context in enumerate(contexts):
            groups.setdefault(context, []).append(index)
        values: dict[int, Floats] = {}
        for context in sorted(groups):
            values |= dict(zip(groups[context], self._values(context, pixels, tiles, groups[context]), strict=True))
        return [
            TileOutcome(index=index, context=context, values=values[index], grades=logic.grades[context])
            for index, context in enumerate(contexts)
        ]

    def _contexts(self, tiles: Floats) -> list[str]:
        engine, names = self._networks.get(ENGINE), self._package.contexts
        found: list[str] = []
        for at in range(0, len(tiles), BATCH):
            logits, distances = engine(tiles[at : at + BATCH])
            answer = engine_answer(logits, distances, self._package.reach)
            found.extend(UNKNOWN if index == UNLIKE else names[index] for index in answer.contexts)
        return found

    def _values(self, context: str, pixels: Pixels, tiles: Floats, places: Sequence[int]) -> Floats:
        """How sure a model is of the cells of the tiles at ``places``, ``(n, cells / tiles, cells / tiles)``."""
        logic = self._package.logic
        part = logic.cells // logic.tiles
        match logic.action(context):
            case Raw() | Discard():
                return np.zeros((len(places), part, part), np.float32)
            case Run(model=model):
                if model == REFERENCE and self._package.reference is not None:
                    values = self._by_detector(pixels, places)
                else:
                    values = self._by_network(model, tiles[list(places)])
                return regrid(values, part, highest=self._package.highest)
            case other:
                assert_never(other)

    def _by_network(self, model: str, tiles: Floats) -> Floats:
        network = self._networks.get(model)
        return np.concatenate([network(tiles[at : at + BATCH])[0] for at in range(0, len(tiles), BATCH)])

    def _by_detector(self, pixels: Pixels, places: Sequence[int]) -> Floats:
        """What the model in the slots says of single tiles, each seen as it would be seen in the frame."""
        logic, view = self._package.logic, self._package.reference
        assert view is not None
        whole = self._board.resample(pixels, view.side)
        side, part = view.side // logic.tiles, logic.cells // logic.tiles
        said = []
        for place in places:
            y, x = (index * side for index in divmod(place, logic.tiles))
            found = self._board.detect(np.ascontiguousarray(whole[y : y + side, x : x + side]))
            said.append(map_of_detections(found, (side, side), part, margin=view.margin))
        return np.stack(said)

    def _untouched(self) -> list[TileOutcome]:
        logic = self._package.logic
        part = logic.cells // logic.tiles
        raw = (Grade(threshold=0.0, worth=self._package.prevalence),)
        values = np.zeros((part, part), np.float32)
        return [TileOutcome(index=index, context=UNKNOWN, values=values, grades=raw) for index in range(logic.tiles**2)]

    def _keep(self, frame: str, captured: datetime, pixels: Pixels, what: tuple[int, Grade, Truths]) -> bool:
        index, grade, sent = what
        window, part = self._cropped(pixels, index, sent)
        policy = self._board.policy
        encoded = self._board.imagery.encode(part, policy.codec, policy.quality)
        sample = Sample(
            id=sample_id(self._board.satellite, frame, window, encoded),
            frame=frame,
            window=window,
            captured=captured,
            model=self._version,
            reason=Reason.VALUE,
            value=grade.worth * float(sent.sum()),
            found=Detections.none(),
            codec=policy.codec,
            size=len(encoded),
        )
        return self._board.spool.add(sample, encoded)

    def _cropped(self, pixels: Pixels, index: int, sent: Truths) -> tuple[Window, Pixels]:
        """The smallest window around the cells that are sent; what else lies in it is grey, which takes few bytes."""
        logic, side = self._package.logic, self._package.side
        tile, cell = side // logic.tiles, side // logic.cells
        top, left = (place * tile for place in divmod(index, logic.tiles))
        rows, columns = np.flatnonzero(sent.any(axis=1)), np.flatnonzero(sent.any(axis=0))
        y0, y1 = int(rows[0]) * cell, int(rows[-1] + 1) * cell
        x0, x1 = int(columns[0]) * cell, int(columns[-1] + 1) * cell
        window = Window(x0=left + x0, y0=top + y0, width=x1 - x0, height=y1 - y0)
        kept = sent[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        mask = kept.repeat(cell, axis=0).repeat(cell, axis=1)[..., None]
        part = pixels[window.y0 : window.y0 + window.height, window.x0 : window.x0 + window.width]
        return window, np.where(mask, part, np.uint8(PAD))
