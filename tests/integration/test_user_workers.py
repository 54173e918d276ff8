"""User code in the style of Sedna's examples, as processes with the environment that a Global Manager gives them."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.testing.local_controller import RecordingLocalController

TRAIN = """
from sedna.common.config import BaseConfig, Context
from sedna.common.log import LOGGER
from sedna.core.incremental_learning import IncrementalLearning
from sedna.datasources import TxtDataParse
from interface import Estimator, sample

def main():
    data = TxtDataParse(data_type="train", func=sample)
    data.parse(BaseConfig.train_dataset_url)
    LOGGER.info("%d samples", data.num_examples())
    job = IncrementalLearning(estimator=Estimator)
    epochs, rate = Context.get_parameters("epochs", "1"), Context.get_parameters("learning_rate", "0.001")
    return job.train(train_data=data, epochs=int(epochs), learning_rate=float(rate))

if __name__ == "__main__":
    main()
"""
EVALUATE = """
from sedna.common.config import BaseConfig
from sedna.core.incremental_learning import IncrementalLearning
from sedna.datasources import TxtDataParse
from interface import Estimator, sample

data = TxtDataParse(data_type="eval", func=sample)
data.parse(BaseConfig.test_dataset_url)
found = IncrementalLearning(estimator=Estimator).evaluate(data)
assert [sorted(one) for one in found] == [["format", "metrics", "url"]] * len(found), found
"""
INFER = """
import json, sys
import numpy as np
from sedna.core.incremental_learning import IncrementalLearning
from interface import Estimator

hem = IncrementalLearning.get_hem_algorithm_from_config(threshold_cross_entropy=0.3)
job = IncrementalLearning(estimator=Estimator, hard_example_mining=hem)
for line in sys.stdin:
    raw, result, hard = job.inference(np.array([json.loads(line)]), post_process=lambda found: np.asarray(found)[0])
    print(json.dumps({"class": int(np.argmax(result)), "hard": hard}), flush=True)
"""
NUMPY = """
import numpy as np

def sample(line):
    *x, y = line.split()
    return [float(one) for one in x], int(y)

class Estimator:
    def __init__(self, **kwargs):
        self.weights = np.zeros((2, 2))

    def train(self, train_data, valid_data=None, epochs=1, **kwargs):
        if epochs < 1:
            raise ValueError("nothing to learn in 0 epochs")
        self.weights = np.linalg.lstsq(train_data.x, np.eye(2)[train_data.y], rcond=None)[0]

    def evaluate(self, data, model_path="", **kwargs):
        self.load(model_path)
        return {"precision": float(np.mean(self.predict(data.x).argmax(axis=1) == data.y))}

    def predict(self, data, **kwargs):
        scores = np.exp(4 * (data @ self.weights))
        return scores / scores.sum(axis=1, keepdims=True)

    def load(self, model_url):
        with np.load(model_url) as read:
            self.weights = read["weights"]

    def save(self, model_path):
        np.savez(model_path, weights=self.weights)
"""
TORCH = """
import torch

def sample(line):
    *x, y = line.split()
    return [float(one) for one in x], int(y)

class Estimator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(2, 2, bias=False)

    def forward(self, x):
        return torch.softmax(8 * self.layer(x), dim=1) if not self.training else self.layer(x)
"""
ONNX = """
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, save

def sample(line):
    *x, y = line.split()
    return [float(one) for one in x], int(y)

