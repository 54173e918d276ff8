"""The how-to page of the worker library does what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "worker-library.md").read_text(encoding="utf-8")
FILE = re.compile(r"^`(\w+\.py)`(?:[^`]|`\w+`)*?:\n\n```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
SCRIPT = re.compile(r"^```sh\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    files = dict(FILE.findall(PAGE))
    assert sorted(files) == ["eval.py", "inference.py", "interface.py", "train.py"]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (script,) = SCRIPT.findall(PAGE)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] in PAGE
    evaluated = json.loads((tmp_path / "evaluated.json").read_text())
    assert (evaluated["kind"], evaluated["status"]) == ("eval", "completed")
    assert evaluated["results"][0]["metrics"] == {"precision": 1.0}
    assert (tmp_path / "data/train/1/data.txt").read_text().count("\n") == 4
