"""``orbitloop run`` as its users start it: a process, manifests, workers that are processes too."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orbitloop_mission.cli import main

INTERFACE = """
import numpy as np

def sample(line):
    x, y = line.split()
    return float(x), float(y)

class Estimator:
    def __init__(self, **kwargs):
        self.slope = 0.0

    def train(self, train_data, **kwargs):
        self.slope = float(np.mean(train_data.y / train_data.x))

    def evaluate(self, data, model_path="", **kwargs):
        self.load(model_path)
        return {"error": float(np.mean(np.abs(data.x * self.slope - data.y))), "share": [1.0, 0.5]}

    def predict(self, data, **kwargs):
        return np.asarray(data) * self.slope

    def load(self, model_url):
        with np.load(model_url) as read:
            self.slope = float(read["slope"])

    def save(self, model_path):
        np.savez(model_path, slope=self.slope)
"""
TRAIN = """
import os, pathlib, time
from sedna.common.config import BaseConfig
from sedna.core.incremental_learning import IncrementalLearning
from sedna.datasources import TxtDataParse
from interface import Estimator, sample

print("token", os.environ.get("TOKEN"), flush=True)
gate = pathlib.Path("gate").resolve()
while gate.exists():
    time.sleep(0.05)
data = TxtDataParse(data_type="train", func=sample)
data.parse(BaseConfig.train_dataset_url)
IncrementalLearning(estimator=Estimator).train(train_data=data)
"""
EVALUATE = """
from sedna.common.config import BaseConfig
from sedna.core.incremental_learning import IncrementalLearning
from sedna.datasources import TxtDataParse
from interface import Estimator, sample

data = TxtDataParse(data_type="eval", func=sample)
data.parse(BaseConfig.test_dataset_url)
IncrementalLearning(estimator=Estimator).evaluate(data)
"""
INFER = """
import time
from sedna.core.incremental_learning import IncrementalLearning
from interface import Estimator

job = IncrementalLearning(estimator=Estimator)
while True:
    raw, result, hard = job.inference([1.0])
    print(f"slope {float(raw[0]):.1f}", flush=True)
    time.sleep(0.1)
"""
REPORTER = """
import json, os, urllib.request
from pathlib import Path

made = Path(os.environ["MODEL_URL"]) / "model.npz"
made.parent.mkdir(parents=True, exist_ok=True)
import numpy
numpy.savez(made, slope=2.0)
name = os.environ["WORKER_NAME"]
body = {"name": name, "namespace": os.environ["NAMESPACE"], "ownerName": os.environ["JOB_NAME"],
        "ownerKind": "incrementallearningjob", "kind": "train", "status": "completed", "ownerInfo": None,
        "results": [{"format": "npz", "url": str(made), "metrics": None}]}
asked = urllib.request.Request(f"{os.environ['LC_SERVER']}/sedna/workers/{name}/info", json.dumps(body).encode(),
                               {"Content-Type": "application/json"})
assert json.load(urllib.request.urlopen(asked)) == {"Status": 200, "Message": "OK"}
"""
JOB = """
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {token: "hidden-and-found"}
---
apiVersion: sedna.io/v1alpha1
kind: Dataset
metadata: {name: samples}
spec: {url: $WORK/index.txt, format: txt, nodeName: edge-7}
---
apiVersion: sedna.io/v1alpha1
kind: Model
metadata: {name: base}
spec: {url: $WORK/base/base.npz, format: npz}
---
apiVersion: sedna.io/v1alpha1
kind: Model
metadata: {name: served}
spec: {url: $WORK/served/served.npz, format: npz}
---
apiVersion: sedna.io/v1alpha1
kind: IncrementalLearningJob
metadata: {name: slope}
spec:
  initialModel: {name: base}
  dataset: {name: samples, trainProb: 0.5}
  trainSpec:
    template:
      spec:
        containers:
          - name: train-worker
            image: example.org/slope:1
            args: [train.py]
            env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}]
    trigger: {condition: {operator: ">=", threshold: 5, metric: num_of_samples}}
  evalSpec:
    template: {spec: {containers: [{name: eval-worker, image: "example.org/slope:1", args: [eval.py]}]}}
  deploySpec:
    model: {name: served}
    trigger: {condition: {operator: "<", threshold: 0, metric: error_delta}}
    hardExampleMining: {name: Random, parameters: [{key: random_ratio, value: "0.1"}]}
    template: {spec: {containers: [{name: infer-worker, image: "example.org/slope:1", args: [infer.py]}]}}
  outputDir: $WORK/output
