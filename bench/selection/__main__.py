"""Which samples: the gain of each selector for a tenth of the bytes, beside what everything would gain.

The train frames are captured in an order by seed, seen by the model that flies, cut in tiles of 320 pixels and encoded
as they fly; each selector sends at most a tenth of those bytes, frame by frame. Labels are the truth; training has
every weight free and takes the same steps for all. Measured on the eight test frames. What codecs cost is told by
:mod:`bench.selection.codecs`.

    python -m bench.selection [--seeds 0,1,2] [--only ours,random] [--part all|rounds|misses|codecs|table]

Each figure is kept in ``build/bench/cells/selection``: what was stopped goes on, and several may run at once. The
table, ``build/bench/selection.json`` and ``selection.svg`` hold what is there.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from bench.cells import Cells, Figure
from bench.selection import codecs
from bench.selection.misses import plant
from bench.selection.rounds import launched_precision, run
from bench.selection.scene import CONTESTANTS, MODEL, Contestant
from bench.selection.table import report
from rich.console import Console

from orbitloop.adapters.model_files import read_model
from orbitloop.domain.versions import weights_digest

ROUNDS, STEPS = 2, 150
CELLS = Path("build/bench/cells/selection")


def key_of(contestant: Contestant, seed: int) -> dict[str, Figure]:
    """All that decides a run."""
    return {
        "what": "rounds",
        "selector": contestant.name,
        "seed": seed,
        "rounds": ROUNDS,
        "steps": STEPS,
        "share": contestant.share,
        "model": weights_digest(read_model(MODEL).weights),
    }


def main() -> None:
    """Measure what is asked for, then tell all that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default=",".join(one.name for one in CONTESTANTS if "," not in one.name))
    parser.add_argument("--part", default="all", choices=("all", "rounds", "misses", "codecs", "table"))
    arguments = parser.parse_args()
    console, seeds = Console(), [int(seed) for seed in arguments.seeds.split(",")]
    cells = Cells(CELLS, lambda key, new: console.print(f"measured {dict(key)}") if new else None)
    wanted = [one for one in CONTESTANTS if one.name in arguments.only.split(",")]
    if arguments.part in ("all", "rounds"):
        cells.get({"what": "launched"}, launched_precision)
        for seed in seeds:
            for one in wanted:
                cells.get(key_of(one, seed), partial(run, one, seed=seed, rounds=ROUNDS, steps=STEPS))
    if arguments.part in ("all", "misses"):
        for one in wanted:
            if one.share < 1:
                cells.get({"what": "misses", "selector": one.name}, partial(plant, one))
    report(CELLS, console)
    if arguments.part in ("all", "codecs"):
        codecs.run(list(codecs.CONTESTANTS), list(codecs.BUDGETS), console)


if __name__ == "__main__":
    main()
