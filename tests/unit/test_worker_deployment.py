"""A trained model comes to where it is served: in place of a file, or by hot update."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orbitloop.adapters.durable import copy_durably
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import NotYet, Refused, Untrusted
from orbitloop.domain.units import Digest
from orbitloop.testing.clocks import VirtualClock
from orbitloop.worker.backends import Backend
from orbitloop.worker.deployment import HotDeployment, replace_model
from orbitloop.worker.hot_update import HotUpdate
from orbitloop.worker.serving import Serving
from orbitloop.worker.tools import main


class Number:
    """A model that is the number in its file."""

    def load(self, model_url: str) -> None:
        self.value = int(Path(model_url).read_text())

    def predict(self, data: int) -> int:
        return self.value * data


class Site:
    """A folder, the worker that follows it, and a deployment that waits by letting that one look."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "hot"
        self.models = folder / "models"
        self.models.mkdir()
        self.clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.seconds = 0.0
        self.reports = 0
        self.restart()

    def restart(self) -> None:
        self.serving = Serving(Backend(Number))
        self.worker = HotUpdate(
            self.folder / "model_config.json", self.serving, timedelta(seconds=60), lambda _: self._reported()
        )

    def _reported(self) -> None:
        self.reports += 1

    def pause(self, seconds: float) -> None:
        self.seconds += seconds
        self.worker.look()

    def model(self, content: str) -> Path:
        path = self.models / "model.txt"
        path.write_text(content)
        return path

    def deploy(self, content: str, *, keep: int = 2, pause: Callable[[float], None] | None = None) -> str:
        self.clock.advance(timedelta(seconds=1))
        hot = HotDeployment(
            folder=self.folder,
            keep=keep,
            patience=timedelta(seconds=5),
            clock=self.clock,
            monotonic=lambda: self.seconds,
            pause=pause or self.pause,
        )
        return hot.deploy(self.model(content)).digest

    def versions(self) -> set[str]:
        return {path.name for path in self.folder.iterdir() if path.is_dir()}

    def answer(self) -> int:
        return int(self.serving.predict(1))


def version(content: str) -> str:
    return hexadecimal(digest_of(content.encode()))


def test_a_hot_update_is_served_under_the_path_of_its_digest(tmp_path: Path) -> None:
    site = Site(tmp_path)
    digest = site.deploy("2")
    path = site.folder / version("2") / "model.txt"
    assert (digest, site.answer(), path.read_text()) == (digest_of(b"2"), 2, "2")
    entry = json.loads((site.folder / "model_config.json").read_text())["model_config"]
    assert (entry["model_path"], entry["digest"]) == (str(path), digest)
    loaded = json.loads((site.folder / "loaded.json").read_text())
    assert (loaded["digest"], loaded["status"], loaded["message"]) == (digest, "completed", "")


@pytest.mark.parametrize(("keep", "left"), [(1, "4"), (2, "43"), (3, "432"), (9, "4321")])
def test_so_many_versions_stay_the_newest_ones(tmp_path: Path, keep: int, left: str) -> None:
    site = Site(tmp_path)
    for number, content in enumerate("1234"):
        site.deploy(content, keep=9 if content != "4" else keep)
        os.utime(site.folder / version(content), ns=(number, number))
    assert site.versions() == {version(content) for content in left}
    assert site.answer() == 4