"""


@dataclass
class Machine:
    """A folder with user code, and the command."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *options: str, manifest: str = "job.yaml") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from orbitloop_mission.cli import main; main()", "run", manifest]
        process = subprocess.Popen(
            [*command, "--state", "state", *options],
            cwd=self.folder,
            env=os.environ | {"WORK": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *options: str, manifest: str = "job.yaml") -> tuple[int, str, str]:
        process = self.start(*options, manifest=manifest)
        said, complained = process.communicate()
        return process.returncode, said, complained

    def complaint(self, monkeypatch: pytest.MonkeyPatch, *options: str) -> tuple[int, str, str]:
        """As :meth:`run`, in this process: what is refused needs none of its own."""
        monkeypatch.chdir(self.folder)
        monkeypatch.setenv("WORK", str(self.folder))
        monkeypatch.setattr(sys, "argv", ["orbitloop", "run", "job.yaml", "--state", "state", *options])
        said, complained = io.StringIO(), io.StringIO()
        with redirect_stdout(said), redirect_stderr(complained), pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.getvalue(), complained.getvalue()

    def status(self) -> dict[str, Any]:
        found = list(self.folder.glob("state/objects/*IncrementalLearningJob*slope.json"))
        status: dict[str, Any] = json.loads(found[0].read_text()).get("status", {}) if found else {}
        return status

    def log(self, pod: str, container: str) -> str:
        path = self.folder / "state" / "logs" / "default" / pod / f"{container}.log"
        return path.read_text() if path.exists() else ""

    def processes(self) -> list[str]:
        """Command lines of processes that work in this folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cwd").readlink().is_relative_to(self.folder) or b"train.py" in (
                    entry / "cmdline"
                ).read_bytes():
                    environment = (entry / "environ").read_bytes()
                    if f"{self.folder}".encode() in environment:
                        found.append(f"{entry.name} {(entry / 'cmdline').read_bytes()!r}")
            except OSError:
                continue
        return found

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait for what the processes bring about; the test's own timeout ends it."""
        while not reached():
            for process in self.started:
                assert process.poll() in {None, -signal.SIGKILL}, process.communicate()
            time.sleep(0.05)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    files = {"interface.py": INTERFACE, "train.py": TRAIN, "eval.py": EVALUATE, "infer.py": INFER, "job.yaml": JOB}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "index.txt").write_text("".join(f"{x} {2 * x}\n" for x in range(1, 21)))
    for name in ("base", "served"):
        (tmp_path / name).mkdir()
        model = f"import numpy; numpy.savez({str(tmp_path / name / name)!r}, slope=1.0)"
        subprocess.run([sys.executable, "-c", model], check=True)
    machine = Machine(tmp_path)
    yield machine
    for process in machine.started:
        process.kill()
        process.communicate()


def digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def without_times(value: Any) -> Any:
    """A status, without what differs from one run to the next."""
    if isinstance(value, dict):
        return {name: without_times(part) for name, part in value.items() if not name.endswith(("Time", "At"))}
    return [without_times(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("options", [[], ["--no-mounts"]], ids=["mounts", "no mounts"])
def test_a_round_is_trained_evaluated_and_deployed(machine: Machine, options: list[str]) -> None:
    code, said, complained = machine.run("--once", "--json", *options)
    assert code == 0, complained
    [job] = json.loads(said)["jobs"]
    status = job["status"]
    assert (status["round"], status["stage"], status["state"]) == (2, "Train", "Waiting")
    assert status["samples"]["used"] == 20
    assert status["deployed"]["url"] == str(machine.folder / "output" / "train" / "1" / "model.npz")
    assert status["deployed"]["digest"] == digest(machine.folder / "served" / "served.npz")
    steps = [f"{one['stage']} {one['type']}" for one in status["conditions"]]
    assert steps[:2] == ["Train Waiting", "Train Ready"]
    assert steps[-3:] == ["Deploy Running", "Deploy Completed", "Train Waiting"]
    assert machine.log("slope-train-1-1", "train-worker").startswith("token hidden-and-found\n")
    assert "slope 1.0" in machine.log("slope-inference-1", "infer-worker")
    assert b"hidden-and-found" not in b"".join(
        path.read_bytes() for path in machine.folder.glob("state/objects/*") if path.is_file()
    )
    assert not machine.processes()


def test_the_inference_worker_is_started_again_with_the_new_model(machine: Machine) -> None:
    process = machine.start()
    machine.until(lambda: "slope 2.0" in machine.log("slope-inference-2", "infer-worker"))
    assert "slope 2.0" not in machine.log("slope-inference-1", "infer-worker")
    process.send_signal(signal.SIGINT)
    _, complained = process.communicate()
    assert process.returncode == 130
    assert complained.endswith("orbitloop: stopped\n")
    assert not machine.processes()


def test_samples_that_come_later_are_the_next_round(machine: Machine) -> None:
    process = machine.start("--rounds", "2")
    machine.until(lambda: machine.status().get("round") == 2)
    with (machine.folder / "index.txt").open("a") as index:
        index.write("".join(f"{x} {3 * x}\n" for x in range(1, 31)))
    process.communicate()
    assert process.returncode == 0
    status = machine.status()
    assert status["samples"]["used"] == 50
    assert status["deployed"]["url"].endswith("/output/train/2/model.npz")
    assert machine.run("--rounds", "2")[0] == 0


def test_what_was_killed_in_the_middle_of_a_round_ends_as_if_it_had_not_been(machine: Machine, tmp_path: Path) -> None:
    gate = machine.folder / "gate"
    gate.touch()
    process = machine.start("--once")
    machine.until(lambda: "token" in machine.log("slope-train-1-1", "train-worker"))
    assert machine.processes()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    machine.until(lambda: not machine.processes())
    gate.unlink()
    code, _, complained = machine.run("--once")
    assert code == 0, complained
    interrupted = without_times(machine.status())
    assert machine.log("slope-train-1-1", "train-worker").count("token") == 2
    for path in ("state", "output"):
        (machine.folder / path).rename(machine.folder / f"{path}-before")
    subprocess.run(["cp", "base/base.npz", "served/served.npz"], cwd=machine.folder, check=True)
    assert machine.run("--once")[0] == 0
    assert without_times(machine.status()) == interrupted


def test_a_failing_worker_backs_off_and_says_why(machine: Machine) -> None:
    (machine.folder / "train.py").write_text("raise SystemExit('no such sensor')")
    process = machine.start()
    machine.until(lambda: machine.status().get("phase") == "BackingOff")
    status = machine.status()
    assert status["failures"] == 1
    assert status["retryAt"] > status["failedAt"]
    assert "no such sensor" in status["lastError"]
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert "no such sensor" in said


def test_a_worker_that_only_tells_its_local_controller_is_heard(machine: Machine) -> None:
    (machine.folder / "train.py").write_text(REPORTER)
    code, _, complained = machine.run("--once")
    assert code == 0, complained
    assert machine.status()["deployed"]["url"].endswith("/output/train/1/model.npz")


def changed(machine: Machine, old: str, new: str) -> None:
    text = JOB.replace(old, new)
    assert text != JOB
    (machine.folder / "job.yaml").write_text(text)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: keys, key: token", "name: lost, key: token", "Secret default/lost is not there; add it"),
        ("initialModel: {name: base}", "initialModel: {name: lost}", "namespace default lacks Model lost"),
        ("name: samples, trainProb", "name: lost, trainProb", "namespace default lacks Dataset lost"),
    ],
    ids=["a Secret", "a Model", "a Dataset"],
)
def test_a_job_that_needs_somebody_ends_the_run_with_one_error(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, old: str, new: str, said: str
) -> None:
    changed(machine, old, new)
    code, _, complained = machine.complaint(monkeypatch)
    assert code == 2
    assert complained.startswith("orbitloop: IncrementalLearningJob slope: ")
    assert said in complained
    assert complained.count("\n") == 1


