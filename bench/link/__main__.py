"""What the space link carries, beside its peers, on live processes; printed, and written to build/bench/link.json.

    python -m bench.link [--only steady,passes,replay,idle,planning] [--trace FILE] [--seconds 60]

The recorded pass is ``../shared/traces/*.csv`` beside the checkout, or ``--trace``; without one, or without root, the
replay says so and is left out. All of it takes about half an hour, most of that the five replays of five minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import link_planning
from bench.link import idle, passes, replay, steady
from rich.console import Console
from rich.table import Table

from orbitloop.adapters.durable import write_durably

PARTS = ("steady", "passes", "idle", "planning", "replay")
TRACES = Path("../shared/traces")
_SEEDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A figure that is wanted: at least, or at most, ``bound``."""

    what: str
    bound: float
    least: bool = True

    def met(self, figure: float) -> bool:
        """Whether ``figure`` is good enough."""
        return figure >= self.bound if self.least else figure <= self.bound


TARGETS = {
    "goodput_down_fraction": Target(what="clean pass, down: acknowledged over 100 Mbit/s", bound=0.97),
    "goodput_up_fraction": Target(what="the same pass, up: fetched over 1 Mbit/s", bound=0.95),
    "replay_fraction.ours": Target(what="recorded pass: acknowledged over good frames' payload", bound=0.90),
    "resent_fraction": Target(what="30 MB over passes at 1 Mbit/s: sent twice", bound=0.01, least=False),
    "value_vs_fifo": Target(what="value a pass at twice its load, over first-in-first-out", bound=2.0),
    "value_vs_optimum": Target(what="value a pass, over the exact optimum, worst case", bound=0.90),
    "controller_rss_mb": Target(what="idle Local Controller, resident MB", bound=60.0, least=False),
    "controller_cpu": Target(what="idle Local Controller, share of a core", bound=0.01, least=False),
}


def measure_steady(folder: Path, seconds: float) -> dict[str, Any]:
    """Both layers on a clean pass."""
    found = {layer: steady.measure(folder / f"steady-{layer}", layer=layer, seconds=seconds) for layer in _LAYERS}
    ours = found["datagrams"]
    return {
        "goodput_down_fraction": ours.down,
        "goodput_up_fraction": ours.up,
        "steady": {layer: asdict(each) for layer, each in found.items()},
    }


def measure_passes(folder: Path, _: float) -> dict[str, Any]:
    """A model of 30 MB, by the layer that the satellite takes of itself."""
    carried = passes.measure(folder / "passes")
    return {"resent_fraction": carried.resent, "passes": asdict(carried)}


def measure_idle(folder: Path, _: float) -> dict[str, Any]:
    """The Local Controller between passes, after one by either layer; the heavier one counts."""
    found = {layer: idle.measure(folder / f"idle-{layer}", layer=layer) for layer in _LAYERS}
    return {
        "controller_rss_mb": max(each.resident_mb for each in found.values()),
        "controller_cpu": max(each.cpu for each in found.values()),
        "idle": {layer: asdict(each) for layer, each in found.items()},
    }


def measure_planning(_: Path, __: float) -> dict[str, Any]:
    """The pass planner over several seeds: means, and the worst case against the optimum."""
    runs = [link_planning.measure(seed) for seed in range(_SEEDS)]
    return {
        "value_vs_fifo": statistics.fmean(run["value_vs_fifo"] for run in runs),
        "value_vs_fifo_bound": statistics.fmean(run["value_vs_fifo_bound"] for run in runs),
        "value_vs_optimum": min(run["value_vs_optimum"] for run in runs),
        "planning": runs,
    }


