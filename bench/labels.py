"""Labels without hands: what the loop gains from a teacher's labels, beside ground truth and naive pseudo-labels.

Whoever labels, the same frames are learned from, as long, with every weight free, so that nothing but the labels
differs; a gain is that in mAP@0.5 over the launched model, on frames that nobody labels or learns from. Printed are
means with 95 % intervals (Student's t) over the seeds, and how good the labels themselves are.

    python -m bench.labels [--teacher FOLDER] [--seeds 3] [--steps 150] [--data FOLDER] [--for MINUTES]

Without a teacher (``make teacher`` trains one) only the launched model labels. With ``--data`` (or ``../shared/data``
beside the checkout) the training replays ``hrplanes/train`` as well. Figures are kept in ``build/bench/labels`` as they
are found; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.cells import Cells, Figure, Figures
from bench.intervals import interval
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.model_files import read_model
from orbitloop.domain.calibration import calibration_error, right_boxes
from orbitloop.domain.detection import Detections, Truth
from orbitloop.domain.tiling import Window, windows
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.reviews import Proposal
from orbitloop.ports.trainer import Lesson, Lessons
from orbitloop.wire.model_folder import DETECTOR, Model
from orbitloop_ground.adapters.coco import CocoImage, CocoSet, read_coco
from orbitloop_ground.adapters.labels import TileLabels, certain
from orbitloop_ground.adapters.pseudo_labels import Trust
from orbitloop_ground.adapters.teacher import Teacher, detector_of
from orbitloop_ground.adapters.teacher_files import read_teacher
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.finetune import FineTuning, TorchTrainer
from orbitloop_ground.usecases.page import Page
from orbitloop_mission.embedded.scenery import lesson_of, resized

OUT = Path("build/bench")
DATA = Path("examples/data/airbus-aircraft/annotations.json")
LAUNCHED = Path("examples/models/airplane-1m")
AIM = 0.85
TILE = 320
"""Side of the tiles that people would be shown, as they come down."""
NAIVE = 0.5
"""Score from which a naive self-label is an object."""
FREE = "teacher"
SOURCES = ("truth", FREE, "teacher, doubtful tiles by people", "launched, many views", "launched, one look")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """What all labellers share."""

    base: Model
    annotated: CocoSet
    frames: tuple[CocoImage, ...]
    old: list[Lesson]
    test: list[Lesson]
    teacher: Teacher | None
    launched: Teacher
    glance: Callable[[NDArray[np.uint8]], Detections]

    def page(self, image: CocoImage) -> Page:
        """A frame that came down whole."""
        pixels = np.asarray(image.load())
        return Page(pixels=pixels, known=np.ones(pixels.shape[:2], bool), opinion=certain(image.truth))


def load(data: Path, teacher: Path, console: Console) -> World:
    """Everything from disk; says what is not there."""
    base, annotated, compute = read_model(LAUNCHED), read_coco(DATA), Compute.best()
    old = [resized(lesson_of(image), 0.5) for image in annotated.where(split="val").images]
    archive = data / "hrplanes/annotations.json"
    if archive.exists():
        old += [lesson_of(image) for image in read_coco(archive).where(split="train").images]
    else:
        console.print(f"{archive} is not there: only the bundled old pictures are replayed")
    taught = (teacher / DETECTOR).exists()
    if not taught:
        console.print(f"{teacher} holds no teacher: only the launched model labels; make teacher trains one")
    return World(
        base=base,
        annotated=annotated,
        frames=annotated.where(split="train").images,
        old=old,
        test=[lesson_of(image) for image in annotated.where(split="test").images],
        teacher=read_teacher(teacher, base.spec.classes, compute) if taught else None,
        launched=read_teacher(LAUNCHED, base.spec.classes, compute),
        glance=detector_of(base, compute),
    )


def seen(world: World, source: str, image: CocoImage, kept: Cells) -> Detections:
    """What a labeller sees in a frame, before calibration; looked at once and kept."""
    labeller = world.teacher if source.startswith(FREE) else world.launched
    assert labeller is not None, "sources of a teacher are measured where there is one"
    glance = source == SOURCES[-1]
    key: dict[str, Figure] = {
        "what": "look",
        "by": labeller.name,
        "views": "one" if glance else repr(labeller.views),
        "frame": image.path.name,
    }

    def look() -> Figures:
        pixels = np.asarray(image.load())
        found = world.glance(pixels) if glance else labeller.scored(pixels)
        rows = [[*map(float, row)] for row in np.column_stack([found.boxes, found.scores, found.labels])]
        return {"found": json.dumps(rows)}

    table = np.array(json.loads(str(kept.get(key, look)["found"])), np.float64).reshape(-1, 6)
    return Detections(
        boxes=table[:, :4].astype(np.float32),
        scores=table[:, 4].astype(np.float32),
        labels=table[:, 5].astype(np.int64),
    )


def opinion(world: World, source: str, image: CocoImage, kept: Cells) -> Proposal:
    """What a labeller says of a frame."""
    if source == "truth":
        return certain(image.truth)
    found = seen(world, source, image, kept)
    if source == SOURCES[-1]:
        found = found.take(found.scores >= NAIVE)
        return certain(Truth(boxes=found.boxes, labels=found.labels))
    labeller = world.teacher if source.startswith(FREE) else world.launched
    assert labeller is not None
    trust, confidence = Trust(), labeller.calibration(found.scores)
    more = confidence > trust.background
    return Proposal(
        boxes=found.boxes[more],
        labels=found.labels[more],
        confidence=confidence[more],
        doubtful=confidence[more] < trust.object,
    )


def pages(world: World, source: str, kept: Cells) -> list[Page]:
    """The frames as one labeller sees them."""
    made = [world.page(image).labelled(opinion(world, source, image, kept)) for image in world.frames]
    if source != SOURCES[2]:
        return made
    answer = TileLabels(world.annotated)
    return [
        page.overruled({window: answer(image.path.name, window) for window in doubted(page)})
        for image, page in zip(world.frames, made, strict=True)
    ]


def doubted(page: Page) -> list[Window]:
    """The tiles that go to people."""
    height, width = page.known.shape
    return [tile for tile in windows(width, height, tile=TILE, overlap=0) if page.part(tile).doubtful.any()]


def quality(world: World, source: str, kept: Cells) -> dict[str, float]:
    """How good the labels themselves are, against the annotations of the frames that are learned from."""
    hits: list[NDArray[np.bool_]] = []
    doubtful, bare, worth, right = 0, [], [], []
    tiles = asked = 0
    for image in world.frames:
        said = opinion(world, source, image, kept)
        sure = ~said.doubtful
        objects = Detections(boxes=said.boxes[sure], scores=said.confidence[sure], labels=said.labels[sure])
        hits.append(right_boxes(objects, image.truth))
        doubtful += int(said.doubtful.sum())
        page = world.page(image).labelled(said)
        asked += len(doubted(page))
        tiles += len(windows(image.width, image.height, tile=TILE, overlap=0))
        if source != "truth":
            found = seen(world, source, image, kept)
            labeller = world.teacher if source.startswith(FREE) else world.launched
            assert labeller is not None
            bare.append(found.scores)
            worth.append(found.scores if source == SOURCES[-1] else labeller.calibration(found.scores))
            right.append(right_boxes(found, image.truth))
    every = np.concatenate(hits)
    figures = {
        "precision": float(every.mean()) if len(every) else 0.0,
        "recall": float(every.sum()) / sum(len(image.truth.labels) for image in world.frames),
        "boxes": float(len(every)),
        "doubtful_boxes": float(doubtful),
        "share_of_tiles_to_review": asked / tiles,
    }
    if bare:
        figures["calibration_error_before"] = calibration_error(np.concatenate(bare), np.concatenate(right))
        figures["calibration_error_after"] = calibration_error(np.concatenate(worth), np.concatenate(right))
    return figures


def learned(world: World, source: str, setting: tuple[int, int], kept: Cells) -> float:
    """mAP@0.5 on the test frames after training on a labeller's labels; ``setting`` is seed and steps."""
    seed, steps = setting
    lessons = [page.lesson() for page in pages(world, source, kept)]
    key: dict[str, Figure] = {
        "what": "learned",
        "base": weights_digest(world.base.weights),
        "lessons": _digest(lessons),
        "old": len(world.old),
        "seed": seed,
        "steps": steps,
    }

    def measure() -> Figures:
        trainer = TorchTrainer(FineTuning(steps=steps, seed=seed))
        weights = trainer.train_fully(world.base, Lessons(new=lessons, old=world.old), lambda *_: None)
        model = Model(spec=world.base.spec, weights=weights, graph=world.base.graph)
        return {"source": source, "map50": trainer.precision(model, world.test)}

    return float(kept.get(key, measure)["map50"] or 0.0)


