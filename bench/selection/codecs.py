"""What codecs cost: mAP@0.5 in tiles that came down by each of them, at equal bytes.

Tiles of 320 pixels with airplanes, of the eight test frames, which nothing was trained on. Each codec puts each tile
in as many bytes as the budget says, or in a few less; what comes out is put together as on the ground, grey where
nothing came down, and looked at by the launched model after a full fine-tune on the train frames as they are. Lossless
codecs, which have no quality to give up, give up pixels. The frames themselves are JPEGs of high quality.

    python -m bench.selection.codecs [--only WebP,JPEG] [--budgets 1500,3000,6000]

Each figure is kept in ``build/bench/cells/codecs``: what was stopped goes on. Writes ``build/bench/codecs.json``.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench.cells import Cells, Figures
from bench.intervals import interval
from bench.selection.codec_driver import LOSSLESS, LOSSY, PLUGGED, Pixels
from bench.selection.rounds import OLD_SCALE
from bench.selection.scene import annotated, frames, launched
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.detection import Detections, Truth, mean_average_precision
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.tiling import PAD, Window, cut
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.trainer import Lessons
from orbitloop.wire.model_folder import Model
from orbitloop_edge.adapters.imagery import encode_picture
from orbitloop_edge.usecases.observe import sample_windows
from orbitloop_ground.adapters.labels import ArchiveLabels
from orbitloop_ground.adapters.teacher import detector_of
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.finetune import FineTuning, TorchTrainer
from orbitloop_mission.embedded.scenery import lesson_of, resized

BUDGETS = (1_500, 3_000, 6_000)
CONTESTANTS = (*LOSSY, "lossless WebP")
MOST_TILES = 12
"""Of one frame."""
STEPS, SEED = 150, 0
CELLS, OUT = Path("build/bench/cells/codecs"), Path("build/bench/codecs.json")
TRAINED = Path("build/bench/codecs-model.npz")
PLUGIN, PEERS = "pillow-jxl-plugin==1.3.8", Path("build/bench/peers")
_DRIVER = Path(__file__).with_name("codec_driver.py")


class Missing(Exception):
    """A codec that cannot run here; the message says why, for the table."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plate:
    """A test frame's tiles: ``pixels`` ``(n, 320, 320, 3)`` uint8 at ``windows``."""

    frame: str
    shape: tuple[int, ...]
    windows: tuple[Window, ...]
    pixels: Pixels


@functools.cache
def plates() -> tuple[Plate, ...]:
    """Tiles of the test frames in whose middle parts airplanes are, at most :data:`MOST_TILES` each, by chance."""
    made = []
    for image in frames("test"):
        pixels = np.asarray(image.load())
        centres = (image.truth.boxes[:, :2] + image.truth.boxes[:, 2:]) / 2
        windows = [one for one in sample_windows(pixels.shape[1], pixels.shape[0]) if _holds(one, centres)]
        chosen = random.Random(SEED).sample(windows, min(MOST_TILES, len(windows)))  # noqa: S311  # chance, not secrecy
        tiles = np.stack([cut(pixels, window) for window in chosen])
        made.append(Plate(frame=image.path.name, shape=pixels.shape, windows=tuple(chosen), pixels=tiles))
    return tuple(made)


def _holds(window: Window, centres: NDArray[np.floating[Any]]) -> bool:
    x0, y0, x1, y1 = window.box
    return bool(((centres >= (x0, y0)) & (centres < (x1, y1))).all(axis=1).any())


@functools.cache
def trained() -> Model:
    """The launched model after a full fine-tune on the train frames; made once, then read."""
    model = launched()
    if not TRAINED.exists():
        lessons = Lessons(
            new=[lesson_of(image) for image in frames("train")],
            old=[resized(lesson_of(image), OLD_SCALE) for image in frames("val")],
        )
        trainer = TorchTrainer(FineTuning(steps=STEPS, seed=SEED))
        weights = trainer.train_fully(model, lessons, lambda step, of, loss: None)
        unfinished = TRAINED.with_suffix(".unfinished.npz")
        np.savez(unfinished, allow_pickle=False, **weights)
        unfinished.rename(TRAINED)
    with np.load(TRAINED) as kept:
        return Model(spec=model.spec, weights={name: kept[name] for name in kept.files}, graph=model.graph)


