"""The command as a user meets it: one line and a status for what is wrong, results for what is right."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from orbitloop.adapters.model_files import write_model
from orbitloop.domain.detection import Detections
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Bytes
from orbitloop.testing.builders import a_model, a_spec
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.model_folder import Model
from orbitloop_edge.usecases.observe import FrameResult
from orbitloop_ground.adapters.round_book import FileRoundBook
from orbitloop_ground.adapters.teacher_files import read_teacher
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.pretrain import Recipe
from orbitloop_mission.cli.console import Terminal
from orbitloop_mission.cli.pretraining import train_base
from orbitloop_mission.report.files import read_report

ROOT = Path(__file__).parents[2]
REFUSED, NOT_YET, STOPPED = 2, 75, 130
COMMAND = [sys.executable, "-c", "from orbitloop_mission.cli import main; main()"]


def orbitloop(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error."""
    (line,) = done.stderr.strip().splitlines()
    return line


def test_help_says_what_there_is() -> None:
    done = orbitloop("--help")
    assert done.returncode == 0
    for command in ("demo", "pretrain", "passes", "plan"):
        assert command in done.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--data", "nowhere/annotations.json"), "nowhere/annotations.json: no such file"),
        (("--model", "nowhere"), "nowhere/detector.json: no such file"),
        (("--rounds", "0"), "rounds 0 must be at least 1"),
        (("--share", "2"), "downlink share 2.0"),
        (("--teacher", "nowhere"), "would label nothing; add --labels teacher"),
        (("--labels", "teacher", "--teacher", "nowhere"), "teacher nowhere: is no folder of a model"),
        (("--mining", "Psychic"), "IBT"),
        (("--parameter", "threshold"), "key=value"),
    ],
    ids=[
        "no data folder",
        "unknown model",
        "no rounds",
        "impossible share",
        "idle teacher",
        "no teacher",
        "unknown miner",
        "no parameter",
    ],
)
def test_what_cannot_fly_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, str], named: str) -> None:
    done = orbitloop("demo", "--out", tmp_path, *arguments)
    assert done.returncode == REFUSED
    assert named in complaint(done)
    assert not (tmp_path / "report.json").exists()


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = orbitloop("demo", "--out", tmp_path / "file")
    assert done.returncode == REFUSED
    assert complaint(done).startswith(f"orbitloop: {tmp_path}/file")
    assert complaint(done).endswith(": Not a directory")


def test_outside_a_checkout_the_demo_says_what_to_give(tmp_path: Path) -> None:
    done = orbitloop("demo", cwd=tmp_path)
    assert done.returncode == REFUSED
    assert "run from the root of the checkout or give --data and --model" in complaint(done)


def test_ctrl_c_ends_in_one_line(tmp_path: Path) -> None:
    listening = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a job in the background is deaf
    )
    command = [sys.executable, "-c", f"{listening}; {COMMAND[-1]}", "demo", "--realtime", "--out", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert "reading the frames" in running.stdout.readline()
        running.send_signal(signal.SIGINT)
        assert running.stderr.read() == "orbitloop: stopped\n"
    assert running.returncode == STOPPED


def test_words_from_outside_are_no_markup() -> None:
    out = io.StringIO()
    terminal = Terminal(Console(file=out))
    error = "/data/[/x].png: :cat: cannot be [bold]read"
    found = FrameResult(
        frame="x",
        captured=LAUNCH,
        size=Bytes(1),
        model=digest_of(b"model"),
        found=Detections.none(),
        samples=0,
        error=error,
    )
    with terminal:
        terminal.frame(found, 1, 1)
        terminal.say("[/x]")
        terminal.measuring("[/y]", 1, 2)
    assert error in out.getvalue()
    assert "[/x]\n" in out.getvalue()


@pytest.mark.parametrize(
    ("recipe", "largest", "complaint"),
    [
        (Recipe(steps=0), 80.0, "steps 0 must be at least 1"),
        (Recipe(width=0), 80.0, "width 0 must be 1 to 3"),
        (Recipe(width=4), 80.0, "width 4 must be 1 to 3"),
        (Recipe(seed=-1), 80.0, "seed -1 must be 0 to"),
        (Recipe(), 0.0, "largest 0 must be above 0"),
        (Recipe(), float("nan"), "largest nan must be above 0"),
    ],
    ids=["no steps", "no channels", "too many channels", "a negative seed", "no object fits", "no number"],
)
def test_a_recipe_that_cannot_be_followed_is_refused(
    tmp_path: Path, recipe: Recipe, largest: float, complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        train_base(tmp_path / "annotations.json", tmp_path, recipe=recipe, largest=largest)


def test_a_teacher_whose_tensors_do_not_fit_is_named_by_its_folder(tmp_path: Path) -> None:
    write_model(tmp_path / "large", a_model())
    with pytest.raises(BadInput, match="large: cannot be loaded as a teacher") as refused:
        read_teacher(tmp_path / "large", ("airplane",), Compute.best())
    assert "\n" not in str(refused.value)


def test_a_teacher_of_other_classes_is_named_by_its_folder(tmp_path: Path) -> None:
    base = a_model()
    other = Model(spec=a_spec(classes=("ship",)), weights=base.weights, graph=base.graph)
    write_model(tmp_path / "large", other)
    with pytest.raises(BadInput, match="large: detects ship, the launched model airplane"):
        read_teacher(tmp_path / "large", base.spec.classes, Compute.best())


def test_a_damaged_record_is_refused_in_one_line(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text('[{"number": "one", "stage": "Sleep"}]')
    with pytest.raises(BadInput, match=r"record\.json: unreadable \(0\.number: ") as refused:
        FileRoundBook(record).current()
    assert "\n" not in str(refused.value)
    record.write_text("{}")
    with pytest.raises(BadInput, match=r"record\.json is not a mission report .*: Field required") as refused:
        read_report(record)
    assert "\n" not in str(refused.value)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = orbitloop("demo", "--out", tmp_path, "--gateway-port", str(port))
    assert done.returncode == REFUSED
    assert f"port {port}" in done.stderr.splitlines()[-1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_named_and_may_be_tried_again(small_disk: Path) -> None:
    done = orbitloop("demo", "--out", small_disk)
    assert done.returncode == NOT_YET
    assert "the disk is full" in done.stderr.splitlines()[-1]
    assert str(small_disk) in done.stderr.splitlines()[-1]
