"""The frontier of bytes against accuracy: what is read off it, and what applying an update takes."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from bench.delta.apply import applied
from bench.delta.table import Point, bytes_at, report
from rich.console import Console

from orbitloop.domain.delta import Shift, apply
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import some_weights
from orbitloop.wire.update import Step, Update, pack_update


def a_point(encoder: str, size: float, *gains: float) -> Point:
    return Point(
        encoder=encoder, bytes=[size] * len(gains), map50=[0.7 + 0.25 * gain for gain in gains], gains=[*gains]
    )


POINTS = [a_point("large", 250_000, 0.97, 0.99), a_point("small", 90_000, 0.88, 0.94), a_point("full", 3.5e7, 1, 1)]


@pytest.mark.parametrize(("share", "size"), [(0.9, 90_000), (0.95, 250_000), (0.99, 35_000_000), (1.1, None)])
def test_the_fewest_bytes_that_gain_enough_on_average(share: float, size: int | None) -> None:
    assert bytes_at(POINTS, share) == size


def test_only_our_own_points_meet_an_aim() -> None:
    said = StringIO()
    figures: dict[str, object] = {"apply_seconds": 0.4, "apply_memory": 1.6}
    document, picture = report(POINTS, figures, frozenset({"large"}), Console(file=said, width=200))
    assert (document["bytes_at_95"], document["bytes_at_90"]) == (250_000, 250_000)
    assert "95% of the gain: 250,000 bytes (aim 300,000): met" in said.getvalue()
    assert "90% of the gain: 250,000 bytes (aim 100,000): missed" in said.getvalue()
    assert "0.40 s to apply (aim 1): met" in said.getvalue()
    assert "1.60 x the model's memory beside what flies (aim 1.5): missed" in said.getvalue()
    assert picture.count("<circle") == 3


def test_applying_is_measured_on_the_real_bytes() -> None:
    base = some_weights(1)
    tensor = next(iter(base))
    change = Shift(tensor=tensor, exponent=-3, quanta=np.ones(base[tensor].size, np.int8))
    step = Step(changes=(change,), result=weights_digest(apply(base, [change])))
    data = pack_update(Update(base=weights_digest(base), steps=(step,)), lambda message: bytes(64))
    seconds, memory = applied(base, data)
    assert 0 < seconds < 5
    assert memory > 0