def test_going_back_to_an_old_version_keeps_it(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for content in "121":
        site.deploy(content, keep=1)
        assert site.answer() == int(content)
    assert site.versions() == {version("1")}


def test_a_deployment_that_is_called_again_waits_for_the_same_update(tmp_path: Path) -> None:
    site = Site(tmp_path)

    def die(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site.deploy("2", pause=die)
    before = (site.folder / "model_config.json").read_bytes()
    site.deploy("2")
    site.deploy("2")
    assert (site.folder / "model_config.json").read_bytes() == before
    assert (site.answer(), site.reports) == (2, 1)


def test_a_model_that_cannot_be_taken_over_is_refused_and_tried_anew_at_the_next_call(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.deploy("2")
    for reports in (2, 3):
        with pytest.raises(Refused, match=r"did not take over model.txt .*invalid literal"):
            site.deploy("broken")
        assert (site.answer(), site.reports) == (2, reports)
    site.deploy("3")
    assert site.answer() == 3


def test_a_worker_that_is_started_again_serves_what_is_announced(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.deploy("2")
    site.restart()
    site.worker.look()
    assert site.answer() == 2
    site.deploy("2")
    assert site.reports == 2


def test_without_a_worker_it_says_after_its_patience_what_to_check(tmp_path: Path) -> None:
    site = Site(tmp_path)

    def nobody(seconds: float) -> None:
        site.seconds += seconds

    with pytest.raises(NotYet, match=r"within 5 s; check that it runs, and that its MODEL_HOT_UPDATE_CONFIG is .*json"):
        site.deploy("2", pause=nobody)
    assert site.seconds >= 5


@pytest.mark.parametrize("left", ["", "{", '{"status": "lost"}', '{"model_config": 1}'])
def test_files_that_nobody_can_read_are_replaced(tmp_path: Path, left: str) -> None:
    site = Site(tmp_path)
    site.folder.mkdir()
    (site.folder / "loaded.json").write_text(left)
    (site.folder / "model_config.json").write_text(left)
    site.deploy("2")
    assert site.answer() == 2


def test_a_version_that_was_half_written_is_written_again(tmp_path: Path) -> None:
    site = Site(tmp_path)
    path = site.folder / version("22") / "model.txt"
    path.parent.mkdir(parents=True)
    path.write_text("2")
    site.deploy("22")
    assert site.answer() == 22


def test_a_folder_that_may_not_be_written_to_does_not_keep_the_worker_from_serving(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.folder.mkdir()
    (site.folder / "loaded.json").mkdir()  # cannot be replaced, whoever asks
    (site.folder / "model_config.json").write_text(json.dumps({"model_config": {"model_path": str(site.model("7"))}}))
    site.worker.look()
    assert (site.answer(), site.reports) == (7, 1)


def test_a_served_file_is_replaced_whole_and_the_same_call_again_changes_nothing(tmp_path: Path) -> None:
    model, served = tmp_path / "model.txt", tmp_path / "served" / "model.txt"
    model.write_text("22")
    done = replace_model(model, served)
    assert (done.path, done.digest, served.read_text()) == (served, digest_of(b"22"), "22")
    model.write_text("3")
    with served.open() as reader:
        replace_model(model, served)
        assert reader.read() == "22"  # who reads the old one goes on doing so
    assert replace_model(model, served) == replace_model(model, served)
    assert served.read_text() == "3"
    assert [path.name for path in served.parent.iterdir()] == ["model.txt"]
    assert replace_model(served, served).digest == digest_of(b"3")


def test_a_copy_of_other_bytes_than_expected_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    with pytest.raises(Untrusted, match="instead of sha256:0000"):
        copy_durably(tmp_path / "new", tmp_path / "old", expected=Digest(f"sha256:{'0' * 64}"))
    assert (tmp_path / "old").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "none", "--deploy-model", "served"], "none does not exist"),
        (["--model", ".", "--deploy-model", "served"], "is a folder; pack it"),
        (["--model", "model.txt", "--deploy-model", "."], "is a folder; --deploy-model names the file"),
        (["--model", "model.txt", "--hot-update", "hot", "--keep", "0"], "--keep is 0"),
        (["--model", "model.txt", "--hot-update", "hot", "--keep", "1.5"], "--keep is 1.5; write a whole number"),
        (["--model", "model.txt", "--hot-update", "hot", "--wait-seconds", "-1"], "--wait-seconds is -1"),
        (["--model", "model.txt", "--hot-update", "hot", "--wait-seconds", "long"], "write a number"),
        (["--model", "model.txt", "--hot-update", "hot", "--wait-seconds", "0"], "no inference worker has taken over"),
        (["--model", "model.txt", "--hot-update", "model.txt"], "model.txt"),
        (["--model", "s3://bucket/m.onnx", "--deploy-model", "served"], "storage initializer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_clear_line_and_the_last_word(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    (tmp_path / "model.txt").write_text("2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORBITLOOP_TERMINATION_LOG", str(tmp_path / "log"))
    assert main(["deploy", *options]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    words = json.loads((tmp_path / "log").read_text())
    assert (words["kind"], words["status"], words["results"]) == ("deploy", "failed", [])
    assert message in words["message"]


def test_a_deployment_leaves_its_result_as_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").write_text("2")
    monkeypatch.setenv("ORBITLOOP_TERMINATION_LOG", str(tmp_path / "log"))
    served = tmp_path / "served.onnx"
    assert main(["deploy", "--model", f"file://{tmp_path}/model.onnx", "--deploy-model", str(served)]) == 0
    result = {"format": "onnx", "url": str(served), "digest": digest_of(b"2")}
    words = {"kind": "deploy", "status": "completed", "results": [result], "message": ""}
    assert json.loads((tmp_path / "log").read_text()) == words


def test_a_model_on_a_web_server_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("2")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        served = tmp_path / "served.onnx"
        assert main(["deploy", "--model", f"{url}/model.onnx?version=2", "--deploy-model", str(served)]) == 0
        assert served.read_text() == "2"
        assert main(["deploy", "--model", f"{url}/none.onnx", "--deploy-model", str(served)]) == 1
        server.shutdown()


@pytest.mark.parametrize("words", [[], ["deploy"], ["deploy", "--model", "m"], ["lift-off"]], ids=" ".join)
def test_a_wrong_call_is_told_how_to_get_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.count("\n") == 1
    assert "--help" in said
