"""What the jobs of a worker give to user code, and what they report."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.wire.worker_messages import WorkerInfo
from orbitloop.worker import ClassFactory, ClassType, IncrementalLearning
from orbitloop.worker.job import plain_metrics
from orbitloop.worker.settings import WorkerSettings, read_settings


class Reports:
    """A reporter that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[WorkerInfo] = []

    def send(self, info: WorkerInfo) -> bool:
        self.sent.append(info)
        return True


class Mean:
    """Says how far from the mean of what it was trained on."""

    def __init__(self) -> None:
        self.mean = 0.0

    def train(self, train_data: Any, valid_data: Any = None, **_: Any) -> float:
        self.mean = float(np.mean(train_data))
        return self.mean

    def evaluate(self, data: Any, model_path: str, **_: Any) -> dict[str, Any]:
        self.load(model_path)
        return {"error": np.abs(np.asarray(data) - self.mean).mean(), "each": np.abs(np.asarray(data) - self.mean)}

    def predict(self, data: Any, **_: Any) -> list[list[float]]:
        return [[0, 0, 1, 1, float(data), 1]]

    def load(self, model_url: str) -> None:
        self.mean = float(Path(model_url).read_text())

    def save(self, model_path: str) -> None:
        Path(model_path).write_text(str(self.mean))


def settings(**given: str) -> WorkerSettings:
    return read_settings(
        {"NAMESPACE": "ns", "JOB_NAME": "helmets", "WORKER_NAME": "worker-1", "LOG_LEVEL": "INFO"} | given
    )


def job(
    reports: Reports, estimator: Any = Mean, hem: dict[str, Any] | None = None, **given: str
) -> IncrementalLearning:
    return IncrementalLearning(estimator, hem, settings=settings(**given), reporter=reports)


def test_training_saves_into_the_folder_and_reports_the_model(tmp_path: Path) -> None:
    reports = Reports()
    work = job(reports, MODEL_URL=f"{tmp_path}/train/1", BASE_MODEL_URL="/base/model.npz")
    assert work.train([1, 2, 3]) is work.estimator
    path = tmp_path / "train" / "1" / "model.npz"
    assert path.read_text() == "2.0"
    (info,) = reports.sent
    assert (info.name, info.namespace, info.owner_name, info.owner_kind) == (
        "worker-1",
        "ns",
        "helmets",
        "incrementallearningjob",
    )
    assert (info.kind, info.status, info.results[0].format, info.results[0].url) == (
        "train",
        "completed",
        "npz",
        str(path),
    )
    assert info.results[0].digest == digest_of(b"2.0")


def test_of_processes_that_train_together_the_first_saves_and_reports(tmp_path: Path) -> None:
    reports = Reports()
    words = {str(rank): tmp_path / f"words-{rank}" for rank in (0, 1, 2)}
    for rank, local in (("0", "0"), ("1", "1"), ("2", "0")):
        told = {"RANK": rank, "LOCAL_RANK": local, "ORBITLOOP_TERMINATION_LOG": str(words[rank])}
        job(reports, Mean, None, MODEL_URL=f"{tmp_path}/out-{rank}", **told).train([1, 2, 3])
    (info,) = reports.sent
    assert info.results[0].url == f"{tmp_path}/out-0/model"
    assert [path.name for path in sorted(tmp_path.glob("out-*"))] == ["out-0"]
    assert json.loads(words["0"].read_text())["results"] != []
    assert not words["1"].exists(), "it shares the pod, and so the last words, of the first"
    said = json.loads(words["2"].read_text())
    assert (said["status"], said["results"]) == ("completed", [])


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "model"),
        ({"BACKEND_TYPE": "TENSORFLOW"}, "model.pb"),
        ({"BACKEND_TYPE": "TORCH"}, "model.pth"),
        ({"BACKEND_TYPE": "TORCH", "BASE_MODEL_URL": "/base/yolo.pt"}, "model.pt"),
        ({"PRETRAINED_MODEL_URL": "/base/a.ckpt"}, "model.ckpt"),
        ({"MODEL_NAME": "mine.bin", "BASE_MODEL_URL": "/base/a.ckpt"}, "mine.bin"),
    ],
    ids=str,
)
def test_sednas_bug_in_the_name_of_a_trained_model_is_fixed(tmp_path: Path, given: dict[str, str], name: str) -> None:
    assert job(Reports(), Mean, None, MODEL_URL=str(tmp_path), **given).model_path == f"{tmp_path}/{name}"


