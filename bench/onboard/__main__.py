"""How fast the eye on board is: one frame of 2560² pixels, with one thread and two, beside its peers.

Every engine runs in a process of its own, over the same tiles, with the same decoding and suppression, and the same
float32 weights; ours in integers makes them of those. Rounds are interleaved, so that what disturbs the machine
disturbs all alike. Printed are means with 95 % intervals over the rounds, and the accuracy over the eight test frames;
``build/bench/onboard.json`` has them, and as ``speedup_over_best_peer`` the lesser of one thread's and two's, since
whatever else runs disturbs two most. Each round is kept in ``build/bench/cells/onboard``: a run that was stopped goes
on, and another machine or other code is measured once that folder is deleted.

    python -m bench.onboard [--rounds 5] [--minutes 0]

OpenCV and ultralytics are installed into ``build/bench/peers``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bench.cells import Cells, Figures
from bench.intervals import interval
from bench.onboard.engine import UNTRAINED
from bench.onboard.peers import pythons
from rich.console import Console
from rich.table import Table

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.model_files import read_model
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput
from orbitloop_ground.adapters.coco import read_coco
from orbitloop_mission.cli.quantising import quantise_model

MODEL = Path("examples/models/airplane-1m")
FRAMES = Path("examples/data/airbus-aircraft/annotations.json")
OUT = Path("build/bench")
INTEGERS = OUT / "onboard-int8"
AIM_SPEEDUP, AIM_MB, AIM_MAP = 2.0, 250.0, 0.005
OURS = ("ours fp32", "ours int8")


@dataclass(slots=True, kw_only=True)
class Run:
    """One engine with so many threads, and what its rounds brought."""

    engine: str
    threads: int
    python: Path
    rounds: list[Figures] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    @property
    def folder(self) -> Path:
        """Of its model."""
        return INTEGERS if self.engine == "ours int8" else MODEL

    @property
    def key(self) -> dict[str, str | int]:
        """What it is called among the cells, but for the round."""
        graph = digest_of((self.folder / "graph.onnx").read_bytes())
        return {"engine": self.engine, "threads": self.threads, "graph": graph}

    def look(self) -> Figures:
        """Look at the frame once; the first time, start the process and wait until it has warmed up."""
        if self.process is None:
            command = self._command(OUT / "onboard-frame.npy")
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._environment()
            )
            while (said := self._line()) != "ready":  # ultralytics greets
                if not said:
                    raise BadInput(f"{self.engine} did not start; its own complaint is above")
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        found: Figures = json.loads(self._line())
        return found

    def accuracy(self) -> Figures:
        """mAP@0.5 over the test frames."""
        done = subprocess.run(
            self._command(FRAMES), stdout=subprocess.PIPE, text=True, env=self._environment(), check=False
        )
        if done.returncode:
            raise BadInput(f"{self.engine} did not end well; its own complaint is above")
        return {"map50": float(done.stdout.splitlines()[-1])}

    def end(self) -> None:
        """Let the process end."""
        if self.process is not None:
            self.process.communicate()

    def figures(self, accuracy: float | None) -> dict[str, Any]:
        """What is reported."""
        fps, half = interval([1 / float(each["seconds"] or 0) for each in self.rounds])
        return {
            "name": self.engine,
            "threads": self.threads,
            "fps": fps,
            "fps_half_width": half,
            "peak_rss_mb": max(float(each["peak_rss_mb"] or 0) for each in self.rounds),
            "map50": accuracy,
            "boxes": self.rounds[-1]["boxes"],
            "rounds": len(self.rounds),
        }

    def _command(self, shown: Path) -> list[str]:
        arguments = [self.engine, str(self.threads), str(self.folder), str(shown)]
        return [str(self.python), "-m", "bench.onboard.engine", *arguments]

    def _environment(self) -> dict[str, str]:
        one = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        return os.environ | one | {"YOLO_CONFIG_DIR": str((OUT / "peers/ultralytics").resolve())}

    def _line(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def prepared() -> None:
    """The frame, and the model in integers, where they are not there yet."""
    frame = OUT / "onboard-frame.npy"
    if not frame.exists():
        np.save(frame, np.asarray(read_coco(FRAMES).where(split="test").images[0].load()))
    if not (INTEGERS / "integers.json").exists():
        quantise_model(FRAMES, MODEL, INTEGERS, tiles=64, weight_bits=8)
    read_model(INTEGERS)


def measured(runs: list[Run], cells: Cells, rounds: int, minutes: float) -> dict[str, float]:
    """All rounds of all engines, one after the other in each round; the engines' accuracy.

    Raises:
        BadInput: an engine does not run.
        TimeoutError: the minutes are over.
    """
    until = time.monotonic() + 60 * minutes if minutes else float("inf")
    accuracies: dict[str, float] = {}
    for run in runs:
        if run.threads == 1 and run.engine != UNTRAINED:
            _in_time(until)
            accuracies[run.engine] = float(cells.get(run.key | {"what": "accuracy"}, run.accuracy)["map50"] or 0)
    try:
        for number in range(rounds):
            for run in runs:
                _in_time(until)
                run.rounds.append(cells.get(run.key | {"round": number}, run.look))
    finally:
        for run in runs:
            run.end()
    return accuracies


def _in_time(until: float) -> None:
    if time.monotonic() > until:
        raise TimeoutError("the minutes are over; the same command goes on")


def best(engines: list[dict[str, Any]]) -> dict[str, Any]:
    """The fastest of ours that is as accurate as float32, within half a point."""
    exact = next(each["map50"] for each in engines if each["name"] == OURS[0])
    mine = [each for each in engines if each["name"] in OURS and each["map50"] >= exact - AIM_MAP]
    return max(mine, key=lambda each: float(each["fps"]))


def speedup(engines: list[dict[str, Any]], threads: int) -> float:
    """The best of ours beside the fastest peer with as many threads."""
    these = [each for each in engines if each["threads"] == threads]
    return float(best(these)["fps"] / max(each["fps"] for each in these if each["name"] not in OURS))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, choices=range(2, 11), metavar="2-10")
    parser.add_argument("--minutes", type=float, default=0, help="stop after so many; 0: to the end")
    arguments = parser.parse_args()
    console = Console()
    OUT.mkdir(parents=True, exist_ok=True)
    prepared()
    interpreters, left_out = pythons(OUT)
    runs = [
        Run(engine=name, threads=threads, python=python) for threads in (1, 2) for name, python in interpreters.items()
    ]
    try:
        accuracies = measured(runs, Cells(OUT / "cells/onboard"), arguments.rounds, arguments.minutes)
    except TimeoutError as error:
        console.print(str(error))
        sys.exit(75)
    engines = [run.figures(accuracies.get(run.engine)) for run in runs]
    ratios = {threads: speedup(engines, threads) for threads in (1, 2)}
    document = {
        "frame": [2560, 2560],
        "engines": engines,
        "speedup_over_best_peer": min(ratios.values()),
        "speedup_over_best_peer_by_threads": ratios,
        "left_out": left_out,
        "load_average": os.getloadavg()[0],
    }
    write_durably(OUT / "onboard.json", (json.dumps(document, indent=2) + "\n").encode())
    show(document, console)


def show(document: dict[str, Any], console: Console) -> None:
    """The table, and which aims were met."""
    table = Table("engine", "threads", "frames/s", "peak MB", "mAP@0.5", "boxes")
    for each in document["engines"]:
        accuracy = "untrained" if each["map50"] is None else f"{each['map50']:.3f}"
        speed = f"{each['fps']:.2f} ± {each['fps_half_width']:.2f}"
        row = each["name"], str(each["threads"]), speed, f"{each['peak_rss_mb']:.0f}", accuracy, str(each["boxes"])
        table.add_row(*row)
    console.print(table)
    for name, why in document["left_out"].items():
        console.print(f"{name} is left out: {why}")
    for threads, ratio in document["speedup_over_best_peer_by_threads"].items():
        mine = best([each for each in document["engines"] if each["threads"] == threads])
        console.print(
            f"{threads} thread{'s' * (threads > 1)}: {mine['name']} is {ratio:.2f} times as fast as the best peer "
            f"(aim {AIM_SPEEDUP:g}): {'met' if ratio >= AIM_SPEEDUP else 'missed'}"
        )
    for mine in (each for each in document["engines"] if each["name"] in OURS):
        met = "met" if mine["peak_rss_mb"] <= AIM_MB else "missed"
        console.print(
            f"{mine['name']}, {mine['threads']} thread(s): {mine['peak_rss_mb']:.0f} MB (aim {AIM_MB:g}): {met}"
        )


if __name__ == "__main__":
    main()
