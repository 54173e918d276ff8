"""The model that answers, and how a hot update replaces it."""

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.wire.worker_messages import WorkerStatus
from orbitloop.worker.backends import Backend
from orbitloop.worker.hot_update import HotUpdate, Outcome
from orbitloop.worker.serving import Serving


class Scale:
    """Multiplies by the number in its file; refuses files that hold none, after it forgot the old one."""

    loads = 0

    def __init__(self) -> None:
        self.factor = 0.0

    def load(self, model_url: str) -> None:
        type(self).loads += 1
        self.factor = float("nan")
        self.factor = float(Path(model_url).read_text())

    def predict(self, data: float) -> float:
        return self.factor * data


class InPlace:
    """Keeps its state inside a list, which is not replaced but changed."""

    def __init__(self) -> None:
        self.state = [0.0]

    def load(self, model_url: str) -> None:
        self.state[0] = -1.0
        self.state[0] = float(Path(model_url).read_text())

    def predict(self, data: float) -> float:
        return self.state[0] * data


class Site:
    """A worker's folder, with the file that names the model."""

    def __init__(self, folder: Path, estimator: Any) -> None:
        self.folder = folder
        self.config = folder / "model_config.json"
        self.outcomes: list[Outcome] = []
        first = folder / "first"
        first.write_text("1")
        self.serving = Serving(Backend(estimator))
        self.serving.load_once(str(first))
        self.update = HotUpdate(self.config, self.serving, timedelta(seconds=60), self.outcomes.append)

    def announce(self, content: str, *, name: str = "model", time: str = "t", **more: object) -> Path:
        path = self.folder / name
        path.write_text(content)
        entry = {"model_path": str(path), "model_update_time": time} | more
        self.config.write_text(json.dumps({"model_config": entry}))
        return path

    def answer(self) -> float:
        return float(self.serving.predict(1.0))


GIVEN = [pytest.param(Scale, id="class"), pytest.param(Scale(), id="instance"), pytest.param(InPlace(), id="in-place")]


@pytest.mark.parametrize("estimator", GIVEN)
def test_sednas_bug_that_hot_update_works_only_once_is_fixed(tmp_path: Path, estimator: Any) -> None:
    site = Site(tmp_path, estimator)
    for number in (2, 3, 4, 5):
        site.announce(str(number), time=f"round {number}")
        outcome = site.update.look()
        assert outcome is not None
        assert outcome.status is WorkerStatus.COMPLETED
        assert site.answer() == number
    assert len(site.outcomes) == 4


@pytest.mark.parametrize("estimator", GIVEN)
def test_sednas_bug_that_a_broken_model_stays_in_service_is_fixed(tmp_path: Path, estimator: Any) -> None:
    site = Site(tmp_path, estimator)
    site.announce("2", name="two", time="a")
    site.update.look()
    site.announce("broken", name="three", time="b")
    outcome = site.update.look()
    assert outcome is not None
    assert outcome.status is WorkerStatus.FAILED
    assert "could not convert" in outcome.reason
    assert site.answer() == 2
    assert site.update.look() is None  # tried once
    site.announce("4", name="four", time="c")
    site.update.look()
    assert site.answer() == 4


def test_sednas_bug_that_the_model_is_read_before_it_is_compared_is_fixed(tmp_path: Path) -> None:
    site = Site(tmp_path, Scale)
    path = site.announce("2")
    site.update.look()
    path.unlink()
    before = Scale.loads
    assert [site.update.look() for _ in range(3)] == [None, None, None]
    assert (Scale.loads, site.answer()) == (before, 2)


@pytest.mark.parametrize("cut", [0, 1, 20, -1])
def test_a_half_written_file_is_ignored_until_it_is_whole(tmp_path: Path, cut: int) -> None:
    site = Site(tmp_path, Scale)
    site.announce("2")
    whole = site.config.read_bytes()
    site.config.write_bytes(whole[:cut])
    assert site.update.look() is None
    assert (site.answer(), site.outcomes) == (1, [])
    site.config.write_bytes(whole)
    site.update.look()
    assert site.answer() == 2


@pytest.mark.parametrize("text", ["[]", "{}", '{"model_config": {}}', '{"model_config": {"model_path": ""}}'])
def test_a_file_that_names_no_model_changes_nothing(tmp_path: Path, text: str) -> None:
    site = Site(tmp_path, Scale)
    site.config.write_text(text)
    assert site.update.look() is None
    assert (site.answer(), site.outcomes) == (1, [])


def test_a_model_with_another_digest_than_announced_is_not_served(tmp_path: Path) -> None:
    site = Site(tmp_path, Scale)
    site.announce("2", digest=digest_of(b"3"), time="a")
    outcome = site.update.look()
    assert outcome is not None
    assert (outcome.status, site.answer()) == (WorkerStatus.FAILED, 1)
    assert "was announced" in outcome.reason
    site.announce("2", digest=digest_of(b"2"), time="a")
    site.update.look()
    assert site.answer() == 2


def test_a_model_that_is_missing_is_reported_and_the_old_one_stays(tmp_path: Path) -> None:
    site = Site(tmp_path, Scale)
    site.announce("2").unlink()
    outcome = site.update.look()
    assert outcome is not None
    assert (outcome.status, site.answer()) == (WorkerStatus.FAILED, 1)
    assert "does not exist" in outcome.reason


def test_the_old_model_answers_while_the_new_one_is_loading(tmp_path: Path) -> None:
    inside, proceed = threading.Event(), threading.Event()

    class Slow(Scale):
        def load(self, model_url: str) -> None:
            if model_url.endswith("slow"):
                inside.set()
                assert proceed.wait(60)
            super().load(model_url)

    site = Site(tmp_path, Slow)
    site.announce("2", name="slow")
    thread = threading.Thread(target=site.update.look)
    thread.start()
    assert inside.wait(60)
    assert site.answer() == 1
    proceed.set()
    thread.join()
    assert site.answer() == 2


def test_a_model_never_changes_under_an_inference(tmp_path: Path) -> None:
    inside, proceed = threading.Event(), threading.Event()

    class Watched(InPlace):
        def predict(self, data: float) -> float:
            before = self.state[0]
            inside.set()
            assert proceed.wait(60)
            assert self.state[0] == before
            return super().predict(data)

    site = Site(tmp_path, Watched())
    answers: list[float] = []
    asking = threading.Thread(target=lambda: answers.append(site.answer()))
    asking.start()
    assert inside.wait(60)
    site.announce("2")
    updating = threading.Thread(target=site.update.look)
    updating.start()
    proceed.set()
    asking.join()
    updating.join()
    assert answers == [1]
    assert site.answer() == 2


def test_a_fresh_estimator_is_made_as_the_first_one_was(tmp_path: Path) -> None:
    class Sized(Scale):
        def __init__(self, size: int = 0) -> None:
            super().__init__()
            self.size = size

    serving = Serving(Backend(Sized))
    path = tmp_path / "model"
    path.write_text("3")
    assert serving.predict(1.0, model_url=str(path), size=7) == 3
    serving.replace(str(path))
    assert serving.backend.size == 7
