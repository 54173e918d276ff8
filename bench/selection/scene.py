"""What the selectors choose from: frames cut in tiles as they fly, frame by frame, with the allowance on board."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orbitloop.adapters.model_files import read_model
from orbitloop.domain.detection import Detections, Truth
from orbitloop.domain.mining import MiningRule, mining_rule, verdict
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.second_look import surprises
from orbitloop.domain.selectors import Selection, Selector, selector
from orbitloop.domain.tiling import PAD, cut
from orbitloop.domain.units import Bytes
from orbitloop.domain.value import Candidate, Seen, Worth, signature_of, structure_of
from orbitloop.ports.trainer import Lesson
from orbitloop.wire.model_folder import Model
from orbitloop_edge.adapters.imagery import decode_picture, encode_picture
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_edge.usecases.observe import inside_of, sample_windows
from orbitloop_ground.adapters.coco import CocoImage, CocoSet, read_coco
from orbitloop_ground.adapters.labels import ArchiveLabels

DATA = Path("examples/data/airbus-aircraft/annotations.json")
MODEL = Path("examples/models/airplane-1m")
WORTH = Worth()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A selector by name.

    Args:
        name: as it is printed.
        selection: which one.
        rule: the mining rule that it asks, if it does.
        share: of the bytes of all tiles that it may send.
    """

    name: str
    selection: Selection
    rule: MiningRule = field(default_factory=lambda: mining_rule("CloudOnly"))
    share: float = 0.1

    @property
    def looks_twice(self) -> bool:
        """Whether it needs the second look."""
        return self.selection is Selection.VALUE

    def chooser(self) -> Selector:
        """What chooses."""
        return selector(self.selection, self.rule, WORTH)


CONTESTANTS = (
    Contestant(name="ours", selection=Selection.VALUE),
    Contestant(name="random", selection=Selection.RANDOM),
    Contestant(name="everything", selection=Selection.EVERYTHING, share=1.0),
    Contestant(name="IBT", selection=Selection.HARD, rule=mining_rule("IBT")),
    Contestant(name="CrossEntropy", selection=Selection.HARD, rule=mining_rule("CrossEntropy")),
    Contestant(name="entropy", selection=Selection.ENTROPY),
    Contestant(name="core-set", selection=Selection.CORE_SET),
    Contestant(name="ours, one look", selection=Selection.FIRST_LOOK),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sent:
    """A tile that was sent: of which frame, as bytes."""

    frame: str
    candidate: Candidate
    data: bytes


@functools.cache
def annotated() -> CocoSet:
    """The bundled frames."""
    return read_coco(DATA)


@functools.cache
def launched() -> Model:
    """The model that is launched."""
    return read_model(MODEL)


def detector_of(model: Model) -> OnnxDetector:
    """The detector as it flies, on one thread."""
    return OnnxDetector(model.graph, model.weights, model.spec, threads=1)


def frames(split: str) -> tuple[CocoImage, ...]:
    """The frames of a split."""
    return annotated().where(split=split).images


@functools.lru_cache(maxsize=4)
def pixels_of(image: Path) -> NDArray[np.uint8]:
    """A frame's pixels."""
    return next(np.asarray(entry.load()) for entry in annotated().images if entry.path == image)


def shuffled(images: tuple[CocoImage, ...], seed: int) -> list[CocoImage]:
    """The order of capture."""
    return random.Random(seed).sample(images, len(images))  # noqa: S311  # chance, not secrecy


def candidates(
    pixels: NDArray[np.uint8],
    look: Callable[[NDArray[np.uint8]], Detections] | None,
    rule: MiningRule,
    *,
    twice: bool,
) -> list[tuple[Candidate, bytes]]:
    """The tiles of a frame, encoded as the link's policy says, and what ``look`` finds in them, if it is given."""
    policy = LinkPolicy()
    found = Detections.none() if look is None else look(pixels)
    beyond = surprises(pixels, found, look) if look is not None and twice else Detections.none()
    is_hard = verdict(rule, lambda: 0.0)
    tiles = []
    for window in sample_windows(pixels.shape[1], pixels.shape[0]):
        tile, inside = cut(pixels, window), inside_of(found, window)
        data = encode_picture(tile, policy.codec, policy.quality)
        candidate = Candidate(
            window=window,
            found=inside,
            structure=structure_of(tile),
            signature=signature_of(tile),
            size=Bytes(len(data)),
            hard=is_hard(inside.take(inside.scores >= WORTH.nothing)),
            surprises=inside_of(beyond, window),
        )
        tiles.append((candidate, data))
    return tiles


class Satellite:
    """Chooses frame by frame: what a frame's share leaves over, the next ones may spend."""

    def __init__(self, contestant: Contestant, seed: int) -> None:
        self._contestant = contestant
        self._choose = contestant.chooser()
        self._seen = Seen()
        self._chance = random.Random(seed)  # noqa: S311  # chance, not secrecy
        self._allowance = 0.0
        self.captured = 0

    def observe(
        self, name: str, pixels: NDArray[np.uint8], look: Callable[[NDArray[np.uint8]], Detections]
    ) -> list[Sent]:
        """What is sent of one frame."""
        blind = self._contestant.selection in (Selection.RANDOM, Selection.EVERYTHING, Selection.CORE_SET)
        tiles = candidates(pixels, None if blind else look, self._contestant.rule, twice=self._contestant.looks_twice)
        whole = sum(candidate.size for candidate, _ in tiles)
        self.captured += whole
        self._allowance += self._contestant.share * whole
        data = {candidate.window: encoded for candidate, encoded in tiles}
        sent = []
        for choice in self._choose(
            [candidate for candidate, _ in tiles], Bytes(int(self._allowance)), self._seen, self._chance.random
        ):
            self._seen.add(choice.candidate.signature)
            self._allowance -= choice.candidate.size
            sent.append(Sent(frame=name, candidate=choice.candidate, data=data[choice.candidate.window]))
        return sent


def lessons_of(sent: list[Sent]) -> list[Lesson]:
    """One lesson a frame, labelled by truth, as the ground makes them; what was not sent is grey."""
    labels = ArchiveLabels(annotated())
    size = {image.path.name: (image.height, image.width) for image in frames("train")}
    made = []
    for frame in sorted({entry.frame for entry in sent}):
        canvas = np.full((*size[frame], 3), PAD, np.uint8)
        known = np.zeros(size[frame], bool)
        for entry in sent:
            if entry.frame == frame:
                x0, y0, x1, y1 = entry.candidate.window.box
                canvas[y0:y1, x0:x1] = decode_picture(entry.data, frame)
                known[y0:y1, x0:x1] = True
        truth = labels.label(frame, canvas, known)
        assert truth is not None, "the frames come from the annotations"
        made.append(Lesson(pixels=canvas, truth=Truth(boxes=truth.boxes, labels=truth.labels)))
    return made
