"""The first example, by the commands of its README."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = Path("examples/1-incremental-learning")


def commands() -> list[str]:
    [block] = re.findall(r"```\n(export .*?)```", (ROOT / EXAMPLE / "README.md").read_text(), re.DOTALL)
    return [line.replace(".venv/bin/", f"{Path(sys.executable).parent}/") for line in block.strip().splitlines()]


def shell(command: str, work: Path) -> str:
    environment = os.environ | {"WORK": str(work)}
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_of_the_readme_close_a_round(tmp_path: Path) -> None:
    export, prepare, run = commands()
    assert export == "export WORK=$PWD/build/aircraft"
    work, state = tmp_path / "work", tmp_path / "run"
    shell(prepare, work)
    said = shell(f"{run} --json --state {state}", work)
    [job] = json.loads(said)["jobs"]
    status = job["status"]
    assert status["round"] == 2
    assert status["samples"]["used"] == 120
    assert status["deployed"]["url"] == str(work / "output" / "train" / "1" / "model.npz")
    assert json.loads(status["deployed"]["metrics"])["accuracy_delta"] > 0.01
    log = (state / "logs" / "default" / "aircraft-inference-1" / "inference-worker.log").read_text()
    assert re.search(r"aircraft \d\.\d\d.*, by \S+/deployed\.npz", log)
    loaded = json.loads((state / "model-hot-update/default/incrementallearningjob/aircraft/loaded.json").read_text())
    assert (loaded["status"], loaded["digest"]) == ("completed", status["deployed"]["digest"])


def test_the_prepared_data_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        subprocess.run(
            [sys.executable, str(EXAMPLE / "prepare.py"), "--out", str(tmp_path / name), "--each", "2"],
            cwd=ROOT,
            check=True,
        )
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) > 50
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path