class Estimator:
    def train(self, train_data, valid_data=None):
        self.weights = 4 * np.linalg.lstsq(train_data.x, np.eye(2)[train_data.y], rcond=None)[0]

    def evaluate(self, data, model_path):
        self.load(model_path)
        hit = self.predict(data.x).argmax(axis=1) == data.y
        return {"precision": [float(hit.mean())]}

    def predict(self, data):
        return self.session.run(None, {"x": data.astype(np.float32)})[0]

    def load(self, model_url):
        self.session = onnxruntime.InferenceSession(model_url, providers=["CPUExecutionProvider"])

    def save(self, model_path):
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Softmax", ["z"], ["y"])], "linear",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
            [numpy_helper.from_array(self.weights.astype(np.float32), "w")])
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), model_path)
"""
FRAMEWORKS = [
    pytest.param(NUMPY, "npz", {"MODEL_NAME": "model.npz"}, id="numpy"),
    pytest.param(TORCH, "pth", {"BACKEND_TYPE": "TORCH", "epochs": "30", "learning_rate": "0.05"}, id="torch"),
    pytest.param(ONNX, "onnx", {"BACKEND_TYPE": "ONNX"}, id="onnx"),
]
SURE, UNSURE = [3.0, -3.0], [0.0, 0.0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One node: user code, its data, and the variables of a job."""

    folder: Path
    environment: dict[str, str]

    def variables(self, **more: str) -> dict[str, str]:
        keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return keep | {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"} | self.environment | more

    def run(self, script: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, self.folder / script],
            env=self.variables(**more),
            capture_output=True,
            text=True,
            check=False,
        )


def site(folder: Path, interface: str, **environment: str) -> Site:
    chance = np.random.default_rng(5)
    points = chance.normal(size=(400, 2))
    lines = [f"{a} {b} {int(a > b)}" for a, b in points]
    (folder / "train.txt").write_text("\n".join(lines[:300]))
    (folder / "flipped.txt").write_text("\n".join(f"{a} {b} {int(a < b)}" for a, b in points[:300]))
    (folder / "test.txt").write_text("\n".join(lines[300:]))
    (folder / "interface.py").write_text(interface)
    for name, text in (("train.py", TRAIN), ("eval.py", EVALUATE), ("inference.py", INFER)):
        (folder / name).write_text(text)
    job = {"NAMESPACE": "ns", "JOB_NAME": "helmets", "DATA_PATH_PREFIX": "/home/data"}
    return Site(folder=folder, environment=job | environment)


def trained(at: Site, number: int, data: str, suffix: str, **more: str) -> Path:
    """Train one round; the model's path."""
    out = at.folder / "train" / str(number)
    url = str(at.folder / data)
    ran = at.run("train.py", WORKER_NAME=f"train-{number}", MODEL_URL=str(out), TRAIN_DATASET_URL=url, **more)
    assert ran.returncode == 0, ran.stderr
    return out / f"model.{suffix}"


