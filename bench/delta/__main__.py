"""What an update of how many bytes is worth: our encoders at several budgets, beside what others would send.

The launched model is trained on the flown train frames, three old pictures replayed, by the same steps for all; what a
training gains in mAP@0.5 on the eight test frames is told as a share of what the full one gains in single precision
with the same seed.

    python -m bench.delta [--seeds 0,1,2] [--steps 200] [--no-peers] [--keep]

Each figure is kept in ``build/bench/cells/delta``; what was stopped goes on. Writes ``build/bench/delta.json`` and
``delta.svg``; ``--keep`` also puts the points into the file by which the trainer chooses an encoder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.cells import Cells, Figure, Figures
from bench.delta.apply import applied
from bench.delta.peers import PEERS, TIANSUAN_BYTES, Missing, tensors_within
from bench.delta.table import Point, report
from bench.selection.rounds import OLD_SCALE
from bench.selection.scene import frames, launched
from rich.console import Console

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.units import Bytes
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.ports.trainer import Lessons
from orbitloop.wire.model_folder import Model, decode_weights, encode_weights
from orbitloop.wire.update import Step, Update, pack_update
from orbitloop.wire.update_streams import shapes_of
from orbitloop_ground.adapters.yolo.encoders import (
    FIXED_BYTES,
    Encoder,
    Heads,
    LowRankFactors,
    NormsAndBiases,
    SparseCoordinates,
)
from orbitloop_ground.adapters.yolo.finetune import FineTuning, TorchTrainer
from orbitloop_mission.embedded.scenery import lesson_of, resized

OUT = Path("build/bench")
FRONTIER = Path("ground-manager/src/orbitloop_ground/adapters/yolo/frontier.json")
LARGEST = "sparse within 360 kB"
OURS: dict[str, tuple[Encoder, int]] = {
    "gains and biases": (NormsAndBiases(), FIXED_BYTES),
    **{f"sparse within {size} kB": (SparseCoordinates(), 1000 * size) for size in (30, 60, 100, 150, 240, 300, 360)},
}
OTHERS: dict[str, tuple[Encoder, int]] = {
    "heads": (Heads(), 60_000),
    "low rank within 60 kB": (LowRankFactors(), 60_000),
    "low rank within 240 kB": (LowRankFactors(), 240_000),
    "sparse of 4 bits within 100 kB": (SparseCoordinates(limit=7), 100_000),
    "sparse of 1 bit within 100 kB": (SparseCoordinates(limit=1), 100_000),
}
"""Encoders of ours that are looked at once, with the first seed."""
TIANSUAN = "whole tensors, 3 MB (Tiansuan)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One training: its seed and its steps."""

    seed: int
    steps: int

    def trainer(self, encoder: Encoder | None = None) -> TorchTrainer:
        """What trains and measures."""
        return TorchTrainer(FineTuning(seed=self.seed, steps=self.steps, encoder=encoder))

    def lessons(self) -> Lessons:
        """The train frames, and old pictures."""
        old = [resized(lesson_of(image), OLD_SCALE) for image in frames("val")]
        return Lessons(new=[lesson_of(image) for image in frames("train")], old=old)

    def key(self, encoder: str) -> dict[str, Figure]:
        """All that decides a figure."""
        model = weights_digest(launched().weights)
        return {"encoder": encoder, "seed": self.seed, "steps": self.steps, "model": model}

    def fully_trained(self) -> Weights:
        """Every weight free; kept in a file."""
        path = OUT / "delta" / f"full-{self.seed}-{self.steps}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            weights = self.trainer().train_fully(launched(), self.lessons(), _say_nothing)
            write_durably(path, encode_weights(weights))
        return decode_weights(path.read_bytes(), str(path))

    def precision(self, weights: Weights) -> float:
        """mAP@0.5 on the test frames."""
        model = Model(spec=launched().spec, weights=weights, graph=launched().graph)
        return self.trainer().precision(model, [lesson_of(image) for image in frames("test")])


def ours(course: Course, encoder: Encoder, budget: int) -> Figures:
    """An encoder of ours within ``budget``: bytes as signed and packed, accuracy, and what applying it takes."""
    base = launched()
    trained = course.trainer(encoder).train(base, course.lessons(), Bytes(budget), _say_nothing)
    changes = tuple(change for step in trained.steps for change in step)
    digest = weights_digest(trained.weights)
    update = Update(base=weights_digest(base.weights), steps=(Step(changes=changes, result=digest),))
    data = pack_update(update, lambda message: bytes(64), shapes_of(base.weights))
    seconds, memory = applied(base.weights, data)
    return {
        "bytes": len(data),
        "map50": course.precision(trained.weights),
        "apply_seconds": seconds,
        "apply_memory": memory,
    }


