"""Engines that the project does not depend on, each installed from the registry into an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from bench.onboard.engine import ENGINES, UNTRAINED

OPENCV = "opencv-python-headless==5.0.0.93"
ULTRALYTICS = ("ultralytics==8.4.190", "ultralytics-thop==2.2.3", "torchvision==0.28.0", OPENCV)
"""With what it imports and the project has not; torch and numpy are the project's."""


def pythons(out: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """The interpreter for each engine that can run here, and why others cannot."""
    found = {name: Path(sys.executable) for name in ENGINES}
    left_out: dict[str, str] = {}
    for name, folder, packages in (
        ("OpenCV DNN", out / "peers/opencv", (OPENCV,)),
        (UNTRAINED, out / "peers/ultralytics", ULTRALYTICS),
    ):
        failed = _installed(folder.resolve(), packages)
        if failed is None:
            found[name] = folder.resolve() / "bin/python"
        else:
            left_out[name] = failed
            del found[name]
    return found, left_out


def _installed(folder: Path, packages: tuple[str, ...]) -> str | None:
    """Install ``packages`` beside what the project has; returns why that failed."""
    if (folder / "ready").exists():
        return None
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--no-deps", *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"pip cannot install {packages[0]} here: {done.stderr.strip().splitlines()[-1]}"
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "orbitloop.pth").write_text("\n".join(entry for entry in sys.path if entry) + "\n")
    (folder / "ready").touch()
    return None
