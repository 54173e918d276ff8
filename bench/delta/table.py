"""The table, the document and the picture of what an update of how many bytes is worth."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import log10

from bench.intervals import interval
from rich.console import Console
from rich.table import Table

AIMS = ((0.95, 300_000), (0.90, 100_000))
"""Share of the full training's gain, and most bytes for it."""
AIM_SECONDS, AIM_MEMORY = 1.0, 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One encoder, seed by seed: bytes, mAP@0.5, share of the full training's gain."""

    encoder: str
    bytes: list[float]
    map50: list[float]
    gains: list[float]

    @property
    def size(self) -> float:
        """Mean bytes."""
        return interval(self.bytes)[0]

    @property
    def gain(self) -> float:
        """Mean share of the gain."""
        return interval(self.gains)[0]

    def told(self) -> dict[str, object]:
        """As ``delta.json`` has it."""
        return {
            "encoder": self.encoder,
            "bytes": round(self.size),
            "gain_fraction": self.gain,
            "gain_fraction_half_width_95": interval(self.gains)[1],
            "map50": interval(self.map50)[0],
            "by_seed": {"bytes": self.bytes, "map50": self.map50, "gain_fraction": self.gains},
        }


def bytes_at(points: list[Point], share: float) -> int | None:
    """The fewest bytes that gain so much; ``None``: none of them does."""
    enough = [point.size for point in points if point.gain >= share]
    return round(min(enough)) if enough else None


def report(
    points: list[Point], extra: dict[str, object], mine: frozenset[str], console: Console
) -> tuple[dict[str, object], str]:
    """Print the table and what was aimed at; the document and the picture.

    Args:
        extra: further figures for the document.
        mine: names of our own encoder's points.
    """
    points = sorted(points, key=lambda point: point.size)
    table = Table("what is sent", "bytes", "s at 1 Mbit/s", "share of the gain", "± 95 %", "mAP@0.5")
    for point in points:
        mean, half = interval(point.gains)
        table.add_row(
            point.encoder,
            f"{point.size:,.0f}",
            f"{point.size * 8 / 1e6:.1f}",
            f"{mean:.3f}",
            f"{half:.3f}" if len(point.gains) > 1 else "one seed",
            f"{interval(point.map50)[0]:.3f}",
            style="bold" if point.encoder in mine else None,
        )
    console.print(table)
    own = [point for point in points if point.encoder in mine]
    for share, most in AIMS:
        reached = bytes_at(own, share)
        said = "met" if reached is not None and reached <= most else "missed"
        console.print(f"{share:.0%} of the gain: {f'{reached:,}' if reached else 'no'} bytes (aim {most:,}): {said}")
    for name, aim, unit in (
        ("apply_seconds", AIM_SECONDS, "s to apply"),
        ("apply_memory", AIM_MEMORY, "x the model's memory beside what flies"),
    ):
        took = float(str(extra[name]))
        console.print(f"{took:.2f} {unit} (aim {aim:g}): {'met' if took <= aim else 'missed'}")
    document = {
        "points": [point.told() for point in points],
        "bytes_at_95": bytes_at(own, 0.95),
        "bytes_at_90": bytes_at(own, 0.90),
        **extra,
    }
    return document, picture(points, mine)


def picture(points: list[Point], mine: frozenset[str]) -> str:
    """Share of the gain against bytes, these on a logarithmic axis from 3 kB to 100 MB."""
    marks = []
    for index, point in enumerate(points):
        x, y = 60 + 120 * (log10(max(point.size, 3e3)) - 3.477), 330 - 250 * max(-0.1, min(point.gain, 1.15))
        colour = "#0a7" if point.encoder in mine else "#666"
        marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        marks.append(f'<text x="{x + 7:.1f}" y="{y + 4:.1f}" fill="{colour}">{index + 1}</text>')
        marks.append(f'<text x="660" y="{24 + 17 * index}" fill="{colour}">{index + 1} {escape(point.encoder)}</text>')
    for size, name in ((1e4, "10 kB"), (1e5, "100 kB"), (1e6, "1 MB"), (1e7, "10 MB")):
        x = 60 + 120 * (log10(size) - 3.477)
        marks.append(f'<path d="M{x:.1f} 40V330" stroke="#ddd"/><text x="{x - 16:.1f}" y="347">{name}</text>')
    for share in (0, 0.5, 0.9, 0.95, 1):
        y = 330 - 250 * share
        marks.append(f'<path d="M60 {y:.1f}H600" stroke="#ddd"/><text x="22" y="{y + 4:.1f}">{share:.0%}</text>')
    high = max(380, 20 + 17 * len(points))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {high}" font-family="sans-serif" font-size="12">'
        f'<rect width="900" height="{high}" fill="#fff"/>'
        '<text x="60" y="24">share of the full training\'s gain against bytes sent</text>' + "".join(marks) + "</svg>\n"
    )
