"""What `make kind-up` gives a ground and its satellites: views with their labels, keys, passes, chart values."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hack.images.docker import Failed
from hack.kind import sky
from hack.kind.__main__ import _rhythm
from hack.kind.programs import Programs, check_docker
from hack.kind.site import STATION, Folder, Rhythm, chart_values, contact_plan, make_keys, make_plan
from hack.kind.views import all_annotations, views
from PIL import Image

from orbitloop.adapters.plans import read_plan
from orbitloop_ground.adapters.coco import read_coco

ALWAYS = Rhythm(contact=timedelta(seconds=1), away=timedelta(0))
PASSES = Rhythm(contact=timedelta(seconds=120), away=timedelta(seconds=60))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_every_view_has_a_name_of_its_own_and_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(all_annotations())
    labelled = {image.path.name: image for image in read_coco(path).images}
    seen = views()
    assert len({view.name for view in seen}) == len(seen) == 40
    assert {view.name for view in seen} == set(labelled)


@pytest.mark.parametrize("turn", range(1, 8))
def test_labels_lie_where_the_mirrored_frame_shows_what_they_name(tmp_path: Path, turn: int) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(all_annotations())
    labelled = {image.path.name: image for image in read_coco(path).images}
    plain, mirrored = views()[0], views()[turn * 5]
    assert mirrored.source == plain.source
    pictures = [np.asarray(Image.open(io.BytesIO(view.jpeg())).convert("L"), np.float32) for view in (plain, mirrored)]

    def patch(
        picture: np.ndarray[tuple[int, ...], np.dtype[np.float32]], box: np.ndarray[tuple[int], np.dtype[np.float32]]
    ) -> float:
        x0, y0, x1, y1 = (round(float(side)) for side in box)
        return float(picture[y0:y1, x0:x1].mean())

    for before, after in zip(labelled[plain.name].truth.boxes, labelled[mirrored.name].truth.boxes, strict=True):
        assert patch(pictures[1], after) == pytest.approx(patch(pictures[0], before), abs=4)


def test_passes_come_one_after_the_other_for_a_week(folder: Folder) -> None:
    make_plan(folder, PASSES, ["one", "two"])
    mine = [window for window in read_plan(folder.plan) if window.satellite == "one"]
    gaps = {after.aos - before.los for before, after in itertools.pairwise(mine)}
    assert gaps == {timedelta(seconds=60)}
    assert {window.los - window.aos for window in mine} == {timedelta(seconds=120)}
    assert mine[-1].los > datetime.now(UTC) + timedelta(days=6, hours=23)


@pytest.mark.parametrize(("satellites", "contact", "away"), [(9, 120, 60), (1, 10, 5), (3, 45, 15)])
def test_a_plan_fits_into_a_config_map(folder: Folder, satellites: int, contact: int, away: int) -> None:
    rhythm = Rhythm(contact=timedelta(seconds=contact), away=timedelta(seconds=away))
    make_plan(folder, rhythm, [f"orbitloop-worker{number}" for number in range(satellites)])
    assert len(folder.plan.read_bytes()) < 900_000
    ends = [window.los for window in read_plan(folder.plan)]
    assert max(ends) > datetime.now(UTC) + timedelta(hours=12), "and lasts for half a day at least"


def test_without_a_pause_contact_does_not_end(folder: Folder) -> None:
    make_plan(folder, ALWAYS, ["one"])
    [window] = read_plan(folder.plan)
    assert window.los - window.aos == timedelta(days=7)


def test_the_cluster_is_told_the_next_passes_and_no_more_than_a_plan_takes(folder: Folder) -> None:
    make_plan(folder, PASSES, ["one"])
    spec = json.loads(contact_plan(folder))["spec"]
    assert len(spec["windows"]) == 200
    assert {window["station"] for window in spec["windows"]} == {STATION}


def test_the_chart_is_told_of_every_satellite(folder: Folder) -> None:
    make_plan(folder, PASSES, ["one", "two"])
    chart_values(folder, ["one", "two"], "")
    told = json.loads(folder.values.read_text())
    assert [export["satellite"] for export in told["gateway"]["exports"]] == ["one", "two"]
    assert told["localController"]["files"]["passes.csv"] == folder.plan.read_text()
    chart_values(folder, ["one"], "[canary]\nleast = 0\n")
    assert tomllib.loads(json.loads(folder.values.read_text())["localController"]["settings"])["canary"] == {"least": 0}


def test_keys_are_made_once_and_for_those_who_have_none(folder: Folder) -> None:
    assert make_keys(folder, ["one"])
    key = (folder.keys / "satellites" / "one" / "satellite.key").read_bytes()
    token = folder.token.read_text()
    assert not make_keys(folder, ["one"])
    assert make_keys(folder, ["one", "two"])
    assert (folder.keys / "satellites" / "one" / "satellite.key").read_bytes() == key
    assert (folder.keys / "satellites" / "two" / "satellite.key").exists()
    assert folder.token.read_text() == token


def test_a_folder_knows_the_cluster_that_was_made_from_it_and_no_other(folder: Folder) -> None:
    assert not folder.knows("one")
    folder.remember("one")
    assert folder.knows("one")
    assert not folder.knows("two")


@pytest.mark.parametrize("text", ["", "120", "0/60", "1/-1", "a/b", "1.5/2"])
def test_a_rhythm_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="seconds in contact"):
        _rhythm(text)


def test_a_sky_is_ended_by_its_own_number_and_nobody_else_is(folder: Folder) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        pid = folder.path / "sky.pid"
        pid.write_text(f"{process.pid} 1\n")  # a number that another process has by now
        sky.stop(folder)
        assert process.poll() is None
        pid.write_text(f"{process.pid} {sky._born(process.pid)}\n")
        begun = time.monotonic()
        sky.stop(folder)
        assert process.wait(10) != 0
        assert time.monotonic() - begun < 10
    assert not pid.exists()


def test_without_docker_it_says_what_to_do(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n")
    docker.chmod(0o755)
    with pytest.raises(Failed, match=r"Cannot connect.*start it.*OFFLINE=1"):
        check_docker(str(docker))


def test_a_program_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("DOCKER", "KIND", "KUBECTL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Failed, match=r"there is no docker; install docker.*OFFLINE=1"):
        Programs.found()


def test_what_a_program_complains_of_is_passed_on(tmp_path: Path) -> None:
    programs = Programs(docker="docker", kind="kind", kubectl="kubectl", helm="helm", kubeconfig=tmp_path / "config")
    with pytest.raises(Failed, match=r"sh -c echo gone >&2; exit 3: gone"):
        programs.run("sh", "-c", "echo gone >&2; exit 3")
    assert programs.run("sh", "-c", 'echo "$KUBECONFIG"').strip() == str(tmp_path / "config")
    assert os.environ.get("KUBECONFIG") != str(tmp_path / "config")