def measured(codec: str, budget: int) -> Figures:
    """What a codec does to the tiles and to what is found in them. Raises ``Missing``."""
    sets = plates()
    done = through(codec, budget, np.concatenate([plate.pixels for plate in sets]))
    parts = np.split(done["pixels"], np.cumsum([len(plate.windows) for plate in sets])[:-1])
    before = np.concatenate([plate.pixels for plate in sets]).astype(np.float64)
    error = ((before - done["pixels"]) ** 2).mean(axis=(1, 2, 3))
    return {
        "tiles": len(before),
        "bytes": float(done["sizes"].mean()),
        "over": int((done["sizes"] > budget).sum()),
        "shrunk": int((done["scales"] < 1).sum()),
        "psnr": float(np.mean(10 * np.log10(255**2 / np.maximum(error, 1e-9)))),
        "encode_ms": float(done["seconds"].mean() * 1e3),
        **precision(parts),
    }


def precision(parts: list[Pixels]) -> Figures:
    """mAP@0.5 over all plates, and over each of them alone, with ``parts`` for their tiles."""
    look, labels = detector_of(trained(), Compute.best()), ArchiveLabels(annotated())
    found: list[Detections] = []
    truths: list[Truth] = []
    for plate, tiles in zip(plates(), parts, strict=True):
        page, known = np.full(plate.shape, PAD, np.uint8), np.zeros(plate.shape[:2], bool)
        for window, tile in zip(plate.windows, tiles, strict=True):
            x0, y0, x1, y1 = window.box
            page[y0:y1, x0:x1], known[y0:y1, x0:x1] = tile, True
        truth = labels.label(plate.frame, page, known)
        assert truth is not None, "the frames come from the annotations"
        found.append(look(page))
        truths.append(Truth(boxes=truth.boxes, labels=truth.labels))
    single = {
        f"map50_{number}": mean_average_precision([seen], [truth])
        for number, (seen, truth) in enumerate(zip(found, truths, strict=True))
    }
    return {"map50": mean_average_precision(found, truths), **single}


def uncompressed() -> Figures:
    """The tiles as they are, and what they take without a loss, mean bytes of every eighth tile."""
    tiles = np.concatenate([plate.pixels for plate in plates()])
    sizes: Figures = {}
    for codec in LOSSLESS:
        try:
            sizes[codec] = float(through(codec, 10**9, tiles[::8])["sizes"].mean())
        except Missing:
            sizes[codec] = None
    policy = LinkPolicy()
    flown = [len(encode_picture(tile, policy.codec, policy.quality)) for tile in tiles]
    return {**sizes, "policy": float(np.mean(flown)), **precision([plate.pixels for plate in plates()])}


def through(codec: str, budget: int, tiles: Pixels) -> dict[str, NDArray[Any]]:
    """``codec_driver.py`` on ``tiles``. Raises ``Missing``."""
    told = dict(os.environ)
    if codec in PLUGGED:
        told["PYTHONPATH"] = str(plugin().absolute())
    with tempfile.TemporaryDirectory() as folder:
        given, back = Path(folder) / "tiles.npy", Path(folder) / "back.npz"
        np.save(given, tiles, allow_pickle=False)
        command = [sys.executable, str(_DRIVER), str(given), str(back), codec, str(budget)]
        ran = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise Missing(f"{codec} failed: {(ran.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
        with np.load(back) as found:
            return {name: found[name] for name in found.files}


def plugin() -> Path:
    """The folder with Pillow's plug-in for JPEG XL, from the registry if need be. Raises ``Missing``."""
    place = PEERS / "codecs"
    if place.exists():
        return place
    PEERS.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="codecs-", dir=PEERS))
    asked = ("--no-deps", "--target", str(unfinished), PLUGIN)
    ran = subprocess.run([sys.executable, "-m", "pip", "install", *asked], capture_output=True, text=True, check=False)
    if ran.returncode:
        shutil.rmtree(unfinished)
        raise Missing(f"pip cannot install {PLUGIN}: {(ran.stderr.strip().splitlines() or [''])[-1]}")
    return unfinished.rename(place)


