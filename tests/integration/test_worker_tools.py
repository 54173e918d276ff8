"""The worker tools as processes, killed at any moment, beside an inference worker that goes on answering."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.index_lines import IndexFormat
from orbitloop.worker.rounds import RoundCut, Segment, cut_round

TOOLS = [sys.executable, "-m", "orbitloop.worker.tools"]
GENEROUS_S = 80.0
WORKER = """
import sys
from pathlib import Path
from sedna.core.incremental_learning import IncrementalLearning

class Estimator:
    def load(self, model_url):
        text = Path(model_url).read_text()
        if not text.startswith("model "):
            raise ValueError("the file begins with no model")
        self.name = text.split()[1]

    def predict(self, data, **kwargs):
        return self.name

job = IncrementalLearning(estimator=Estimator)
for line in sys.stdin:
    print(job.inference(line)[0], flush=True)
"""


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GENEROUS_S
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {GENEROUS_S} s"
        time.sleep(0.002)


@dataclass(kw_only=True)
class Site:
    """A folder that the deployments and the inference worker share."""

    folder: Path
    process: subprocess.Popen[str] = field(init=False)

    @property
    def hot(self) -> Path:
        return self.folder / "hot"

    def environment(self, **more: str) -> dict[str, str]:
        keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return keep | {"ORBITLOOP_TERMINATION_LOG": str(self.folder / "log")} | more

    @contextmanager
    def serving(self, first: Path) -> Iterator[None]:
        variables = {
            "MODEL_URL": str(first),
            "MODEL_HOT_UPDATE": "true",
            "MODEL_POLL_PERIOD_SECONDS": "0.05",
            "MODEL_HOT_UPDATE_CONFIG": str(self.hot / "model_config.json"),
        }
        (self.folder / "inference.py").write_text(WORKER)
        self.process = subprocess.Popen(
            [sys.executable, self.folder / "inference.py"],
            env=self.environment(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with self.process:
            yield
            _pipe(self.process.stdin).close()
            assert self.process.wait(GENEROUS_S) == 0

    def answer(self) -> str:
        _pipe(self.process.stdin).write("frame\n")
        _pipe(self.process.stdin).flush()
        return _pipe(self.process.stdout).readline().strip()

    def model(self, name: str, *, begin: str = "model") -> Path:
        """A model of some megabytes, so that copying it takes its time."""
        path = self.folder / "trained" / name / "model.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{begin} {name} " + "x" * 4_000_000)
        return path

    def command(self, model: Path) -> list[str]:
        told = ["--model", str(model), "--hot-update", str(self.hot), "--keep", "2", "--wait-seconds", "80"]
        return [*TOOLS, "deploy", *told]

    def deploy(self, model: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(model), env=self.environment(), capture_output=True, text=True, check=False)

    def killed(self, model: Path, once: Callable[[], bool]) -> None:
        """A deployment that is killed as soon as something is so."""
        with subprocess.Popen(self.command(model), env=self.environment()) as process:
            until(lambda: once() or process.poll() is not None, "the moment to kill it")
            process.kill()

    def words(self) -> dict[str, object]:
        return dict(json.loads((self.folder / "log").read_text()))


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def test_a_worker_takes_over_what_is_deployed_while_it_answers(tmp_path: Path) -> None:
    site = Site(folder=tmp_path)
    with site.serving(site.model("first")):
        assert site.answer() == "first"
        for name in ("second", "third", "fourth"):
            model = site.model(name)
            done = site.deploy(model)
            assert (done.returncode, done.stderr) == (0, "")
            assert site.answer() == name
            assert (site.words()["kind"], site.words()["status"]) == ("deploy", "completed")
        kept = {hexadecimal(digest_of(site.model(name).read_bytes())) for name in ("third", "fourth")}
        assert {path.name for path in site.hot.iterdir() if path.is_dir()} == kept
        failed = site.deploy(site.model("broken", begin="no"))
        assert failed.returncode == 1
        assert failed.stderr.count("\n") == 1
        assert "ValueError: the file begins with no model" in failed.stderr
        assert site.words()["status"] == "failed"
        assert "the file begins with no model" in str(site.words()["message"])
        assert site.answer() == "fourth"


def test_a_deployment_that_is_killed_at_any_moment_is_finished_by_the_next_call(tmp_path: Path) -> None:
    site = Site(folder=tmp_path)
    with site.serving(site.model("first")):
        names = ("begun", "copying", "copied", "announced", "answered")
        digests = {name: digest_of(site.model(name).read_bytes()) for name in names}
        moments: dict[str, Callable[[], bool]] = {
            "begun": (site.hot / hexadecimal(digests["begun"])).exists,
            "copying": lambda: any(path.stat().st_size > 0 for path in site.hot.glob("*/.*.unfinished")),
            "copied": (site.hot / hexadecimal(digests["copied"]) / "model.txt").exists,
            "announced": lambda: digests["announced"] in _text(site.hot / "model_config.json"),
            "answered": lambda: digests["answered"] in _text(site.hot / "loaded.json"),
        }
        for name, moment in moments.items():
            model = site.model(name)
            site.killed(model, moment)
            assert site.answer() in {"first", *names}
            done = site.deploy(model)
            assert (done.returncode, done.stderr) == (0, "")
            assert site.answer() == name
        versions = [path for path in site.hot.iterdir() if path.is_dir()]
        assert len(versions) == 2
        assert [path.name for version in versions for path in version.iterdir()] == ["model.txt", "model.txt"]


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("moment", ["folder", "train", "eval"])
def test_lists_of_a_round_are_whole_whenever_the_tool_is_killed(tmp_path: Path, moment: str) -> None:
    index = tmp_path / "index.txt"
    index.write_text("".join(f"image{number}.jpg {number % 7}\n" for number in range(30_000)))
    train, evaluate = tmp_path / "out" / "train" / "data.txt", tmp_path / "out" / "eval" / "data.txt"
    told = ["--index", index, "--format", "txt", "--segments", "0:10000,10000:30000", "--train-prob", "0.5"]
    command = [str(word) for word in (*TOOLS, "cut-round", *told, "--train-to", train, "--eval-to", evaluate)]
    segments = (Segment(begin=0, end=10_000), Segment(begin=10_000, end=30_000))
    expected = cut_round(index, RoundCut(format=IndexFormat.TXT, segments=segments, share=0.5))
    awaited = {"folder": train.parent, "train": train, "eval": evaluate}[moment]
    with subprocess.Popen(command) as process:
        until(lambda: awaited.exists() or process.poll() is not None, "the moment to kill it")
        process.kill()
    for path, whole in ((train, expected.train), (evaluate, expected.evaluate)):
        assert not path.exists() or path.read_bytes() == whole
    for _ in range(2):
        subprocess.run(command, check=True)
        assert (train.read_bytes(), evaluate.read_bytes()) == (expected.train, expected.evaluate)
        assert [path.name for path in train.parent.iterdir()] == ["data.txt"]


def test_the_folder_of_the_model_becomes_the_worker_s(tmp_path: Path) -> None:
    index, made = tmp_path / "index.txt", tmp_path / "output" / "train" / "1"
    index.write_text("a 0\nb 1\n")
    command: list[str | Path] = [
        *(sys.executable, "-m", "orbitloop.worker.tools", "cut-round", "--index", index, "--format", "txt"),
        *("--segments", "0:2", "--train-prob", "0.5", "--train-to", tmp_path / "train.txt"),
        *("--eval-to", tmp_path / "eval.txt", "--give", made),
    ]
    mine = f"{os.getuid()}:{os.getgid()}"
    to = "65532:65533" if os.geteuid() == 0 else mine
    assert subprocess.run([*command, "--to", to], check=False).returncode == 0
    assert f"{made.stat().st_uid}:{made.stat().st_gid}" == to
    if os.geteuid() == 0:
        (made / "passwd").touch()
        kept = subprocess.run([*command, "--to", "1:1"], check=False, capture_output=True, text=True)
        assert kept.returncode == 1
        assert "somebody else's" in kept.stderr
        assert made.stat().st_uid == 65532
        assert subprocess.run([*command, "--to", to], check=False).returncode == 0, "its own again, at the next attempt"
    refused = subprocess.run([*command, "--to", "somebody"], check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "as UID:GID" in refused.stderr


def test_a_folder_is_given_by_itself(tmp_path: Path) -> None:
    made, mine = tmp_path / "ships" / "1", f"{os.getuid()}:{os.getgid()}"
    command = [sys.executable, "-m", "orbitloop.worker.tools", "give", "--folder", str(made), "--to"]
    assert subprocess.run([*command, mine], check=False).returncode == 0
    assert f"{made.stat().st_uid}:{made.stat().st_gid}" == mine
    refused = subprocess.run([*command, "somebody"], check=False, capture_output=True, text=True)
    assert (refused.returncode, "as UID:GID" in refused.stderr) == (1, True)