@pytest.mark.parametrize(
    ("url", "given", "path"),
    [
        ("/out/model.pth", {}, "/out/model.pth"),
        ("/out/v1.2", {"BACKEND_TYPE": "TORCH"}, "/out/v1.2/model.pth"),
        ("/out", {"MODEL_PATH": "/elsewhere/m.pb"}, "/elsewhere/m.pb"),
        ("owner/name", {"MODEL_LOAD_MODE": "hf"}, "owner/name"),
        ("", {}, ""),
    ],
)
def test_where_a_model_is(url: str, given: dict[str, str], path: str) -> None:
    assert job(Reports(), Mean, None, MODEL_URL=url, **given).model_path == path


def test_evaluation_gives_and_reports_every_model_in_order(tmp_path: Path) -> None:
    reports = Reports()
    new, old = tmp_path / "new.npz", tmp_path / "old.npz"
    new.write_text("2")
    old.write_text("0")
    found = job(reports, MODEL_URLS=f"{new};{old}").evaluate([1, 3])
    assert found == [
        {"format": "npz", "url": str(new), "metrics": {"error": 1.0, "each": [1.0, 1.0]}},
        {"format": "npz", "url": str(old), "metrics": {"error": 2.0, "each": [1.0, 3.0]}},
    ]
    (info,) = reports.sent
    assert [result.numbers() for result in info.results] == [
        {"error": 1.0, "each": (1.0, 1.0)},
        {"error": 2.0, "each": (1.0, 3.0)},
    ]
    assert (info.kind, info.status) == ("eval", "completed")


def test_post_processing_of_an_evaluation_makes_the_metrics(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("2")
    found = job(Reports(), MODEL_URLS=f"{tmp_path}/m").evaluate(
        [1, 3], post_process=lambda found: {"e": found["error"]}
    )
    assert found[0]["metrics"] == {"e": 1.0}


def test_inference_gives_raw_processed_and_hard(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("2")
    work = job(Reports(), hem={"method": "Threshold", "param": {"threshold": "0.5"}}, MODEL_URL=f"{tmp_path}/m")

    @ClassFactory.register(ClassType.CALLBACK, alias="lowered")
    def lowered(boxes: list[list[float]]) -> list[list[float]]:
        boxes[0][4] -= 0.3
        return boxes

    assert work.inference(0.7) == ([[0, 0, 1, 1, 0.7, 1]], [[0, 0, 1, 1, 0.7, 1]], False)
    raw, processed, hard = work.inference(0.7, post_process="lowered")
    assert (raw[0][4], processed[0][4], hard) == (0.7, pytest.approx(0.4), True)
    assert work.inference(0.7, post_process=lowered)[2] is True
    assert work.estimator.mean == 2.0


def test_the_manifests_miner_is_used_where_the_code_names_none() -> None:
    reports = Reports()
    asked = '[{"key": "threshold", "value": "0.9"}]'
    work = job(reports, Mean(), HEM_NAME="Threshold", HEM_PARAMETERS=asked)
    assert work.inference(0.8)[2] is True
    assert job(reports, Mean(), {"method": "EdgeOnly"}, HEM_NAME="Threshold").inference(0.1)[2] is False
    assert job(reports, Mean()).inference(0.1)[2] is False


def broken(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("the learning rate is 0")


def leaving(*_: Any, **__: Any) -> Any:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"train": broken}, ZeroDivisionError, "ZeroDivisionError: the learning rate is 0"),
        ({"train": leaving}, SystemExit, "SystemExit: 3"),
        ({"save": broken}, ZeroDivisionError, "ZeroDivisionError: the learning rate is 0"),
        ({"save": lambda self, path: None}, BadInput, "left no model"),
        ({"train": None}, BadInput, "has no method train"),
    ],
)
def test_a_training_that_fails_is_reported_before_the_error_goes_on(
    tmp_path: Path, change: dict[str, Any], error: type[BaseException], reason: str
) -> None:
    reports = Reports()
    with pytest.raises(error):
        job(reports, type("Changed", (Mean,), change), MODEL_URL=str(tmp_path)).train([1])
    (info,) = reports.sent
    assert (info.kind, info.status) == ("train", "failed")
    assert reason in info.reason


