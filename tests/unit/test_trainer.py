"""The trainer's commands: what they are told, what they make, and how they say what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.trainer import write_list

from orbitloop.adapters.model_files import read_model, write_model
from orbitloop.domain.errors import BadInput
from orbitloop.domain.partial import differences
from orbitloop.testing.builders import a_model, a_spec
from orbitloop.wire.model_folder import Model
from orbitloop_ground.adapters.torchrun import is_to_be_started
from orbitloop_ground.adapters.yolo.export import export_graph
from orbitloop_ground.adapters.yolo.network import YoloTiny, weights_of
from orbitloop_ground.trainer import main
from orbitloop_ground.trainer_settings import TrainerSettings

QUICK = {"STEPS": "2", "BATCH": "2", "SIDE": "64", "UPDATE_BYTES": "40000"}


class Site:
    """A folder with a base model and a round's list, and the environment of its workers."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        torch.manual_seed(0)
        spec = a_spec()
        network = YoloTiny(spec, normalised=False)
        write_model(folder / "base", Model(spec=spec, weights=weights_of(network), graph=export_graph(spec)))
        self.list = write_list(folder / "data" / "train" / "3" / "data.txt", 2)
        self.words = folder / "words.json"
        self.told = {
            **QUICK,
            "BASE_MODEL_URL": str(folder / "base" / "weights.safetensors"),
            "MODEL_URL": str(folder / "out" / "3"),
            "TRAIN_DATASET_URL": str(self.list),
            "TEST_DATASET_URL": str(self.list),
            "ORBITLOOP_TERMINATION_LOG": str(self.words),
        }

    def run(self, command: str, **more: str) -> int:
        for name, value in (self.told | more).items():
            self._monkeypatch.setenv(name, value)
        return main([command])

    def said(self) -> dict[str, Any]:
        return dict(json.loads(self.words.read_text()))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_round_makes_a_model_folder_and_measures_it_beside_the_older_one(site: Site) -> None:
    assert site.run("train") == 0
    new = str(site.folder / "out" / "3" / "weights.safetensors")
    made = site.said()
    assert (made["kind"], made["status"]) == ("train", "completed")
    [result] = made["results"]
    assert (result["format"], result["url"]) == ("safetensors", new)
    base, model = read_model(site.folder / "base"), read_model(Path(new).parent)
    assert (model.spec, model.graph) == (base.spec, base.graph)
    assert differences(base.weights, model.weights) != ()
    assert site.run("evaluate", MODEL_URLS=f"{new};{site.told['BASE_MODEL_URL']}") == 0
    measured = site.said()["results"]
    assert [one["url"] for one in measured] == [new, site.told["BASE_MODEL_URL"]]
    assert all(0 <= one["metrics"]["precision"] <= 1 for one in measured)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_earlier_rounds_are_replayed(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    write_list(site.folder / "data" / "train" / "1" / "data.txt", 3, skip=2)
    assert site.run("train") == 0
    assert "trains on 2 new pictures and 3 of earlier rounds, as process 1 of 1" in caplog.text
    assert site.run("train", MOST_REPLAYED="1") == 0
    assert "2 new pictures and 1 of earlier rounds" in caplog.text


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"STEPS": "many"}, "the variable STEPS: "),
        ({"SIDE": "100"}, "the variable SIDE: "),
        ({"BATCH": "0"}, "the variable BATCH: "),
        ({"TRAIN_DATASET_URL": ""}, "TRAIN_DATASET_URL is not set"),
        ({"TRAIN_DATASET_URL": "/nowhere/data.txt"}, "/nowhere/data.txt: cannot be read"),
        ({"BASE_MODEL_URL": ""}, "BASE_MODEL_URL is ''; name weights.safetensors in a model folder"),
        ({"BASE_MODEL_URL": "/models/base.pth"}, "BASE_MODEL_URL is '/models/base.pth'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_one_line_and_is_reported(
    site: Site, capfd: pytest.CaptureFixture[str], more: dict[str, str], why: str
) -> None:
    assert site.run("train", **more) == 1
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("orbitloop-trainer: ")
    assert why in last
    said = site.said()
    assert (said["kind"], said["status"]) == ("train", "failed")
    assert why in str(said["message"])
    assert not (site.folder / "out").exists()


def test_a_base_model_that_is_not_what_its_folder_names_is_refused(site: Site) -> None:
    torch.manual_seed(1)
    other = YoloTiny(a_spec(), normalised=False)
    write_model(site.folder / "other", Model(spec=a_spec(), weights=weights_of(other), graph=b""))
    shutil.copy(site.folder / "other" / "weights.safetensors", site.folder / "base" / "weights.safetensors")
    assert site.run("train") == 1
    assert "not the weights that detector.json names" in str(site.said()["message"])


def test_a_model_of_another_network_is_refused(site: Site) -> None:
    write_model(site.folder / "base", a_model())
    assert site.run("train") == 1
    assert "is of another network" in str(site.said()["message"])


def test_a_test_list_that_tells_nothing_is_refused(site: Site) -> None:
    site.list.write_text(site.list.read_text().split()[0] + "\n")
    assert site.run("evaluate", MODEL_URLS=site.told["BASE_MODEL_URL"]) == 1
    said = site.said()
    assert (said["kind"], said["status"]) == ("eval", "failed")
    assert "no picture with an object" in str(said["message"])


@pytest.mark.parametrize(
    ("given", "starts"),
    [
        ({}, False),
        ({"PET_NNODES": "1", "PET_NPROC_PER_NODE": "1"}, False),
        ({"PET_NNODES": "2"}, True),
        ({"PET_NNODES": "1:3"}, True),
        ({"PET_NPROC_PER_NODE": "gpu"}, True),
        ({"PET_NNODES": "2", "TORCHELASTIC_RUN_ID": "x", "RANK": "1"}, False),
    ],
)
def test_processes_are_started_where_several_are_asked_for_and_only_once(given: dict[str, str], starts: bool) -> None:
    assert is_to_be_started(given) is starts


def test_settings_that_are_empty_have_their_defaults() -> None:
    assert TrainerSettings.read({"STEPS": "", "SEED": "3", "OTHER": "x"}) == TrainerSettings(seed=3)
    with pytest.raises(BadInput, match="the variable UPDATE_BYTES"):
        TrainerSettings.read({"UPDATE_BYTES": "10"})


def test_every_setting_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "trainer.md").read_text()
    assert [name for name in TrainerSettings.model_fields if f"`{name.upper()}`" not in page] == []
