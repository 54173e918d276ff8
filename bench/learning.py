"""What the learning loop is worth: missions over several seeds, beside what sending everything would reach.

Every seed flies a whole mission (``orbitloop demo --reference``): other chance in training, audit and the order of the
frames. The reference in the same run learns as long from every captured frame, with every weight free and in full
precision. Printed are means with 95 % intervals (Student's t) over the seeds; each single figure is in
``build/bench/learning.json``.

    python -m bench.learning [--seeds 3] [--steps 300] [--data FOLDER]

With ``--data`` (or ``../shared/data`` beside the checkout) the ground replays ``hrplanes/train``, which the launched
model comes from, and forgetting is measured on ``hrplanes/test`` as well.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.intervals import interval
from rich.console import Console
from rich.table import Table

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.detection import mean_average_precision
from orbitloop.wire.model_folder import Model
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_ground.adapters.coco import read_coco
from orbitloop_mission.cli.console import Terminal
from orbitloop_mission.embedded.flight import Flown, fly
from orbitloop_mission.embedded.plan import MissionPlan
from orbitloop_mission.embedded.scenery import lesson_of
from orbitloop_mission.embedded.telling import report_of


def figures(flown: Flown, old_set: Path | None) -> dict[str, float]:
    """The figures of one mission."""
    report, _ = report_of(flown)
    totals, rounds = report.totals, report.rounds
    reference = rounds[-1].map50_all_data
    gain = totals.map50_new_final - totals.map50_new_base
    found = {
        "map50_new_base": totals.map50_new_base,
        "map50_new_final": totals.map50_new_final,
        "gain": gain,
        "downlinked_fraction": totals.downlinked_bytes / totals.captured_bytes,
        "largest_delta_bytes": float(max(entry.delta_bytes for entry in rounds)),
        "updates_applied": float(sum(entry.outcome.value == "applied" for entry in rounds)),
        "lost_on_old_halved": totals.map50_old_base - totals.map50_old_final,
        "dropped_frames": float(totals.dropped_frames),
        "lost_samples": float(totals.lost_samples),
        "wall_seconds": totals.wall_seconds,
    }
    if reference is not None:
        found["map50_all_data"] = reference
        found["gain_fraction"] = gain / (reference - totals.map50_new_base)
    if old_set is not None:
        found["lost_on_hrplanes_test"] = precision(flown.base, old_set) - precision(flown.final, old_set)
    return found


def precision(model: Model, annotations: Path) -> float:
    """mAP@0.5 on the split test of a set."""
    detector = OnnxDetector(model.graph, model.weights, model.spec)
    lessons = [lesson_of(image) for image in read_coco(annotations).where(split="test").images]
    return mean_average_precision(
        [detector.detect(lesson.pixels) for lesson in lessons], [lesson.truth for lesson in lessons]
    )


def main() -> None:
    """Fly, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, choices=range(1, 11), metavar="N")
    parser.add_argument("--steps", type=int, default=MissionPlan.__dataclass_fields__["steps"].default)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    console = Console()
    old_set = arguments.data / "hrplanes/annotations.json"
    if not old_set.exists():
        console.print(f"{old_set} is not there: forgetting is measured on the bundled frames only")
        old_set = None
    runs = []
    for seed in range(arguments.seeds):
        console.rule(f"seed {seed}")
        plan = MissionPlan(
            out=Path(f"build/bench/learning-{seed}"),
            data=Path("examples/data/airbus-aircraft/annotations.json"),
            archive=old_set,
            model=Path("examples/models/airplane-1m"),
            seed=seed,
            steps=arguments.steps,
            reference=True,
        )
        with Terminal(console) as terminal:
            runs.append(figures(fly(plan, terminal), old_set))
        write(runs, arguments.steps)
    show(runs, console)


def write(runs: list[dict[str, float]], steps: int) -> None:
    """Everything so far, after every seed: a bench that was stopped is not lost."""
    summary = {name: interval([run[name] for run in runs]) for name in runs[0]}
    document = {
        "seeds": len(runs),
        "steps": steps,
        "runs": runs,
        "mean": {name: mean for name, (mean, _) in summary.items()},
        "half_width_95": {name: half for name, (_, half) in summary.items()},
    }
    Path("build/bench").mkdir(parents=True, exist_ok=True)
    write_durably(Path("build/bench/learning.json"), (json.dumps(document, indent=2) + "\n").encode())


def show(runs: list[dict[str, float]], console: Console) -> None:
    """The table."""
    table = Table("figure", "mean", "± 95 %", *[f"seed {seed}" for seed in range(len(runs))])
    for name in runs[0]:
        mean, half = interval([run[name] for run in runs])
        table.add_row(name, f"{mean:,.4g}", f"{half:,.3g}", *[f"{run[name]:,.4g}" for run in runs])
    console.print(table)


if __name__ == "__main__":
    main()
