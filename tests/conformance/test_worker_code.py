"""Worker code as Sedna's users write it, with what the pods of a job tell it: the library and the pods fit together."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conformance.jobs import BASE
from tests.conformance.node_files import NodeFiles, lines, on_node, weights
from tests.conformance.walks import HOT, Walk
from tests.conformance.world import Document, values

from orbitloop.testing.local_controller import RecordingLocalController

INTERFACE = """
class Estimator:
    def __init__(self, **kwargs):
        self.weights = b""

    def train(self, train_data, valid_data=None, **kwargs):
        self.weights = b"trained on " + " ".join(train_data.x).encode()

    def evaluate(self, data, model_path="", **kwargs):
        self.load(model_path)
        return {"precision": [len(self.weights), len(data.x)]}

    def predict(self, data, **kwargs):
        return [[0, 0, 9, 9, 0.2, 0]]

    def load(self, model_url):
        with open(model_url, "rb") as read:
            self.weights = read.read()

    def save(self, model_path):
        with open(model_path, "wb") as written:
            written.write(self.weights)
"""
TRAIN = """
from sedna.common.config import BaseConfig
from sedna.core.incremental_learning import IncrementalLearning
from sedna.datasources import TxtDataParse
from interface import Estimator

data = TxtDataParse(data_type="train")
data.parse(BaseConfig.train_dataset_url)
IncrementalLearning(estimator=Estimator).train(train_data=data)
"""
EVALUATE = """
from sedna.common.config import BaseConfig
from sedna.core.incremental_learning import IncrementalLearning
from sedna.datasources import TxtDataParse
from interface import Estimator

data = TxtDataParse(data_type="eval")
data.parse(BaseConfig.test_dataset_url)
IncrementalLearning(estimator=Estimator).evaluate(data)
"""
INFER = """
import hashlib, json, os, time
from sedna.core.incremental_learning import IncrementalLearning
from interface import Estimator

served = []

class Watched(Estimator):
    def predict(self, data, **kwargs):
        served.append(hashlib.sha256(self.weights).hexdigest())
        return super().predict(data, **kwargs)

hem = IncrementalLearning.get_hem_algorithm_from_config(threshold_box=0.9)
job = IncrementalLearning(estimator=Watched, hard_example_mining=hem)
end = time.monotonic() + 60
while served[-1:] != [os.environ["ANNOUNCED"]] and time.monotonic() < end:
    _, _, hard = job.inference([1], post_process=lambda found: found)
    time.sleep(0.05)
print(json.dumps({"served": served[-1], "hard": hard, "hem": hem}))
"""
SCRIPTS = {"interface": INTERFACE, "train": TRAIN, "evaluate": EVALUATE, "infer": INFER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The node after the walks, and user code on it."""

    files: NodeFiles
    folder: Path
    controller: RecordingLocalController

    def told(self, pod: Document) -> dict[str, str]:
        """The variables of a pod; files of the node are where the node is here."""
        told = values(pod).items()
        return {name: ";".join(self._here(pod, word) for word in value.split(";")) for name, value in told}

    def _here(self, pod: Document, word: str) -> str:
        path = on_node(pod, word) if word.startswith("/") else ""
        return str(self.files.at(path)) if path else word

    def runs(self, script: str, pod: Document, **more: str) -> str:
        """User code in a pod; what it prints."""
        environment = os.environ | self.told(pod) | {"LC_SERVER": self.controller.url, "MODEL_NAME": "model.onnx"}
        environment |= {"PYTHONPATH": str(self.folder), "ORBITLOOP_TERMINATION_LOG": "", **more}
        command = [sys.executable, str(self.folder / f"{script}.py")]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def has(self, path: str) -> None:
        """A model that was on the node before the job."""
        self.files.trained(path)


@pytest.fixture
def site(walks: dict[str, Walk], files: NodeFiles | None, tmp_path: Path) -> Iterator[Site]:
    """Where the jobs have been."""
    if files is None or importlib.util.find_spec("sedna") is None:
        pytest.skip("takes the node's files, --conformance-node-root, and a Python with the package sedna")
    for name, text in SCRIPTS.items():
        (tmp_path / f"{name}.py").write_text(text)
    with RecordingLocalController().running() as controller:
        yield Site(files=files, folder=tmp_path, controller=controller)


def test_a_training_finds_its_samples_and_leaves_its_model_where_it_is_looked_for(site: Site, walk: Walk) -> None:
    pod = walk.worker("train", 2)
    site.has(BASE)
    site.runs("train", pod)
    model = site.files.at(f"{walk.job['spec']['outputDir']}/train/2/model.onnx")
    found = model.read_text().removeprefix("trained on ").split()
    assert [Path(one).name for one in found] == [Path(line.split()[0]).name for line in lines(30)[10:26]]
    (report,) = site.controller.wait_for(1)
    assert (report.name, report.owner_name) == (values(pod)["WORKER_NAME"], walk.name)
    assert (report.owner_kind, report.kind, report.status) == ("incrementallearningjob", "train", "completed")
    assert report.results[0].url == str(model)
    site.has(f"{walk.job['spec']['outputDir']}/train/2/model.onnx")


def test_an_evaluation_measures_the_new_model_and_then_the_old(site: Site, walk: Walk) -> None:
    pod = walk.worker("eval", 2)
    site.runs("evaluate", pod)
    (report,) = site.controller.wait_for(1)
    new, old = (weights(f"{walk.job['spec']['outputDir']}/train/{round}/model.onnx") for round in (2, 1))
    assert [one.metrics for one in report.results] == [{"precision": [len(one), 6]} for one in (new, old)]
    assert (report.kind, report.status) == ("eval", "completed")


def test_an_inference_takes_over_what_was_announced_and_mines_as_it_is_told(site: Site, walks: dict[str, Walk]) -> None:
    site.has("/served-warm/model.onnx")
    announced = hashlib.sha256(weights("/output/warm/train/2/model.onnx")).hexdigest()
    said = json.loads(site.runs("infer", walks[HOT].worker("inference"), ANNOUNCED=announced))
    assert said["served"] == announced
    assert said["hem"]["method"] == "IBT"
    assert said["hard"] is True
    reports = site.controller.wait_for(1)
    assert (reports[0].kind, reports[0].status) == ("deploy", "completed")
