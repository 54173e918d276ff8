"""``orbitloop transform`` refuses what it cannot use in one line, and fits a small set of ships from end to end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orbitloop_mission.cli import main

SIDE = 256

Transform = Callable[..., tuple[int, str, str]]
"""From arguments to exit status, standard output and standard error."""


@pytest.fixture
def transform(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Transform:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["orbitloop", "transform", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def scenes(folder: Path) -> Path:
    """A set of four scenes of eight frames each, with two bright ships in every frame."""
    chance = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, split in enumerate(("train", "train", "val", "test")):
        pixels = chance.integers(30, 50, (2 * SIDE, 4 * SIDE, 3)).astype(np.uint8)
        pixels[:, 2 * SIDE :] += 90
        corners = [(x + dx, y + 40) for y in (0, SIDE) for x in range(0, 4 * SIDE, SIDE) for dx in (30, 150)]
        for x, y in corners:
            pixels[y : y + 12, x : x + 24] = 250
            box = {"image_id": index, "category_id": 1, "bbox": [x, y, 24, 12], "id": len(annotations)}
            annotations.append(box)
        name = f"{index}.png"
        Image.fromarray(pixels).save(folder / name)
        images.append({"id": index, "file_name": name, "width": 4 * SIDE, "height": 2 * SIDE, "split": split})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "ship"}]}
    path = folder / "annotations.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("submarines",), "application 'submarines' is unknown; use one of ships, airplanes, clouds"),
        (("tests.small_application:of_something_else",), "gives a str, no Application"),
        (("ships", "--target", "mainframe"), "no such hardware target; name one of jetson-15w, one-core"),
        (("ships", "--effort", "0"), "effort 0 must be above 0"),
        (("ships", "--data", "nowhere.json"), "nowhere.json: not found"),
        (("ships", "--context", "water"), "'water' is no rule"),
        (("ships", "--capacity", "2"), "carries a share of the frames in (0, 1]"),
        (("ships", "--deadline", "0"), "the frame deadline 0.0 s must be above 0"),
        (("ships", "--version", "0"), "version 0 must be at least 1"),
    ],
    ids=["application", "own", "target", "effort", "data", "rule", "capacity", "deadline", "version"],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    transform: Transform, arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    status, _, told = transform(*arguments, "--out", str(tmp_path / "out"), "--key", str(tmp_path / "key"))
    assert status == 2
    assert said in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_target_file_that_is_none_is_named(transform: Transform, tmp_path: Path) -> None:
    (tmp_path / "target.json").write_text("{}")
    status, _, told = transform("ships", "--target", str(tmp_path / "target.json"))
    assert status == 2
    assert "target.json: name: Field required; profile the computer again" in told


@pytest.mark.slow
def test_ships_are_fitted_from_end_to_end(transform: Transform, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, told, complaint = transform(
        "ships",
        *("--data", str(scenes(tmp_path)), "--target", "raspberry-pi-4", "--effort", "0.03"),
        *("--out", str(out), "--key", str(tmp_path / "key")),
    )
    assert status == 0, complaint
    assert "expected density" in told
    assert (out / "selection.ols").read_bytes().startswith(b"OLS1")
    report = json.loads((out / "report.json").read_text())
    assert report["target"]["provenance"] == "scaled"
    assert "github.com" in report["target"]["source"]
    assert report["meets_deadline"] or any("of the frames are processed" in note for note in report["notes"])
    assert report["meets_deadline"] == (report["frame_seconds"] <= report["link"]["deadline_seconds"])
    assert report["test"]["oracle"] == 1.0
    assert {row["context"] for row in report["table"]} >= {"unknown"}
    assert "<svg" in (out / "report.html").read_text()
