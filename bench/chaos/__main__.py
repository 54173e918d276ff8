"""A thousand seeded faults on live processes: what was lost, doubled, stuck, or flew and may not.

    python -m bench.chaos [--faults 1000] [--seed 0] [--worlds 2] [--out build/bench/chaos.json]

The faults are dealt out to worlds of ``--per-world`` faults, each with a seed of its own: seed, seed + 1, ... A world
that fails names its seed, and ``--seed S --faults N`` with its N deals out the same faults again. Odd seeds use
datagrams, even ones HTTP.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from bench.chaos.faults import offer_update, possible
from bench.chaos.world import Verdict, World
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from orbitloop.adapters.durable import write_durably


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One world: its seed, what befell it and how it ended."""

    seed: int
    layer: str
    faults: dict[str, int]
    verdict: Verdict
    seconds: float


def fly(seed: int, faults: int, folder: Path, *, small_disks: bool, told: Callable[[], None]) -> Outcome:
    """One world and its faults, all from ``seed``."""
    rng = np.random.default_rng(seed)
    layer = "datagrams" if seed % 2 else "http"
    dealt = possible(small_disks=small_disks)[0]
    names = list(dealt)
    weights = np.array([weight for _, weight in dealt.values()], float)
    begun = time.monotonic()
    befell: Counter[str] = Counter()
    with World(folder, layer=layer, rate=20.0, small_disks=small_disks) as world:
        time.sleep(2.0)  # something to befall
        for number in range(faults):
            if number % 5 == 0:
                offer_update(world, rng)
            name = str(rng.choice(names, p=weights / weights.sum()))
            dealt[name][0](world, rng)
            befell[name] += 1
            time.sleep(rng.uniform(0.05, 0.7))
            world.watch()
            told()
        verdict = world.settle(seconds=120.0)
    return Outcome(
        seed=seed, layer=layer, faults=dict(befell), verdict=verdict, seconds=round(time.monotonic() - begun, 1)
    )


def summary(outcomes: list[Outcome], missing: dict[str, str]) -> dict[str, object]:
    """All worlds together, as ``chaos.json``."""
    total: Counter[str] = Counter()
    for outcome in outcomes:
        total.update(outcome.faults)
    figures = ("made", "flown", "lost", "duplicated", "invented", "stuck", "wrong_models")
    return {
        "faults": sum(total.values()),
        **{name: sum(getattr(outcome.verdict, name) for outcome in outcomes) for name in figures},
        "by_fault": dict(sorted(total.items())),
        "not_possible_here": missing,
        "worlds": [asdict(outcome) for outcome in outcomes],
    }


def show(console: Console, outcomes: list[Outcome], missing: dict[str, str]) -> None:
    """A table of the worlds, and what has to be said beside it."""
    table = Table("seed", "layer", "faults", "samples", "updates", "lost", "duplicated", "stuck", "wrong models", "s")
    for outcome in outcomes:
        verdict = outcome.verdict
        table.add_row(
            str(outcome.seed),
            outcome.layer,
            str(sum(outcome.faults.values())),
            str(verdict.made),
            str(verdict.flown),
            str(verdict.lost),
            str(verdict.duplicated + verdict.invented),
            str(verdict.stuck),
            str(verdict.wrong_models),
            f"{outcome.seconds:.0f}",
            style=None if verdict.clean else "red",
        )
    console.print(table)
    for name, why in missing.items():
        console.print(f"not tried: {name}: {why}", style="yellow")
    for outcome in outcomes:
        for note in outcome.verdict.notes:
            console.print(f"seed {outcome.seed}: {note}", style="red", markup=False)


def main() -> int:
    """Run it; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=1_000)
    parser.add_argument("--per-world", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worlds", type=int, default=2, help="worlds side by side")
    parser.add_argument("--folder", type=Path, default=Path("build/chaos"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/chaos.json"))
    given = parser.parse_args()
    small_disks = os.geteuid() == 0
    missing = possible(small_disks=small_disks)[1]
    shares = [min(given.per_world, given.faults - first) for first in range(0, given.faults, given.per_world)]
    console = Console(stderr=True)
    columns = (TextColumn("faults"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(given.worlds) as side_by_side:
        task = progress.add_task("faults", total=given.faults)
        flying = [
            side_by_side.submit(
                fly,
                given.seed + number,
                share,
                given.folder / f"seed-{given.seed + number}",
                small_disks=small_disks,
                told=lambda: progress.advance(task),
            )
            for number, share in enumerate(shares)
        ]
        outcomes = [each.result() for each in flying]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_durably(given.out, json.dumps(summary(outcomes, missing), indent=2).encode())
    show(console, outcomes, missing)
    console.print(f"{given.out}")
    return 0 if all(outcome.verdict.clean for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
