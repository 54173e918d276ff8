"""How fast the eye on board is: one frame of 2560² pixels, with one thread and two, beside its peers.

Every engine runs in a process of its own, over the same tiles, with the same decoding and suppression, and the same
float32 weights. Rounds are interleaved, so that what disturbs the machine disturbs all alike. Printed are medians;
``build/bench/onboard.json`` has them and the spread. The accuracy of each engine is measured by ``--accuracy``, over
the eight test frames, and kept in ``build/bench/cells/onboard``.

    python -m bench.onboard [--rounds 3] [--accuracy]

OpenCV is installed into ``build/bench/peers/opencv``. ultralytics' YOLOv3-tiny and our own int8 are not measured yet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench.cells import Cells, Figures
from bench.onboard.engine import ENGINES
from PIL import Image
from rich.console import Console
from rich.table import Table

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.model_files import read_model
from orbitloop.domain.detection import mean_average_precision
from orbitloop.domain.errors import BadInput
from orbitloop.domain.tiling import detect
from orbitloop.domain.versions import weights_digest
from orbitloop_ground.adapters.coco import read_coco

MODEL = Path("examples/models/airplane-1m")
FRAMES = Path("examples/data/airbus-aircraft/annotations.json")
OUT = Path("build/bench")
OPENCV = "opencv-python-headless==5.0.0.93"
AIM_SPEEDUP, AIM_MB = 2.0, 250.0
PEERS = ("torch eager", "torch.compile", "OpenCV DNN")


@dataclass(slots=True, kw_only=True)
class Run:
    """One engine with so many threads, and what its rounds brought."""

    name: str
    engine: str
    threads: int
    batch: int = 1
    rounds: list[dict[str, Any]] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    def begin(self, python: Path, frame: Path) -> None:
        """Start the process, and wait until it has warmed up."""
        command = [str(python), "-m", "bench.onboard.engine", self.engine, str(self.threads), str(MODEL), str(frame)]
        self.process = subprocess.Popen(
            [*command, str(self.batch)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._line() != "ready":
            raise BadInput(f"{self.name} did not start; its own complaint is above")

    def look(self) -> None:
        """Look at the frame once."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.rounds.append(json.loads(self._line()))

    def end(self) -> None:
        """Let the process end."""
        if self.process is not None:
            self.process.communicate()

    def figures(self, accuracy: float | None) -> dict[str, Any]:
        """What is reported."""
        seconds = [each["seconds"] for each in self.rounds]
        return {
            "name": self.name,
            "threads": self.threads,
            "fps": 1 / statistics.median(seconds),
            "seconds": statistics.median(seconds),
            "seconds_least": min(seconds),
            "seconds_most": max(seconds),
            "peak_rss_mb": max(each["peak_rss_mb"] for each in self.rounds),
            "map50": accuracy,
            "boxes": self.rounds[-1]["boxes"],
        }

    def _line(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def pythons(console: Console) -> dict[str, Path]:
    """The interpreter for each engine that can run here."""
    here = {name: Path(sys.executable) for name in ENGINES if name != "OpenCV DNN"}
    folder = (OUT / "peers/opencv").resolve()
    python = folder / "bin/python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True)
        paths = "\n".join(entry for entry in sys.path if entry)
        done = subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", OPENCV], check=False)
        if done.returncode:
            console.print(f"{OPENCV} cannot be installed here: OpenCV's DNN is left out")
            return here
        site = next(folder.glob("lib/python*/site-packages"))
        (site / "orbitloop.pth").write_text(paths + "\n")
        (folder / "ready").touch()
    return here | {"OpenCV DNN": python}


def accuracy_of(engine: str) -> Figures:
    """mAP@0.5 over the eight test frames."""
    model = read_model(MODEL)
    forward = ENGINES[engine](model, 1)
    images = read_coco(FRAMES).where(split="test").images
    found = [
        detect(np.asarray(Image.open(image.path).convert("RGB")), forward, model.spec, batch=1) for image in images
    ]
    return {"map50": mean_average_precision(found, [image.truth for image in images])}


def measured(runs: list[Run], interpreters: dict[str, Path], rounds: int) -> None:
    """All rounds of all engines, one after the other in each round."""
    frame = OUT / "onboard-frame.npy"
    first = read_coco(FRAMES).where(split="test").images[0]
    np.save(frame, np.asarray(Image.open(first.path).convert("RGB")))
    try:
        for run in runs:
            run.begin(interpreters[run.engine], frame)
        for _ in range(rounds):
            for run in runs:
                run.look()
    finally:
        for run in runs:
            run.end()


def speedup(engines: list[dict[str, Any]], threads: int) -> float | None:
    """Ours beside the fastest peer with as many threads."""
    peers = [each["fps"] for each in engines if each["name"] in PEERS and each["threads"] == threads]
    mine = [each["fps"] for each in engines if each["name"] == "ours fp32" and each["threads"] == threads]
    return mine[0] / max(peers) if peers and mine else None


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--accuracy", action="store_true", help="measure mAP@0.5 of ours and torch, minutes of one core"
    )
    arguments = parser.parse_args()
    console = Console()
    OUT.mkdir(parents=True, exist_ok=True)
    interpreters = pythons(console)
    runs = [
        Run(name=name, engine=engine, threads=threads, batch=batch)
        for threads in (1, 2)
        for name, engine, batch in (
            ("ours fp32", "ours", 1),
            ("before", "ours", 4),
            *((peer, peer, 1) for peer in PEERS if peer in interpreters),
        )
    ]
    measured(runs, interpreters, arguments.rounds)
    model, cells = str(weights_digest(read_model(MODEL).weights)), Cells(OUT / "cells/onboard")
    kept: dict[str, Any] = {}
    if arguments.accuracy:
        for engine in ("ours", "torch eager"):
            key = {"engine": engine, "model": model}
            kept[engine] = cells.get(key, partial(accuracy_of, engine))["map50"]
    engines = [run.figures(kept.get(run.engine)) for run in runs]
    document = {
        "frame": [2560, 2560],
        "rounds": arguments.rounds,
        "engines": engines,
        "speedup_over_best_peer": speedup(engines, 2),
        "speedup_over_best_peer_one_thread": speedup(engines, 1),
        "left_out": ["ours int8", "ultralytics YOLOv3-tiny"],
    }
    write_durably(OUT / "onboard.json", (json.dumps(document, indent=2) + "\n").encode())
    show(document, console)


def show(document: dict[str, Any], console: Console) -> None:
    """The table, and which aims were met."""
    table = Table("engine", "threads", "frames/s", "s a frame", "peak MB", "mAP@0.5", "boxes")
    for each in document["engines"]:
        spread = f"{each['seconds']:.2f} ({each['seconds_least']:.2f}–{each['seconds_most']:.2f})"
        accuracy = "–" if each["map50"] is None else f"{each['map50']:.3f}"
        table.add_row(
            each["name"],
            str(each["threads"]),
            f"{each['fps']:.2f}",
            spread,
            f"{each['peak_rss_mb']:.0f}",
            accuracy,
            str(each["boxes"]),
        )
    console.print(table)
    ratio = document["speedup_over_best_peer"]
    peak = max(each["peak_rss_mb"] for each in document["engines"] if each["name"] == "ours fp32")
    if ratio is not None:
        console.print(
            f"{ratio:.2f} times the best peer (aim {AIM_SPEEDUP}): {'met' if ratio >= AIM_SPEEDUP else 'missed'}"
        )
    console.print(f"{peak:.0f} MB at most (aim {AIM_MB:.0f}): {'met' if peak <= AIM_MB else 'missed'}")


if __name__ == "__main__":
    main()
