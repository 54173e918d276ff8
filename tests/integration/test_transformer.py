"""``orbitloop-transformer`` as a process: what it is told by the environment, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tests.small_application import TARGET

from orbitloop.domain.digests import digest_of
from orbitloop.wire.selection_file import SIGNATURE, unpack_selection
from orbitloop.wire.worker_messages import WorkerKind
from orbitloop_mission.transformer import main
from orbitloop_mission.transformer_settings import TransformerSettings
from orbitloop_operators.handlers.transformation_state import DENSITIES
from orbitloop_operators.handlers.worker_results import read_last_words

ROOT = Path(__file__).parents[2]
OWN = "tests.small_application:of_ones_own"
PROFILE = json.dumps(asdict(TARGET))


def given(folder: Path) -> dict[str, str]:
    """What a worker in ``folder`` is told, if it is told nothing else."""
    return {
        "APPLICATION": OWN,
        "TARGET": PROFILE,
        "MODEL_URL": str(folder / "out"),
        "EFFORT": "0.05",
        "OMP_NUM_THREADS": "1",
        "ORBITLOOP_TERMINATION_LOG": str(folder / "words"),
    }


def run(folder: Path, **told: str) -> tuple[int, list[str], dict[str, Any]]:
    """Exit code, standard error and last words of a worker as a process."""
    command = [sys.executable, "-m", "orbitloop_mission.transformer"]
    env = {"PATH": os.environ["PATH"]} | given(folder) | told
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    return ran.returncode, ran.stderr.splitlines(), json.loads((folder / "words").read_text())


def accept(signature: bytes, message: bytes) -> None:
    assert signature == bytes(SIGNATURE)


@pytest.mark.slow
def test_an_application_of_ones_own_is_fitted_and_what_came_of_it_is_told(tmp_path: Path) -> None:
    code, log, words = run(tmp_path, CONTEXTS="bright=brightness:0.4:1.1; ", CAPACITY="0.05", DEADLINE="2.5")
    assert code == 0, log
    [made] = words["results"]
    artefact = tmp_path / "out" / "selection.ols"
    assert made["url"] == str(artefact)
    assert made["digest"] == digest_of(artefact.read_bytes())
    assert (words["kind"], words["status"]) == ("train", "completed")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert made["metrics"]["density"] == pytest.approx(report["density"]["ours"], abs=1e-4)
    assert made["metrics"]["deadline_seconds"] == report["link"]["deadline_seconds"] == 2.5
    assert made["metrics"]["oracle"] >= made["metrics"]["bent_pipe"]
    said = read_last_words([json.dumps(words)], WorkerKind.TRAIN)
    assert said is not None
    assert set(said.models[0].numbers()) == {*DENSITIES.values(), "frame_seconds", "deadline_seconds"}, "as it is read"
    package = unpack_selection(artefact.read_bytes(), accept)
    assert (package.application, package.target, package.link.capacity) == ("squares", "toy", 0.05)
    assert "bright" in package.contexts
    assert any("training network tiny" in line for line in log)
    assert any("10 of 10" in line for line in log), "steps of a training"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"APPLICATION": "submarines"}, "application 'submarines' is unknown"),
        ({"APPLICATION": ""}, "the variable APPLICATION is not set; see docs/reference/transformer.md"),
        ({"APPLICATION": "nowhere.at_all:ships"}, "nowhere.at_all cannot be imported (No module named 'nowhere')"),
        ({"APPLICATION": "tests.small_application:GEOMETRY"}, "tests.small_application has no function 'GEOMETRY'"),
        ({"APPLICATION": "tests.small_application:of_something_else"}, "gives a str, no Application"),
        ({"TRAIN_DATASET_URL": "/no/such.json"}, "/no/such.json: squares are drawn, and not read"),
        ({"TARGET": "mainframe"}, "no such hardware target; name one of jetson-15w, one-core"),
        ({"TARGET": '{"name": "toy"}'}, "the hardware target: provenance: Field required"),
        ({"CAPACITY": "much"}, "the variable CAPACITY: "),
        ({"DEADLINE": "-1"}, "the frame deadline -1.0 s must be above 0"),
        ({"EFFORT": "0"}, "effort 0 must be above 0"),
        ({"CONTEXTS": "water"}, "'water' is no rule"),
        ({"MODEL_URL": "/proc/nothing"}, "MODEL_URL: /proc/nothing cannot be written to"),
        ({"MODEL_URL": "s3://bucket/ships"}, "s3://bucket/ships: the worker library reads files"),
    ],
    ids=lambda part: "-".join(part) + "=" + "".join(part.values()) if isinstance(part, dict) else "said",
)
def test_what_cannot_be_used_is_one_error_and_the_last_words(
    told: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (given(tmp_path) | told).items():
        monkeypatch.setenv(name, value)
    assert main([]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("orbitloop-transformer: ")
    assert said in line
    words = json.loads((tmp_path / "words").read_text())
    assert words["status"] == "failed"
    assert words["message"] == line.removeprefix("orbitloop-transformer: ")
    assert not (tmp_path / "out" / "selection.ols").exists()


def test_a_mistake_in_the_application_is_told_by_its_name(tmp_path: Path) -> None:
    code, log, words = run(tmp_path, APPLICATION="tests.small_application:that_breaks")
    assert code == 1
    assert words["message"] == "ZeroDivisionError: a share of no frames"
    assert any("in that_breaks" in line for line in log), "whose mistake it is"


def test_it_is_called_without_arguments() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["ships"])


def test_every_variable_stands_in_the_page_that_people_read() -> None:
    page = (ROOT / "docs" / "reference" / "transformer.md").read_text()
    missing = [name for name in TransformerSettings.model_fields if f"`{name.upper()}`" not in page]
    assert missing == []
