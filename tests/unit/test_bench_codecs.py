"""What the bench of codecs makes of a tile: no more bytes than there are, and the best that fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench.cells import Figures
from bench.selection import codec_driver
from bench.selection.codec_driver import LOSSY, PLUGGED, Pixels, fitted
from bench.selection.codecs import document, per_frame
from PIL import Image


@pytest.fixture
def tile() -> Pixels:
    """Coarse structure with some noise on it, ``(96, 96, 3)``."""
    chance = np.random.default_rng(3)
    coarse = np.kron(chance.integers(40, 200, (6, 6, 3)), np.ones((16, 16, 1)))
    return np.asarray(np.clip(coarse + chance.normal(0, 12, coarse.shape), 0, 255), np.uint8)


def error(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


@pytest.mark.parametrize("codec", [name for name in LOSSY if name not in PLUGGED])
def test_more_bytes_are_better_pixels_and_never_more_than_allowed(codec: str, tile: Pixels) -> None:
    small, large = fitted(tile, codec, 1_200), fitted(tile, codec, 4_000)
    assert small.size <= 1_200 < large.size <= 4_000
    assert small.pixels.shape == large.pixels.shape == tile.shape
    assert (small.scale, large.scale) == (1.0, 1.0)
    assert error(large.pixels, tile) < error(small.pixels, tile) < 60
    assert small.seconds > 0


@pytest.mark.parametrize("codec", ["lossless WebP", "PNG"])
def test_what_loses_nothing_gives_up_pixels_instead(codec: str, tile: Pixels) -> None:
    whole = fitted(tile, codec, 10**9)
    assert (whole.scale, error(whole.pixels, tile)) == (1.0, 0)
    small = fitted(tile, codec, 4_000)
    assert small.scale < 1
    assert small.size <= 4_000
    assert small.pixels.shape == tile.shape


def test_a_tile_that_no_quality_fits_is_made_smaller(tile: Pixels) -> None:
    least = len(LOSSY["JPEG"](Image.fromarray(tile), 0))
    assert fitted(tile, "JPEG", least).scale == 1
    made = fitted(tile, "JPEG", least - 1)
    assert made.scale < 1
    assert made.size < least


def test_the_driver_writes_what_it_fitted(tile: Pixels, tmp_path: Path) -> None:
    np.save(tmp_path / "tiles.npy", np.stack([tile, tile[::-1]]))
    codec_driver.main(str(tmp_path / "tiles.npy"), str(tmp_path / "out.npz"), "WebP", "2000")
    with np.load(tmp_path / "out.npz") as found:
        assert found["pixels"].shape == (2, 96, 96, 3)
        assert (found["sizes"] <= 2_000).all()
        assert {name: found[name].shape for name in ("sizes", "seconds", "scales")} == dict.fromkeys(
            ("sizes", "seconds", "scales"), (2,)
        )


def test_each_codec_is_compared_with_webp_frame_by_frame() -> None:
    webp: Figures = {f"map50_{number}": 0.5 for number in range(8)}
    other: Figures = {f"map50_{number}": 0.5 + 0.01 * number for number in range(8)}
    told = document({}, [("WebP", 3_000, webp), ("AVIF", 3_000, other), ("AVIF", 1_500, other)])
    rows = told["codecs"]
    assert isinstance(rows, list)
    assert [row.get("over_webp") for row in rows] == [0, pytest.approx(0.035), None]
    assert rows[1]["over_webp_half_width_95"] == pytest.approx(0.0205, abs=1e-3)
    assert per_frame(other)[7] == pytest.approx(0.57)