def measure_replay(folder: Path, trace: Path, who: tuple[str, ...], side_by_side: int) -> dict[str, Any]:
    """Ours and the peers, each on a link and in processes of its own."""

    def replayed(each: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "bench.link.replay", each, "--trace", str(trace), "--folder", str(folder)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise SystemExit(f"replay of {each}: {ran.stderr[-2_000:]}")
        return dict(json.loads(ran.stdout))

    with ThreadPoolExecutor(side_by_side) as threads:
        found = dict(zip(who, threads.map(replayed, who), strict=True))
    fractions = {name: found[name]["fraction"] for name in who}
    if "datagrams" in fractions:
        fractions["ours"] = fractions["datagrams"]
    return {"replay_fraction": fractions, "replay": found}


_LAYERS = ("datagrams", "http")
_MEASURES: dict[str, Callable[[Path, float], dict[str, Any]]] = {
    "steady": measure_steady,
    "passes": measure_passes,
    "idle": measure_idle,
    "planning": measure_planning,
}


def flattened(figures: dict[str, Any]) -> dict[str, float]:
    """The figures that have a target, by the target's name."""
    ours = figures.get("replay_fraction", {}).get("ours")
    flat = {name: figures[name] for name in TARGETS if name in figures}
    return flat if ours is None else flat | {"replay_fraction.ours": ours}


def show(console: Console, figures: dict[str, Any]) -> None:
    """The figures beside what is wanted, and ours beside the peers'."""
    table = Table("figure", "wanted", "reached", "")
    for name, figure in flattened(figures).items():
        target = TARGETS[name]
        sign = "≥" if target.least else "≤"
        met = target.met(figure)
        table.add_row(
            target.what,
            f"{sign} {target.bound:g}",
            f"{figure:.4g}",
            "met" if met else "missed",
            style="" if met else "red",
        )
    console.print(table)
    if "steady" in figures:
        rows = Table("clean pass by", "down", "up", "satellite's core", "ground's core", "link's core")
        for layer, each in figures["steady"].items():
            cores = (f"{each[side]:.0%}" for side in ("satellite_cpu", "ground_cpu", "link_cpu"))
            rows.add_row(layer, f"{each['down']:.1%}", f"{each['up']:.1%}", *cores)
        console.print(rows)
    if "idle" in figures:
        rows = Table("idle Local Controller after", "resident", "of a core")
        for layer, each in figures["idle"].items():
            rows.add_row(layer, f"{each['resident_mb']:.1f} MB", f"{each['cpu']:.2%}")
        console.print(rows)
    if "replay" in figures:
        rows = Table("recorded pass by", "acknowledged", "of the good frames", "frames' bytes used", "up")
        for who, each in figures["replay"].items():
            rows.add_row(
                who,
                f"{each['acknowledged'] / 1e6:.1f} MB",
                f"{each['fraction']:.1%}",
                f"{each['delivered'] / each['offered']:.1%}",
                f"{each['upward'] / 1e6:.2f} MB",
            )
        console.print(rows)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--who", default=",".join(replay.WHO), help="of the replay: " + ", ".join(replay.WHO))
    parser.add_argument("--side-by-side", type=int, default=1, help="replays at a time; each takes about a core")
    parser.add_argument("--trace", type=Path, help="CSV of a recorded pass")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the clean pass")
    parser.add_argument("--folder", type=Path, default=Path("build/link"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/link.json"))
    given = parser.parse_args()
    console = Console(stderr=True)
    wanted = given.only.split(",")
    figures: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() and wanted != list(PARTS) else {}
    for part in wanted:
        console.print(f"measuring: {part}", style="bold")
        if part == "replay":
            trace = given.trace or next(iter(sorted(TRACES.glob("*.csv"))), None)
            if trace is None or os.geteuid() != 0:
                why = f"no recorded pass in {TRACES}; name one with --trace" if trace is None else "it needs root"
                console.print(f"not measured: the replay: {why}", style="yellow")
                continue
            figures |= measure_replay(given.folder / "replay", trace, tuple(given.who.split(",")), given.side_by_side)
        else:
            figures |= _MEASURES[part](given.folder, given.seconds)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        write_durably(given.out, json.dumps(figures, indent=2).encode())
    show(console, figures)
    console.print(f"{given.out}")


if __name__ == "__main__":
    main()
