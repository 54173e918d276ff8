"""The table in the end."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from orbitloop_mission.report.schema import MissionReport


def print_summary(console: Console, report: MissionReport, places: tuple[Path, Path]) -> None:
    """Rounds, targets and where the report lies."""
    totals = report.totals
    rounds = Table("round", "frames", "down", "samples", "up", box=SIMPLE_HEAD)
    rounds.add_column("mAP@0.5 new", no_wrap=True)
    rounds.add_column("old")
    rounds.add_column("outcome")
    for entry in report.rounds:
        rounds.add_row(
            str(entry.round),
            str(entry.frames),
            f"{entry.downlinked_bytes / 1e3:.0f} kB",
            str(entry.samples_sent),
            f"{entry.delta_bytes / 1e3:.0f} kB",
            f"{entry.map50_new_before:.3f} → {entry.map50_new_after:.3f}",
            f"{entry.map50_old_after:.3f}",
            entry.outcome.value.replace("_", " "),
        )
    targets = Table("target", "wanted", "reached", "", box=SIMPLE_HEAD)
    for target in report.targets:
        mark = {True: "[green]met[/green]", False: "[red]missed[/red]", None: "–"}[target.met]
        targets.add_row(target.name, target.wanted, target.reached, mark)
    console.print(rounds)
    console.print(targets)
    console.print(
        f"mAP@0.5 {totals.map50_new_base:.3f} → {totals.map50_new_final:.3f} on the new domain, "
        f"{totals.map50_old_base:.3f} → {totals.map50_old_final:.3f} on the old; "
        f"{totals.passes} passes, {totals.wall_seconds:.0f} s on this machine",
        highlight=False,
    )
    for place in places:
        console.print(f"  {place}", highlight=False, markup=False)
