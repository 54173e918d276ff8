"""The table, the document and the picture of what was measured."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html import escape
from math import log10
from pathlib import Path

from bench.cells import Figures
from bench.intervals import interval
from rich.console import Console
from rich.table import Table

from orbitloop.adapters.durable import write_durably

OUT = Path("build/bench")
COLOURS = ("#0b6", "#888", "#000", "#c50", "#06c", "#a3a", "#b90", "#5bb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All cells there are."""

    launched: float
    runs: dict[str, dict[int, Figures]] = field(default_factory=dict)
    misses: dict[str, Figures] = field(default_factory=dict)


def read(folder: Path) -> Measured:
    """What is kept in ``folder``."""
    cells = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    found = Measured(
        launched=next((cell["figures"]["map50"] for cell in cells if cell["key"]["what"] == "launched"), 0.0)
    )
    for cell in cells:
        key, figures = cell["key"], cell["figures"]
        match key["what"]:
            case "rounds":
                found.runs.setdefault(key["selector"], {})[key["seed"]] = figures
            case "misses":
                found.misses[key["selector"]] = figures
    return found


def number(figures: Figures, name: str) -> float:
    """A figure as a number."""
    return float(figures[name] or 0)


def last_round(figures: Figures) -> int:
    """How many rounds a run had."""
    return sum(name.startswith("map50_") for name in figures)


def final(figures: Figures) -> float:
    """mAP@0.5 after the last round."""
    return number(figures, f"map50_{last_round(figures)}")


def row(name: str, found: Measured) -> dict[str, object]:
    """One selector's figures: the share of everything's gain on the same seed, and how often it beat chance."""
    runs, whole, chance = found.runs[name], found.runs.get("everything", {}), found.runs.get("random", {})
    seeds = sorted(set(runs) & set(whole))
    gains = [(final(runs[seed]) - found.launched) / (final(whole[seed]) - found.launched) for seed in seeds]
    sent = [number(runs[seed], f"bytes_{last_round(runs[seed])}") for seed in seeds]
    per_megabyte = [(final(runs[seed]) - found.launched) / (size / 1e6) for seed, size in zip(seeds, sent, strict=True)]
    compared = sorted(set(runs) & set(chance))
    mean, half = interval(gains)
    return {
        "name": name,
        "gain_fraction_at_10_percent": mean,
        "gain_fraction_half_width_95": half,
        "gain_fraction_by_seed": gains,
        "wins_over_random": sum(final(runs[seed]) > final(chance[seed]) for seed in compared),
        "seeds": len(compared),
        "map50": [final(runs[seed]) for seed in seeds],
        "bytes": sent,
        "bytes_fraction": [size / number(runs[seed], "captured") for seed, size in zip(seeds, sent, strict=True)],
        "map50_per_megabyte": interval(per_megabyte)[0],
        "labels": [number(runs[seed], f"labels_{last_round(runs[seed])}") for seed in seeds],
        **found.misses.get(name, {}),
    }


def report(folder: Path, console: Console) -> None:
    """Print the table, write ``selection.json`` and ``selection.svg``; nothing until everything was measured once."""
    found = read(folder)
    if "everything" not in found.runs:
        console.print("everything has not been measured yet: no gain to compare with")
        return
    rows = [row(name, found) for name in found.runs]
    rows.sort(key=lambda entry: -float(str(entry["gain_fraction_at_10_percent"])))
    document = {
        "launched_map50": found.launched,
        "selectors": rows,
        "misses": [{"name": name, **figures} for name, figures in found.misses.items()],
    }
    write_durably(OUT / "selection.json", (json.dumps(document, indent=2) + "\n").encode())
    write_durably(OUT / "selection.svg", picture(found).encode())
    show(rows, found, console)


def show(rows: list[dict[str, object]], found: Measured, console: Console) -> None:
    """The tables, and whether the aim was met."""
    table = Table(
        "selector", "share of everything's gain", "± 95 %", "over random", "of the bytes", "labels", "mAP@0.5"
    )
    for entry in rows:
        fractions, labels, scores = entry["bytes_fraction"], entry["labels"], entry["map50"]
        assert isinstance(fractions, list)
        assert isinstance(labels, list)
        assert isinstance(scores, list)
        table.add_row(
            str(entry["name"]),
            f"{entry['gain_fraction_at_10_percent']:.3f}",
            f"{entry['gain_fraction_half_width_95']:.3f}",
            f"{entry['wins_over_random']} of {entry['seeds']}",
            f"{interval(fractions)[0]:.1%}",
            f"{interval(labels)[0]:.0f}",
            " ".join(f"{score:.3f}" for score in scores),
        )
    console.print(f"mAP@0.5 of the launched model: {found.launched:.3f}")
    console.print(table)
    if found.misses:
        misses = Table("selector", "planted frames", "found", "their tiles with objects", "sent")
        for name, figures in found.misses.items():
            misses.add_row(name, *(str(figures[key]) for key in ("planted", "found", "planted_tiles", "found_tiles")))
        console.print(misses)
    ours = next((entry for entry in rows if entry["name"] == "ours"), None)
    if ours is not None:
        met = float(str(ours["gain_fraction_at_10_percent"])) >= 1 and ours["wins_over_random"] == ours["seeds"]
        aim = "the gain of everything for a tenth of its bytes, never below random"
        console.print(f"aim: {aim}: {'met' if met else 'missed'}")


def picture(found: Measured) -> str:
    """Mean mAP@0.5 against the bytes sent, round by round, on a logarithmic axis."""
    lines = []
    for index, (name, runs) in enumerate(found.runs.items()):
        rounds = range(1, 1 + last_round(next(iter(runs.values()))))
        points = [
            (
                interval([number(run, f"bytes_{at}") for run in runs.values()])[0],
                interval([number(run, f"map50_{at}") for run in runs.values()])[0],
            )
            for at in rounds
        ]
        lines.append(_line(name, points, COLOURS[index % len(COLOURS)], index, found.launched))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360" font-family="sans-serif" font-size="12">'
        '<rect width="640" height="360" fill="#fff"/>'
        '<text x="40" y="20">mAP@0.5 (0.65 to 1) against bytes sent (100 kB to 10 MB, logarithmic)</text>'
        '<path d="M40 30V330H480" fill="none" stroke="#000"/>' + "".join(lines) + "</svg>\n"
    )


def _line(name: str, points: list[tuple[float, float]], colour: str, index: int, launched: float) -> str:
    placed = [(40 + 220 * (log10(max(size, 1e5)) - 5), 330 - 300 * (score - 0.65) / 0.35) for size, score in points]
    start = f"M40 {330 - 300 * (launched - 0.65) / 0.35:.1f}"
    path = start + "".join(f"L{x:.1f} {y:.1f}" for x, y in placed)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed)
    label = f'<text x="490" y="{60 + 20 * index}" fill="{colour}">{escape(name)}</text>'
    return f'<path d="{path}" fill="none" stroke="{colour}"/>{dots}{label}'