def launched(world: World, kept: Cells) -> float:
    """mAP@0.5 on the test frames of the model that is launched."""

    def measure() -> Figures:
        return {"map50": TorchTrainer(FineTuning()).precision(world.base, world.test)}

    return float(kept.get({"what": "launched", "base": weights_digest(world.base.weights)}, measure)["map50"] or 0.0)


def _digest(lessons: Sequence[Lesson]) -> str:
    whole = hashlib.sha256()
    for lesson in lessons:
        for part in (lesson.pixels, lesson.truth.boxes, lesson.truth.labels):
            whole.update(np.ascontiguousarray(part).tobytes())
    return whole.hexdigest()


class Enough(Exception):
    """The time is over."""


def main() -> None:
    """Label, train, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, default=Path("build/teacher"))
    parser.add_argument("--seeds", type=int, default=3, choices=range(1, 11), metavar="N")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--for", dest="minutes", type=float, default=float("inf"), metavar="MINUTES")
    parser.add_argument("--only", action="append", choices=SOURCES, help="measure only these now, print nothing")
    told = parser.parse_args()
    console, until = Console(), time.monotonic() + 60 * told.minutes

    def on_cell(key: Mapping[str, Figure], measured: bool) -> None:
        if measured:
            console.print(f"measured {key['what']} {key.get('frame', key.get('seed', ''))}", highlight=False)
            if time.monotonic() > until:
                raise Enough

    kept = Cells(OUT / "labels", on_cell)
    world = load(told.data, told.teacher, console)
    there = [source for source in SOURCES if world.teacher is not None or not source.startswith(FREE)]
    try:
        base = launched(world, kept)
        found: dict[str, list[float]] = {source: [] for source in there}
        for seed in range(told.seeds):
            for source in told.only or there:
                found[source].append(learned(world, source, (seed, told.steps), kept))
    except Enough:
        console.print("the time is over; the same command goes on")
        return
    if told.only:
        return
    document = summary(base, found, {source: quality(world, source, kept) for source in there})
    document |= {"seeds": told.seeds, "steps": told.steps, "frames": len(world.frames)}
    write_durably(OUT / "labels.json", (json.dumps(document, indent=2) + "\n").encode())
    show(document, console)


def summary(base: float, found: Mapping[str, list[float]], labels: Mapping[str, dict[str, float]]) -> dict[str, object]:
    """What is written: means, 95 % half-widths, single figures. Gains are taken seed by seed."""
    gains = {
        source: [(value - base) / (truth - base) for value, truth in zip(values, found["truth"], strict=True)]
        for source, values in found.items()
    }
    free = FREE if FREE in found else "launched, many views"
    return {
        "launched_map50": base,
        "labels": [
            {
                "source": source,
                "map50": interval(values)[0],
                "map50_half_width_95": interval(values)[1],
                "gain_fraction": interval(gains[source])[0],
                "gain_fraction_half_width_95": interval(gains[source])[1],
                "map50_by_seed": values,
                **labels[source],
            }
            for source, values in found.items()
        ],
        "without_hands": free,
        "gain_fraction_without_hands": interval(gains[free])[0],
    }


def show(document: dict[str, object], console: Console) -> None:
    """The table, and whether the aim is met."""
    table = Table(
        "labels by", "mAP@0.5", "of the gain", "precision", "recall", "ECE before", "after", "tiles to people"
    )
    rows = document["labels"]
    assert isinstance(rows, list)
    for row in rows:
        errors = [row.get(f"calibration_error_{when}") for when in ("before", "after")]
        table.add_row(
            row["source"],
            f"{row['map50']:.3f} ± {row['map50_half_width_95']:.3f}",
            f"{row['gain_fraction']:.1%} ± {row['gain_fraction_half_width_95']:.1%}",
            f"{row['precision']:.3f}",
            f"{row['recall']:.3f}",
            *("" if error is None else f"{error:.3f}" for error in errors),
            f"{row['share_of_tiles_to_review']:.1%}",
        )
    console.print(f"launched model: mAP@0.5 {document['launched_map50']:.3f}", highlight=False)
    console.print(table)
    reached = document["gain_fraction_without_hands"]
    assert isinstance(reached, float)
    verdict = "met" if reached >= AIM else "missed"
    console.print(
        f"without hands ({document['without_hands']}): {reached:.1%} of the gain; {AIM:.0%} is wanted: {verdict}"
    )


if __name__ == "__main__":
    main()
