"""A thousand seeded faults on the models of a satellite: what was found, made good, turned down, or served wrongly.

    python -m bench.faults [--faults 1000] [--real 40] [--seed 0] [--minutes 6] [--out build/bench/faults.json]

Most befall a small detector, ``--real`` of them the model that flies in the demo. The faults are dealt out to boards of
50, each with a seed of its own.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from bench.faults.board import SATELLITE, Board, small_model
from bench.faults.kinds import FAULTS, fly
from rich.console import Console
from rich.table import Table

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.model_files import read_model
from orbitloop.domain.errors import NotYet, OrbitloopError
from orbitloop.wire.model_folder import Model
from orbitloop_ground.app import open_authority

_A_BOARD = 50
_REAL = Path(__file__).parents[2] / "examples" / "models" / "airplane-1m"
OUTCOMES = ("repaired", "fallen back", "refused", "survived", "harmless", "said", "silently wrong")


@dataclass(kw_only=True)
class Tally:
    """What became of the faults, by kind."""

    by_kind: dict[str, Counter[str]] = field(default_factory=dict)
    found: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, kind: str, outcome: str) -> None:
        """One more."""
        self.by_kind.setdefault(kind, Counter())[outcome] += 1

    def total(self, outcome: str) -> int:
        """Of all kinds."""
        return sum(counts[outcome] for counts in self.by_kind.values())

    @property
    def faults(self) -> int:
        """How many befell."""
        return sum(sum(counts.values()) for counts in self.by_kind.values())


def befall(board: Board, kind: str, rng: np.random.Generator, tally: Tally) -> None:
    """One fault, and what is served afterwards."""
    before, out_of_service = board.trust, ""
    try:
        said = FAULTS[kind][0](board, rng)
        try:
            wrong = board.observed()
        except NotYet as error:  # nothing serves until the ground has sent what is missing: said, and not wrong
            wrong, out_of_service = "", str(error)
        board.ask_ground()
        board.worker.look()
        wrong = wrong or board.observed()
    except (AssertionError, OrbitloopError) as error:
        said, wrong = "", f"{type(error).__name__}: {error}"
    after = board.trust
    tally.found += after.found - before.found
    if not wrong and board.worker._scrubber.current.answer != board.expected(after.serving or board.flying)[0]:  # noqa: SLF001
        wrong = "the known answer is not that of the model that is served"
    if wrong:
        tally.add(kind, "silently wrong")
        tally.notes.append(f"{kind}: {wrong}")
    elif out_of_service:
        tally.add(kind, "said")
    elif after.fallen_back > before.fallen_back:
        tally.add(kind, "fallen back")
    elif after.reason:
        tally.add(kind, "said")
    elif after.found > before.found:
        tally.add(kind, "repaired" if after.repaired - before.repaired >= after.found - before.found else "said")
    else:
        tally.add(kind, said or "harmless")


def run(faults: int, *, seed: int, model: Model, keys: Path, folder: Path, ends: float) -> Tally:
    """So many faults, unless the time is over before."""
    tally, names = Tally(), list(FAULTS)
    weights = np.array([weight for _, weight in FAULTS.values()], float)
    rng, board = np.random.default_rng(seed), None
    for number in range(faults):
        if time.monotonic() > ends:
            break
        if number % _A_BOARD == 0 or board is None:
            if board is not None:
                board.down()
            shutil.rmtree(folder, ignore_errors=True)
            rng = np.random.default_rng(seed + number // _A_BOARD)
            board = Board(folder, keys, model)
        if number % 7 == 3:
            fly(board, rng)
            board.observed()
        befall(board, str(rng.choice(names, p=weights / weights.sum())), rng, tally)
    if board is not None:
        board.down()
    return tally


def mission_keys(folder: Path) -> Path:
    """Keys of one satellite and its ground."""
    authority = open_authority(folder, timedelta(days=1))
    authority.equip_ground(["127.0.0.1"])
    authority.equip(SATELLITE)
    return folder


def summary(tallies: dict[str, Tally]) -> dict[str, object]:
    """All of them together, as ``faults.json``."""
    every = tallies.values()
    kinds = sorted({kind for tally in every for kind in tally.by_kind})
    return {
        "faults": sum(tally.faults for tally in every),
        "found": sum(tally.found for tally in every),
        **{outcome.replace(" ", "_"): sum(tally.total(outcome) for tally in every) for outcome in OUTCOMES},
        "models": {name: tally.faults for name, tally in tallies.items()},
        "by_kind": {
            kind: dict(sum((tally.by_kind.get(kind, Counter()) for tally in every), Counter())) for kind in kinds
        },
        "notes": [note for tally in every for note in tally.notes],
    }


def show(console: Console, told: dict[str, object]) -> None:
    """A table of the kinds."""
    table = Table("fault", "times", *OUTCOMES)
    by_kind = told["by_kind"]
    assert isinstance(by_kind, dict)
    for kind, counts in by_kind.items():
        cells = [str(counts.get(outcome, "")) for outcome in OUTCOMES]
        table.add_row(kind, str(sum(counts.values())), *cells, style="red" if counts.get("silently wrong") else None)
    totals = [str(told[outcome.replace(" ", "_")]) for outcome in OUTCOMES]
    table.add_row("all", str(told["faults"]), *totals, style="bold")
    console.print(table)


def main() -> int:
    """Run it; 1 if anything was served wrongly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=1_000)
    parser.add_argument("--real", type=int, default=40, help="how many of them befall the model of the demo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path, default=Path("build/bench/faults.json"))
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)  # thousands of faults are thousands of complaints
    ends = time.monotonic() + 60 * given.minutes
    console = Console(stderr=True)
    real = min(given.real, given.faults)
    with TemporaryDirectory() as place:
        keys = mission_keys(Path(place) / "keys")
        tallies = {
            name: run(count, seed=given.seed, model=model, keys=keys, folder=Path(place) / name, ends=ends)
            for name, count, model in (
                ("airplane-1m", real, read_model(_REAL)),
                ("small", given.faults - real, small_model()),
            )
        }
    told = summary(tallies)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_durably(given.out, json.dumps(told, indent=2).encode())
    show(console, told)
    for note in sorted(set(tally_notes(tallies)))[:20]:
        console.print(note, markup=False)
    console.print(f"{given.out}")
    return 0 if told["silently_wrong"] == 0 and told["faults"] == given.faults else 1


def tally_notes(tallies: dict[str, Tally]) -> list[str]:
    """What has to be said beside the table."""
    return [note for tally in tallies.values() for note in tally.notes]


if __name__ == "__main__":
    sys.exit(main())
