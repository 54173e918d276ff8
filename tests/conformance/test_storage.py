"""What a job leaves on its node: lists of samples, models, and the file by which a new model is announced."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.conformance.jobs import SERVED
from tests.conformance.node_files import NodeFiles, lines, weights
from tests.conformance.walks import COLD, HOT, Walk

ROUND = pytest.mark.parametrize("round", [1, 2])
NEW: dict[int, list[str]] = {1: lines(10), 2: lines(30)[10:]}
"""Lines of the index that came with each round."""


@pytest.fixture(autouse=True)
def visible(files: NodeFiles | None) -> None:
    """Somebody has to be able to look."""
    if files is None:
        pytest.skip("nobody said where the node's files are: --conformance-node-root")


def listed(walk: Walk, kind: str, round: int) -> list[str]:
    """The lines of a round's list."""
    output: str = walk.job["spec"]["outputDir"]
    path = walk.files[round - 1] / f"{output.lstrip('/')}/data/{kind}/{round}/data.txt"
    return path.read_text().splitlines()


def shortened(listed: list[str]) -> list[str]:
    """The lines as the index has them, be the samples' paths relative or absolute."""
    return [line[line.index("images/") :] for line in listed]


@ROUND
def test_the_first_of_the_new_samples_are_trained_on(walk: Walk, round: int) -> None:
    assert shortened(listed(walk, "train", round)) == NEW[round][: int(0.8 * len(NEW[round]))]


@ROUND
def test_the_others_evaluate(walk: Walk, round: int) -> None:
    evaluated = shortened(listed(walk, "eval", round))
    assert set(evaluated) >= set(NEW[round][int(0.8 * len(NEW[round])) :])
    assert not set(evaluated) & set(shortened(listed(walk, "train", round)))


@pytest.mark.stricter
def test_samples_of_earlier_rounds_evaluate_too_and_once(walk: Walk) -> None:
    assert shortened(listed(walk, "eval", 2)) == [*NEW[1][8:], *NEW[2][16:]]


@pytest.mark.stricter
@ROUND
def test_listed_samples_are_found_from_anywhere(walk: Walk, round: int) -> None:
    for kind in ("train", "eval"):
        assert all(Path(line.split()[0]).is_file() for line in listed(walk, kind, round))


@pytest.mark.stricter
def test_lists_of_a_round_that_is_over_stay(walk: Walk) -> None:
    before, after = (
        files / walk.job["spec"]["outputDir"].lstrip("/") / "data/train/1/data.txt" for files in walk.files
    )
    assert before.read_text() == after.read_text()


@ROUND
def test_a_trained_model_is_in_the_folder_of_its_round(walk: Walk, round: int) -> None:
    path = f"{walk.job['spec']['outputDir']}/train/{round}/model.onnx"
    assert (walk.files[round - 1] / path.lstrip("/")).read_bytes() == weights(path)


@ROUND
def test_a_cold_update_replaces_the_served_file_whole(walks: dict[str, Walk], round: int) -> None:
    """Sedna leaves the end of a longer model behind a shorter one."""
    served = walks[COLD].files[round - 1] / SERVED.lstrip("/")
    assert served.read_bytes() == weights(f"/output/cold/train/{round}/model.onnx")


def announced(walk: Walk, round: int) -> tuple[Path, dict[str, str]]:
    """The folder of new models, and what the file in it says."""
    folder = f"var/lib/sedna/model-hot-update/{walk.namespace}/incrementallearningjob/{walk.name}"
    told = json.loads((walk.files[round - 1] / folder / "model_config.json").read_text())
    assert set(told) == {"model_config"}
    return walk.files[round - 1] / folder, told["model_config"]


@ROUND
def test_a_hot_update_names_the_new_model_and_its_time(walks: dict[str, Walk], round: int) -> None:
    folder, told = announced(walks[HOT], round)
    assert told["model_update_time"]
    inside = told["model_path"].rpartition("/incrementallearningjob/warm/")[2].removeprefix("/model-hot-update/")
    assert (folder / inside).read_bytes() == weights(f"/output/warm/train/{round}/model.onnx")


def test_each_hot_update_is_another_one(walks: dict[str, Walk]) -> None:
    first, second = (announced(walks[HOT], round)[1] for round in (1, 2))
    assert first["model_update_time"] != second["model_update_time"]


@pytest.mark.stricter
def test_a_hot_update_never_writes_into_the_model_that_is_served(walks: dict[str, Walk]) -> None:
    """Sedna gives each model the name of the one before."""
    first, second = (announced(walks[HOT], round)[1] for round in (1, 2))
    assert first["model_path"] != second["model_path"]
    folder = announced(walks[HOT], 2)[0]
    assert {path.read_bytes() for path in folder.glob("*/model.onnx")} == {
        weights(f"/output/warm/train/{round}/model.onnx") for round in (1, 2)
    }


@pytest.mark.stricter
@ROUND
def test_a_hot_update_names_the_digest_of_the_model(walks: dict[str, Walk], round: int) -> None:
    _, told = announced(walks[HOT], round)
    digest = hashlib.sha256(weights(f"/output/warm/train/{round}/model.onnx")).hexdigest()
    assert told["digest"] == f"sha256:{digest}"


@pytest.mark.stricter
def test_a_cold_update_leaves_new_models_to_the_file(walks: dict[str, Walk]) -> None:
    assert not list(walks[COLD].files[-1].glob("var/lib/sedna/model-hot-update/*/*/cold"))
