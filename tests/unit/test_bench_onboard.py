"""What the bench on board counts as ours, and as faster."""

from __future__ import annotations

from typing import Any

import pytest
from bench.onboard.__main__ import best, speedup


def engine(name: str, threads: int, fps: float, accuracy: float | None) -> dict[str, Any]:
    return {"name": name, "threads": threads, "fps": fps, "map50": accuracy}


@pytest.mark.parametrize(
    ("accuracy", "name", "ratio"),
    [(0.696, "ours int8", 2.5), (0.694, "ours fp32", 0.8)],
    ids=["as exact", "less exact"],
)
def test_integers_count_where_they_see_within_half_a_point_of_float32(accuracy: float, name: str, ratio: float) -> None:
    engines = [
        engine("ours fp32", 2, 8, 0.7),
        engine("ours int8", 2, 25, accuracy),
        engine("a peer", 2, 10, 0.7),
        engine("an untrained peer", 2, 5, None),
        engine("a peer", 1, 100, 0.7),
    ]
    assert best([each for each in engines if each["threads"] == 2])["name"] == name
    assert speedup(engines, 2) == pytest.approx(ratio)