def tiansuan(course: Course) -> Figures:
    """Whole tensors of 3 MB, trained alone."""
    base, full = launched(), course.fully_trained()
    names = frozenset(tensors_within(base.weights, full))
    weights = course.trainer().train_fully(base, course.lessons(), _say_nothing, names)
    return {
        "bytes": sum(base.weights[name].nbytes for name in names),
        "map50": course.precision(weights),
        "most_bytes": TIANSUAN_BYTES,
    }


def peer(course: Course, name: str) -> Figures:
    """What a peer sends of the full training, or why it cannot."""
    try:
        sent = PEERS[name](launched().weights, course.fully_trained())
    except Missing as why:
        return {"missing": str(why)}
    return {"bytes": sent.bytes, "map50": course.precision(sent.weights)}


def _say_nothing(step: int, steps: int, loss: float) -> None:
    """A cell says when it is done."""


def points(measured: Mapping[str, Mapping[int, Figures]], base: float) -> list[Point]:
    """Each encoder's figures over the seeds."""
    full = {seed: float(found["map50"] or 0) for seed, found in measured["full fp32"].items()}
    made = []
    for name, runs in measured.items():
        there = {seed: found for seed, found in runs.items() if "missing" not in found}
        if there:
            made.append(
                Point(
                    encoder=name,
                    bytes=[float(found["bytes"] or 0) for found in there.values()],
                    map50=[float(found["map50"] or 0) for found in there.values()],
                    gains=[(float(found["map50"] or 0) - base) / (full[seed] - base) for seed, found in there.items()],
                )
            )
    return made


def frontier(found: list[Point]) -> str:
    """The points of ours that every seed has, as the trainer reads them."""
    of = {name: encoder.name for name, (encoder, _) in OURS.items()}
    told = [
        {"encoder": of[point.encoder], "bytes": round(point.size), "gain_fraction": round(point.gain, 3)}
        for point in sorted(found, key=lambda point: point.size)
        if point.encoder in of
    ]
    return json.dumps(told, indent=1) + "\n"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--no-peers", action="store_true", help="only ours and the full training")
    parser.add_argument("--keep", action="store_true", help=f"write {FRONTIER} too, which the trainer chooses by")
    given = parser.parse_args()
    console = Console()
    cells = Cells(OUT / "cells/delta", lambda key, new: console.print(f"measured {dict(key)}") if new else None)
    measured: dict[str, dict[int, Figures]] = {}
    courses = [Course(seed=int(seed), steps=given.steps) for seed in given.seeds.split(",")]
    key = {"encoder": "launched", "model": weights_digest(launched().weights)}
    base = float(cells.get(key, lambda: {"map50": courses[0].precision(launched().weights)})["map50"] or 0)
    for course in courses:
        contestants = {"full fp32": partial(peer, course, "full fp32")}
        mine = OURS | OTHERS if course is courses[0] else OURS
        contestants |= {name: partial(ours, course, *of) for name, of in mine.items()}
        if not given.no_peers:
            contestants[TIANSUAN] = partial(tiansuan, course)
        if not given.no_peers and course is courses[0]:  # what they send hardly depends on the seed
            contestants |= {name: partial(peer, course, name) for name in PEERS if name != "full fp32"}
        for name, measure in contestants.items():
            measured.setdefault(name, {})[course.seed] = cells.get(course.key(name), measure)
    applying = measured[LARGEST].values()  # what takes longest
    extra = {
        "launched_map50": base,
        "steps": given.steps,
        "seeds": [course.seed for course in courses],
        "apply_seconds": max(float(found["apply_seconds"] or 0) for found in applying),
        "apply_memory": max(float(found["apply_memory"] or 0) for found in applying),
        "missing": {
            name: found["missing"] for name, runs in measured.items() for found in runs.values() if "missing" in found
        },
    }
    found = points(measured, base)
    document, picture = report(found, extra, frozenset(OURS | OTHERS), console)
    write_durably(OUT / "delta.json", (json.dumps(document, indent=2) + "\n").encode())
    write_durably(OUT / "delta.svg", picture.encode())
    if given.keep:
        write_durably(FRONTIER, frontier(found).encode())


if __name__ == "__main__":
    main()