def key_of(codec: str, budget: int) -> dict[str, float | int | str | bool | None]:
    """All that decides a figure."""
    model = weights_digest(launched().weights)
    return {"codec": codec, "budget": budget, "model": model, "steps": STEPS, "seed": SEED, "most": MOST_TILES}


def per_frame(figures: Figures) -> list[float]:
    """mAP@0.5 of each frame."""
    return [float(figures[f"map50_{number}"] or 0) for number in range(len(frames("test")))]


def document(whole: Figures, rows: list[tuple[str, int, Figures]]) -> dict[str, object]:
    """What is written: every codec at every budget, beside WebP there (mean difference over frames, 95 %)."""
    webp = {budget: per_frame(figures) for codec, budget, figures in rows if codec == "WebP"}
    codecs = []
    for codec, budget, figures in rows:
        entry: dict[str, object] = {"codec": codec, "budget": budget, **figures}
        if budget in webp:
            gaps = [mine - theirs for mine, theirs in zip(per_frame(figures), webp[budget], strict=True)]
            entry["over_webp"], entry["over_webp_half_width_95"] = interval(gaps)
        codecs.append(entry)
    return {"uncompressed": whole, "codecs": codecs}


def show(told: dict[str, object], console: Console) -> None:
    """The table, and what the link's policy sends."""
    whole, codecs = told["uncompressed"], told["codecs"]
    assert isinstance(whole, dict)
    assert isinstance(codecs, list)
    table = Table("codec", "budget", "bytes", "mAP@0.5", "beside WebP, by frame", "PSNR", "ms a tile", "made smaller")
    for entry in codecs:
        beside = (
            f"{entry['over_webp']:+.3f} ± {entry['over_webp_half_width_95']:.3f}"
            if entry["codec"] != "WebP" and "over_webp" in entry
            else "–"
        )
        table.add_row(
            entry["codec"],
            str(entry["budget"]),
            f"{entry['bytes']:.0f}",
            f"{entry['map50']:.3f}",
            beside,
            f"{entry['psnr']:.1f}",
            f"{entry['encode_ms']:.0f}",
            f"{entry['shrunk']} of {entry['tiles']}" if entry["shrunk"] else "",
        )
    console.print(table)
    lossless = ", ".join(f"{name} {whole[name]:.0f}" for name in LOSSLESS if whole.get(name))
    policy = LinkPolicy()
    console.print(f"without a loss: mAP@0.5 {whole['map50']:.3f}; bytes a tile: {lossless}")
    console.print(f"the link's policy, {policy.codec} at quality {policy.quality}: {whole['policy']:.0f} bytes a tile")


def main() -> None:
    """Measure what is asked for, then tell all that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CONTESTANTS))
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    told = parser.parse_args()
    run(told.only.split(","), [int(word) for word in told.budgets.split(",")], Console())


def run(codecs: list[str], budgets: list[int], console: Console) -> None:
    """Measure, tell and write."""
    cells = Cells(CELLS, lambda key, new: console.print(f"measured {dict(key)}") if new else None)
    whole, rows = cells.get(key_of("uncompressed", 0), uncompressed), []
    for budget in budgets:
        for codec in codecs:
            try:
                rows.append((codec, budget, cells.get(key_of(codec, budget), partial(measured, codec, budget))))
            except Missing as missing:
                console.print(f"{codec} is left out: {missing}")
    told = document(whole, rows)
    write_durably(OUT, (json.dumps(told, indent=2) + "\n").encode())
    show(told, console)


if __name__ == "__main__":
    main()
