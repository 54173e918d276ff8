"""Means over seeds, with how far they can be trusted."""

from __future__ import annotations

import statistics

T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Two-sided 95 % quantiles of Student's t for so many values."""


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval (Student's t); 0 for a single value."""
    if len(values) < 2:
        return values[0], 0.0
    return statistics.fmean(values), T_95[len(values)] * statistics.stdev(values) / len(values) ** 0.5