@pytest.mark.parametrize(
    ("evaluate", "given", "reason"),
    [
        (broken, {}, "ZeroDivisionError"),
        (lambda self, data, model_path: 0.5, {}, "must give a dictionary of metrics"),
        (lambda self, data, model_path: {"precision": "high"}, {}, "metric precision is 'high'"),
        (lambda self, data, model_path: {"precision": float("nan")}, {}, "must be finite"),
        (broken, {"MODEL_URLS": "/no/such/model.pb"}, "/no/such/model.pb of MODEL_URLS does not exist"),
        (broken, {"MODEL_URLS": ""}, "MODEL_URLS is not set"),
    ],
)
def test_an_evaluation_that_fails_is_reported_before_the_error_goes_on(
    tmp_path: Path, evaluate: Callable[..., Any], given: dict[str, str], reason: str
) -> None:
    reports = Reports()
    (tmp_path / "m").write_text("2")
    estimator = type("Changed", (Mean,), {"evaluate": evaluate})
    with pytest.raises((BadInput, ZeroDivisionError)):
        job(reports, estimator, None, **({"MODEL_URLS": f"{tmp_path}/m"} | given)).evaluate([1])
    (info,) = reports.sent
    assert (info.kind, info.status) == ("eval", "failed")
    assert reason in info.reason


def test_training_without_a_place_for_the_model_says_what_to_set() -> None:
    with pytest.raises(BadInput, match="MODEL_URL is not set"):
        job(Reports()).train([1])


def test_metrics_become_plain_numbers() -> None:
    assert plain_metrics({"a": np.float32(0.5), "b": np.array([1, 2]), "c": (1, 2.5), "d": np.array(3)}) == {
        "a": 0.5,
        "b": [1.0, 2.0],
        "c": [1.0, 2.5],
        "d": 3.0,
    }


def test_a_model_on_another_machine_that_cannot_be_read_is_one_clear_error() -> None:
    with pytest.raises(Refused, match="storage initializer"):
        job(Reports(), MODEL_URL="s3://bucket/model.pb").inference(0.5)


def test_a_result_is_left_as_the_containers_last_words(tmp_path: Path) -> None:
    log, new = tmp_path / "log", tmp_path / "new.npz"
    new.write_text("2")
    job(Reports(), MODEL_URL=f"{tmp_path}/out", ORBITLOOP_TERMINATION_LOG=str(log)).train([1, 2, 3])
    url = f"{tmp_path}/out/model"
    trained = {"format": "", "url": url, "digest": digest_of(b"2.0")}
    assert json.loads(log.read_text()) == {"kind": "train", "status": "completed", "results": [trained], "message": ""}
    job(Reports(), MODEL_URLS=str(new), ORBITLOOP_TERMINATION_LOG=str(log)).evaluate([1, 3])
    words = json.loads(log.read_text())
    assert (words["kind"], words["results"][0]["metrics"]) == ("eval", {"error": 1.0, "each": [1.0, 1.0]})


@pytest.mark.parametrize("accepted", [True, False], ids=["beside a Local Controller", "without one"])
def test_a_failure_is_left_as_the_containers_last_words(tmp_path: Path, accepted: bool) -> None:
    log = tmp_path / "log"
    given = {"MODEL_URL": str(tmp_path), "ORBITLOOP_TERMINATION_LOG": str(log)}
    estimator = type("Changed", (Mean,), {"train": broken})
    with pytest.raises(ZeroDivisionError):
        IncrementalLearning(estimator, settings=settings(**given), reporter=Reports() if accepted else None).train([1])
    reason = "ZeroDivisionError: the learning rate is 0"
    assert json.loads(log.read_text()) == {"kind": "train", "status": "failed", "results": [], "message": reason}