@contextmanager
def inferring(at: Site, **more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, at.folder / "inference.py"],
        env=at.variables(WORKER_NAME="infer-1", **more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        _pipe(process.stdin).close()
        assert process.wait(60) == 0


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def answer(process: subprocess.Popen[str], frame: list[float]) -> dict[str, Any]:
    _pipe(process.stdin).write(f"{json.dumps(frame)}\n")
    _pipe(process.stdin).flush()
    read = json.loads(_pipe(process.stdout).readline())
    assert isinstance(read, dict)
    return read


@pytest.mark.parametrize(("interface", "suffix", "given"), FRAMEWORKS)
def test_user_code_trains_evaluates_and_infers(
    tmp_path: Path, interface: str, suffix: str, given: dict[str, str]
) -> None:
    with RecordingLocalController().running() as controller:
        at = site(tmp_path, interface, LC_SERVER=controller.url, **given)
        old = trained(at, 1, "flipped.txt", suffix)
        new = trained(at, 2, "train.txt", suffix)
        test = str(tmp_path / "test.txt")
        ran = at.run("eval.py", WORKER_NAME="eval-2", MODEL_URLS=f"{new};{old}", TEST_DATASET_URL=test)
        assert ran.returncode == 0, ran.stderr
        hem = json.dumps([{"key": "threshold_cross_entropy", "value": "0.9"}])
        with inferring(at, MODEL_URL=str(new), HEM_NAME="CrossEntropy", HEM_PARAMETERS=hem) as process:
            assert answer(process, SURE) == {"class": 1, "hard": False}
            assert answer(process, UNSURE)["hard"] is True
    first, second, evaluated, inferred = controller.reports
    assert [(info.name, info.kind, info.status) for info in (first, second, evaluated)] == [
        ("train-1", "train", "completed"),
        ("train-2", "train", "completed"),
        ("eval-2", "eval", "completed"),
    ]
    assert [(model.format, model.url) for model in evaluated.results] == [(suffix, str(new)), (suffix, str(old))]
    better, worse = (next(iter(model.numbers().values())) for model in evaluated.results)
    assert np.mean(better) > 0.9 > 0.1 > np.mean(worse)
    assert second.results[0].digest == digest_of(new.read_bytes())
    assert (inferred.kind, inferred.status, inferred.owner_kind) == ("inference", "", "incrementallearningjob")
    assert inferred.owner_info is not None
    assert (inferred.owner_info["inferenceNumber"], inferred.owner_info["hardExampleNumber"]) == (2, 1)


@pytest.mark.parametrize(("interface", "suffix", "given"), FRAMEWORKS)
def test_a_running_worker_takes_over_three_models_and_refuses_a_broken_one(
    tmp_path: Path, interface: str, suffix: str, given: dict[str, str]
) -> None:
    at = site(tmp_path, interface, **given)
    models = [trained(at, 1, "train.txt", suffix), trained(at, 2, "flipped.txt", suffix)]
    config = tmp_path / "model_config.json"

    def announce(model: Path, number: int) -> None:
        config.with_suffix(".part").write_text(
            json.dumps({"model_config": {"model_path": str(model), "model_update_time": f"round {number}"}})
        )
        config.with_suffix(".part").replace(config)

    with RecordingLocalController().running() as controller:
        hot = {"MODEL_HOT_UPDATE": "true", "MODEL_POLL_PERIOD_SECONDS": "0.05", "MODEL_HOT_UPDATE_CONFIG": str(config)}
        with inferring(at, LC_SERVER=controller.url, MODEL_URL=str(models[0]), **hot) as process:
            assert answer(process, SURE)["class"] == 1
            for number in (1, 2, 3):
                announce(models[number % 2], number)
                assert controller.wait_for(number)[-1].status == "completed"
                assert answer(process, SURE)["class"] == 1 - number % 2
            broken = tmp_path / f"broken.{suffix}"
            broken.write_bytes(models[0].read_bytes()[:20])
            announce(broken, 4)
            failed = controller.wait_for(4)[-1]
            assert (failed.kind, failed.status, failed.results[0].url) == ("deploy", "failed", str(broken))
            assert failed.reason
            config.write_text('{"model_config": {"model_pa')
            assert answer(process, SURE)["class"] == 0
            announce(models[0], 5)
            assert controller.wait_for(5)[-1].status == "completed"
            assert answer(process, SURE)["class"] == 1


def test_a_training_that_fails_is_reported_and_ends_with_its_error(tmp_path: Path) -> None:
    with RecordingLocalController().running() as controller:
        at = site(tmp_path, NUMPY, LC_SERVER=controller.url)
        data = str(tmp_path / "train.txt")
        ran = at.run(
            "train.py", WORKER_NAME="train-1", MODEL_URL=f"{tmp_path}/out", TRAIN_DATASET_URL=data, EPOCHS="-1"
        )
    assert ran.returncode == 1
    assert "ValueError: nothing to learn in 0 epochs" in ran.stderr
    (info,) = controller.reports
    assert (info.status, info.reason) == ("failed", "ValueError: nothing to learn in 0 epochs")


def test_user_code_goes_on_without_a_local_controller(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{taken.getsockname()[1]}"
        at = site(tmp_path, NUMPY, LC_SERVER=server, MODEL_NAME="model.npz", ORBITLOOP_REPORT_TRIES="2")
        assert trained(at, 1, "train.txt", "npz").is_file()


def test_user_code_goes_on_when_the_local_controller_hangs(tmp_path: Path) -> None:
    brief = {"ORBITLOOP_REPORT_TRIES": "2", "ORBITLOOP_REPORT_TIMEOUT_SECONDS": "0.1"}
    with RecordingLocalController(silent=True).running() as controller:
        at = site(tmp_path, NUMPY, LC_SERVER=controller.url, MODEL_NAME="model.npz", **brief)
        assert trained(at, 1, "train.txt", "npz").is_file()
        assert controller.requests >= 1


def test_a_setting_that_cannot_be_read_ends_the_worker_with_one_clear_line(tmp_path: Path) -> None:
    at = site(tmp_path, NUMPY, LC_PERIOD="often")
    ran = at.run("train.py", MODEL_URL=str(tmp_path), TRAIN_DATASET_URL=str(tmp_path / "train.txt"))
    assert ran.returncode == 1
    assert ran.stderr.strip().splitlines()[-1].endswith("BadInput: LC_PERIOD is 'often', which is no number")


def test_importing_reads_no_setting(tmp_path: Path) -> None:
    at = site(tmp_path, NUMPY, LC_PERIOD="often", BIG_MODEL_PORT="high", LOG_LEVEL="loud")
    (tmp_path / "only.py").write_text("import sedna.core.joint_inference, orbitloop.worker")
    assert at.run("only.py").returncode == 0


BIG = """
from sedna.core.joint_inference import BigModelService
from interface import Estimator

class Told(BigModelService):
    def bind(self):
        super().bind()
        print(self.port, flush=True)

Told(estimator=Estimator).start()
"""
LITTLE = """
import json
import numpy as np
from sedna.core.joint_inference import JointInference
from interface import Estimator

class First(Estimator):
    def predict(self, data, **kwargs):
        return super().predict(data)[0]

job = JointInference(estimator=First)
for frame in ([3.0, -3.0], [0.0, 0.0]):
    hard, final, edge, cloud = job.inference(np.array([frame]))
    print(json.dumps([hard, np.asarray(final).shape, cloud is not None]))
"""


def test_an_edge_worker_and_a_big_model_work_together_and_the_edge_alone(tmp_path: Path) -> None:
    at = site(tmp_path, NUMPY, MODEL_NAME="model.npz")
    model = trained(at, 1, "train.txt", "npz")
    (tmp_path / "big.py").write_text(BIG)
    (tmp_path / "little.py").write_text(LITTLE)
    service = Site(folder=tmp_path, environment={"NAMESPACE": "ns", "SERVICE_NAME": "helmets", "MODEL_URL": str(model)})
    big = subprocess.Popen(
        [sys.executable, tmp_path / "big.py"],
        env=service.variables(WORKER_NAME="cloud", BIG_MODEL_BIND_PORT="0", BIG_MODEL_BIND_IP="127.0.0.1"),
        stdout=subprocess.PIPE,
        text=True,
    )
    with RecordingLocalController().running() as controller, big:
        try:
            edge = {
                "WORKER_NAME": "edge",
                "LC_SERVER": controller.url,
                "BIG_MODEL_IP": "127.0.0.1",
                "BIG_MODEL_PORT": _pipe(big.stdout).readline().strip(),
                "HEM_NAME": "CrossEntropy",
                "HEM_PARAMETERS": '[{"key": "threshold_cross_entropy", "value": "0.5"}]',
            }
            ran = service.run("little.py", **edge)
        finally:
            big.terminate()
            big.wait(60)
        alone = service.run("little.py", **edge)
    assert ran.returncode == 0, ran.stderr
    assert [json.loads(line) for line in ran.stdout.splitlines()] == [[False, [2], False], [True, [1, 2], True]]
    assert alone.returncode == 0, alone.stderr
    assert [json.loads(line) for line in alone.stdout.splitlines()] == [[False, [2], False], [True, [2], False]]
    together, by_itself = controller.reports
    assert (together.owner_kind, together.owner_name) == ("jointinferenceservice", "helmets")
    assert together.owner_info is not None
    assert by_itself.owner_info is not None
    assert (together.owner_info["uploadCloudRatio"], by_itself.owner_info["uploadCloudRatio"]) == (0.5, 0.0)
