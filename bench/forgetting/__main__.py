"""What is forgotten: five rounds over new sites, in two orders, by what training does against it.

Each round trains what flies on the frames of all sites that were seen so far, as the loop does, within the same budget
and with the same steps for every way of keeping. After it, mAP@0.5 on old pictures that were never trained on, and on
the new test frames.

    python -m bench.forgetting [--seeds 0] [--steps 150] [--only replay,distillation] [--data ../shared/data]

The old domain is HRPlanes, which the launched model comes from: its train split is what may be replayed, its test split
is measured. Where it is not there, the bundled frames at half their scale stand in, and that is said. Each run is kept
in ``build/bench/cells/forgetting``. Writes ``build/bench/forgetting.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.cells import Cells, Figure, Figures
from bench.intervals import interval
from bench.selection.rounds import OLD_SCALE
from bench.selection.scene import frames, launched
from rich.console import Console
from rich.table import Table

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.keeping import Keeping
from orbitloop.domain.units import Bytes
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.trainer import Lesson, Lessons
from orbitloop.wire.model_folder import Model
from orbitloop_ground.adapters.coco import read_coco
from orbitloop_ground.adapters.yolo.finetune import FineTuning, TorchTrainer
from orbitloop_mission.embedded.scenery import lesson_of, resized

OUT = Path("build/bench")
BUDGET = Bytes(240_000)
SITES = ((14,), (20, 27), (16, 29), (0, 6), (10,))
"""Of the train frames, round by round: two of warm ground, three of cool."""
ORDERS = {"warm first": SITES, "cool first": SITES[::-1]}
AIM_POINTS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Old:
    """The old domain: what it is, what may be replayed of it, and what is measured."""

    name: str
    archive: list[Lesson]
    test: list[Lesson]


def old_domain(data: Path, console: Console) -> Old:
    """HRPlanes, or the bundled frames at half their scale."""
    annotations = data / "hrplanes/annotations.json"
    if annotations.exists():
        known = read_coco(annotations)
        archive, test = ([lesson_of(each) for each in known.where(split=name).images] for name in ("train", "test"))
        return Old(name="hrplanes", archive=archive, test=test)
    console.print(f"{annotations} is not there: the bundled frames at half their scale are the old domain")
    archive, test = ([resized(lesson_of(each), OLD_SCALE) for each in frames(name)] for name in ("val", "test"))
    return Old(name="bundled, halved", archive=archive, test=test)


def run(old: Old, keeping: Keeping, order: Sequence[tuple[int, ...]], *, seed: int, steps: int) -> Figures:
    """All rounds; after each what is left of the old domain, at the end what was gained of the new."""
    trainer = TorchTrainer(FineTuning(steps=steps, seed=seed, keeping=keeping))
    new = [lesson_of(image) for image in frames("test")]
    flying, found = launched(), Figures()
    for number in range(1, len(order) + 1):
        seen = {site for sites in order[:number] for site in sites}
        lessons = [lesson_of(image) for image in frames("train") if image.extra["site"] in seen]
        made = trainer.train(flying, Lessons(new=lessons, old=old.archive), BUDGET, lambda step, of, loss: None)
        flying = Model(spec=flying.spec, weights=made.weights, graph=flying.graph)
        found[f"old_{number}"] = trainer.precision(flying, old.test)
    found["new"] = trainer.precision(flying, new)
    return found


def start(old: Old) -> Figures:
    """What the launched model reaches."""
    trainer = TorchTrainer(FineTuning())
    new = [lesson_of(image) for image in frames("test")]
    return {"old": trainer.precision(launched(), old.test), "new": trainer.precision(launched(), new)}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--only", default=",".join(Keeping))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    given = parser.parse_args()
    console = Console()
    cells = Cells(OUT / "cells/forgetting", lambda key, new: console.print(f"measured {dict(key)}") if new else None)
    old = old_domain(given.data, console)
    common: dict[str, Figure] = {"old": old.name, "model": weights_digest(launched().weights)}
    before = cells.get(common | {"keeping": "launched"}, partial(start, old))
    rows = []
    for way in [Keeping(name) for name in given.only.split(",")]:
        for name, order in ORDERS.items():
            runs = []
            for seed in [int(text) for text in given.seeds.split(",")]:
                key = common | {
                    "keeping": str(way),
                    "order": name,
                    "seed": seed,
                    "steps": given.steps,
                    "lessons": "all so far",
                }
                runs.append(cells.get(key, partial(run, old, way, order, seed=seed, steps=given.steps)))
            rows.append(row(way, name, runs, before))
    document = {
        "old_domain": old.name,
        "launched": before,
        "steps_a_round": given.steps,
        "budget_bytes": BUDGET,
        "methods": rows,
    }
    write_durably(OUT / "forgetting.json", (json.dumps(document, indent=2) + "\n").encode())
    show(rows, before, console)


def row(way: Keeping, order: str, runs: list[Figures], before: Figures) -> dict[str, object]:
    """One way of keeping in one order, over the seeds; points are hundredths of mAP@0.5."""
    rounds = range(1, len(SITES) + 1)
    by_round = [
        interval([100 * (number(before, "old") - number(found, f"old_{at}")) for found in runs])[0] for at in rounds
    ]
    lost = [100 * (number(before, "old") - number(found, f"old_{len(SITES)}")) for found in runs]
    return {
        "name": str(way),
        "order": order,
        "lost_points": interval(lost)[0],
        "lost_points_half_width_95": interval(lost)[1],
        "lost_points_by_round": by_round,
        "gain": interval([number(found, "new") - number(before, "new") for found in runs])[0],
        "seeds": len(runs),
    }


def number(figures: Figures, name: str) -> float:
    """A figure as a number."""
    return float(figures[name] or 0)


def show(rows: list[dict[str, object]], before: Figures, console: Console) -> None:
    """The table, and whether the aim was met."""
    table = Table("against forgetting", "order", "points lost after each round", "gained on the new, mAP@0.5")
    for each in rows:
        lost = each["lost_points_by_round"]
        assert isinstance(lost, list)
        table.add_row(
            str(each["name"]), str(each["order"]), " ".join(f"{at:.1f}" for at in lost), f"{each['gain']:+.3f}"
        )
    console.print(f"launched: {number(before, 'old'):.3f} on old ground, {number(before, 'new'):.3f} on new")
    console.print(table)
    for name in dict.fromkeys(str(each["name"]) for each in rows):
        worst = max(float(str(each["lost_points"])) for each in rows if each["name"] == name)
        said = "met" if worst <= AIM_POINTS else "missed"
        console.print(f"{name}: {worst:.1f} points lost at worst (aim {AIM_POINTS:g}): {said}")


if __name__ == "__main__":
    main()
