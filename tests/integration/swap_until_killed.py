"""Run by test_on_board: swaps models, killed before each step that it takes on the disk in turn.

Usage: swap_until_killed.py FOLDER. For each step a child process gets a fresh copy of FOLDER, is killed there, and what
flies afterwards is printed: one line a kill, and "done" when a swap came through.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_model, a_report, some_weights
from orbitloop_edge.adapters.slots import Slots

ON_DISK = {"open", "os.rename", "os.remove", "os.mkdir"}


def kill_at(step: int, folder: Path) -> None:
    """Die before the ``step``-th step on the disk under ``folder``."""
    steps = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal steps
        if event in ON_DISK and str(arguments[0]).startswith(str(folder)):
            steps += 1
            if steps == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def swap(folder: Path) -> None:
    """What is interrupted: an update, the report of another one, and a new install."""
    slots = Slots(folder)
    slots.stage(some_weights(2))
    slots.activate(a_report(some_weights(2)))
    slots.remember(a_report(some_weights(2)))
    slots.install(replace(a_model(some_weights(3)), graph=b"a newer graph"))


def survived(step: int, folder: Path) -> bool:
    """Whether a swap came through although it was to be killed at ``step``."""
    child = os.fork()
    if child == 0:
        kill_at(step, folder)
        swap(folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


def main(base: Path) -> None:
    original = base / "original"
    Slots(original).install(a_model(some_weights(1)))
    step, through = 0, False
    while not through:
        step += 1
        folder = base / str(step)
        shutil.copytree(original, folder)
        through = survived(step, folder)
        slots = Slots(folder)
        assert not list(folder.rglob("*.unfinished")), "a half-written file was left behind"
        print(weights_digest(slots.active().weights), slots.state().flying)
        shutil.rmtree(folder)
    print("done")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