def test_a_mended_manifest_goes_on_where_it_was_blocked(machine: Machine) -> None:
    changed(machine, "name: keys, key: token", "name: lost, key: token")
    assert machine.run("--once")[0] == 2
    (machine.folder / "job.yaml").write_text(JOB)
    code, _, complained = machine.run("--once")
    assert code == 0, complained
    assert machine.status()["failures"] == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("trainProb: 0.5", "trainProb: much", "spec.dataset.trainProb"),
        ("kind: Model\nmetadata: {name: base}", "kind: Modell\nmetadata: {name: base}", "nothing here knows 'Modell'"),
        ("url: $WORK/index.txt", "url: $NOWHERE_SET/index.txt", r"not set: $NOWHERE_SET (line 10)"),
        ("args: [train.py]", "args: [5]", "args.0: text, so 5 needs quotes"),
        ("metric: num_of_samples}", "metric: num_of_samples, metric: x}", "metric stands twice"),
        ("kind: IncrementalLearningJob", "kind: LifelongLearningJob", "job.yaml:"),
    ],
    ids=["a type", "a kind", "a variable", "an argument", "a key", "another kind's fields"],
)
def test_a_bad_manifest_is_one_error_with_its_place(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, old: str, new: str, said: str
) -> None:
    changed(machine, old, new)
    code, printed, complained = machine.complaint(monkeypatch)
    assert (code, printed) == (2, "")
    assert complained.startswith("orbitloop: job.yaml")
    assert said in complained
    assert complained.count("\n") == 1
    assert not (machine.folder / "state").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--once", "--rounds", "2"], "exclude each other"),
        (["--rounds", "0"], "must be at least 1"),
        (["--set", "X"], "is no NAME=VALUE"),
        (["--image", "a=/nowhere"], "neither a folder nor a program"),
    ],
)
def test_a_wrong_option_is_one_error(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    code, _, complained = machine.complaint(monkeypatch, *options)
    assert code == 2
    assert said in complained


def test_too_few_samples_are_no_failure_and_no_success(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.folder / "index.txt").write_text("1 2\n2 4\n")
    code, _, complained = machine.complaint(monkeypatch, "--once")
    assert code == 75
    says = "num_of_samples is 1, asked for is >= 5; of 2 new samples 1 are for training"
    assert complained == f"orbitloop: IncrementalLearningJob slope: {says}\n"


def test_a_dataset_that_is_not_there_is_said(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.folder / "index.txt").unlink()
    code, _, complained = machine.complaint(monkeypatch, "--once")
    assert code == 75
    assert f"{machine.folder}/index.txt: No such file or directory" in complained


def test_one_state_is_used_by_one_run(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.folder / "gate").touch()
    machine.start()
    machine.until(lambda: "token" in machine.log("slope-train-1-1", "train-worker"))
    code, _, complained = machine.complaint(monkeypatch, "--once")
    assert code == 2
    assert "is open in another process" in complained


def test_an_image_may_stand_for_a_folder(machine: Machine) -> None:
    code_folder = machine.folder / "code"
    code_folder.mkdir()
    for name in ("interface.py", "train.py", "eval.py", "infer.py"):
        (machine.folder / name).rename(code_folder / name)
    code, said, complained = machine.run("--once", "--image", "example.org/slope=code")
    assert code == 0, complained
    assert f"in {code_folder} stands in for it" in " ".join(said.split())
